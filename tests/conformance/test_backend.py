"""lanner.backend itself: what onnx.backend.base promises beyond what the suite uses."""

import lanner
import lanner.backend
import numpy as np
import onnx
import pytest
from onnx import helper, parser

MODEL = parser.parse_model('''<ir_version: 10, opset_import: ["" : 21]>
    g (float[N] x, float[N] y, float k) => (float[N] sum, float[N] difference) <float k = {1}> {
      a = Add(x, y) sum = Mul(a, k) difference = Sub(x, y) }''')


def test_models_run_by_position_and_by_name():
    x, y = np.array([1, 2], np.float32), np.array([3, 5], np.float32)
    ready = lanner.backend.prepare(MODEL)
    for inputs in ([x, y], (x, y), {"y": y, "x": x}, [x, y, np.float32(1)]):
        outputs = ready.run(inputs)
        assert [value.tolist() for value in outputs] == [[4, 7], [-2, -3]]
        assert outputs["difference"].tolist() == [-2, -3]
    assert lanner.backend.run_model(MODEL, [x, y, np.float32(2)])[0].tolist() == [8, 14]
    assert lanner.backend.run_model(MODEL, [x, y], disable_rules=["all"], deny=["@onednn"])[0].tolist() == [4, 7]


def test_wrong_inputs_are_named():
    ready = lanner.backend.prepare(MODEL)
    with pytest.raises(lanner.Error, match="1 inputs are given, but the model has 3: 'x', 'y', 'k'") as error:
        ready.run(np.zeros(2, np.float32))
    assert error.value.reason == "input.missing"
    with pytest.raises(lanner.Error) as error:
        ready.run([np.zeros(2, np.float32)] * 4)
    assert error.value.reason == "input.unknown"


def test_devices():
    assert lanner.backend.supports_device("CPU") and lanner.backend.supports_device("CPU:0")
    assert not lanner.backend.supports_device("CUDA")
    with pytest.raises(lanner.Error) as error:
        lanner.backend.prepare(MODEL, "CUDA")
    assert error.value.reason == "option.device"


def test_nodes_run_alone():
    x = np.array([[1, 2], [3, 4]], np.float32)
    node = helper.make_node("Clip", ["x", "", "max"], ["y"])
    assert lanner.backend.run_node(node, [x, np.float32(3)])[0].tolist() == [[1, 2], [3, 3]]
    assert lanner.backend.run_node(node, {"x": x, "max": np.float32(3)})[0].tolist() == [[1, 2], [3, 3]]
    # Squeeze had its axes as an attribute before opset 13.
    old = helper.make_node("Squeeze", ["x"], ["y"], axes=[0])
    assert lanner.backend.run_node(old, [x[None]], opset_version=11)[0].tolist() == x.tolist()
    info = [(np.float32, (2, 2))]
    assert lanner.backend.run_node(helper.make_node("Relu", ["x"], ["y"]), [-x], outputs_info=info)[0].max() == 0
    text = helper.make_node("Identity", ["x"], ["y"])
    assert lanner.backend.run_node(text, [np.array(["a"])])[0].tolist() == ["a"]
    with pytest.raises(lanner.Error) as error:
        lanner.backend.run_node(helper.make_node("NoSuchOperator", ["x"], ["y"]), [x])
    assert error.value.reason == "model.invalid"
    with pytest.raises(lanner.Error) as error:
        lanner.backend.run_node(node, [x])
    assert error.value.reason == "input.missing"


def test_compatible_models():
    assert lanner.backend.is_compatible(MODEL)
    foreign = onnx.ModelProto()
    foreign.CopyFrom(MODEL)
    foreign.opset_import.append(helper.make_opsetid("com.example", 1))
    foreign.graph.node[0].domain = "com.example"
    assert not lanner.backend.is_compatible(foreign)


def test_the_smallest_subgraph_is_an_option():
    with pytest.raises(lanner.Error) as error:
        lanner.compile(MODEL, min_subgraph=0)
    assert error.value.reason == "option.min_subgraph"
    product = parser.parse_model('''<ir_version: 10, opset_import: ["" : 21]>
        g (float[2, 2] x, float[2, 2] y) => (float[2, 2] z) { z = MatMul(x, y) }''')
    assert lanner.compile(product).explain().rows[0]["backend"] == "native"
    assert lanner.compile(product, min_subgraph=1).explain().rows[0]["backend"] == "onednn"
