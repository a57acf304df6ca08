"""Scan: axes and directions of its inputs and outputs, against ONNX Runtime."""

import lanner
import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper  # noqa: E402


def scan_model(input_axes, input_directions, output_axes, output_directions, shapes):
    """Two scanned inputs and a state: sums = state + x * y + w, with w from outside; two joined outputs."""
    tensor = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)  # noqa: E731
    body = helper.make_graph(
        [helper.make_node("Mul", ["x_slice", "y_slice"], ["product"]),
         helper.make_node("Add", ["state_in", "product"], ["sum"]),
         helper.make_node("Add", ["sum", "w"], ["state_out"]),
         helper.make_node("Neg", ["sum"], ["negative"])],
        "body",
        [tensor(name, [2, 3]) for name in ("state_in", "x_slice", "y_slice")],
        [tensor(name, [2, 3]) for name in ("state_out", "sum", "negative")])
    node = helper.make_node(
        "Scan", ["state", "x", "y"], ["last", "sums", "negatives"], body=body, num_scan_inputs=2,
        scan_input_axes=input_axes, scan_input_directions=input_directions, scan_output_axes=output_axes,
        scan_output_directions=output_directions)
    graph = helper.make_graph(
        [node], "g", [tensor("state", [2, 3]), tensor("x", shapes[0]), tensor("y", shapes[1]), tensor("w", [3])],
        [tensor(name, None) for name in ("last", "sums", "negatives")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize("length", [1, 4])
@pytest.mark.parametrize(("input_axes", "input_directions", "output_axes", "output_directions"), [
    ([0, 0], [0, 0], [0, 0], [0, 0]),
    ([0, 1], [1, 0], [1, 0], [0, 1]),
    ([2, -1], [1, 1], [-1, 2], [1, 1]),
    ([-3, 2], [0, 1], [-2, 0], [1, 0]),
])
def test_axes_and_directions(length, input_axes, input_directions, output_axes, output_directions):
    random = np.random.default_rng(length)

    def sized(axis):
        shape = [2, 3]
        shape.insert(axis if axis >= 0 else axis + 3, length)
        return shape

    shapes = [sized(axis) for axis in input_axes]
    model = scan_model(input_axes, input_directions, output_axes, output_directions, shapes)
    inputs = {name: random.standard_normal(shape, np.float32)
              for name, shape in (("state", [2, 3]), ("x", shapes[0]), ("y", shapes[1]), ("w", [3]))}
    wanted = ort.InferenceSession(model.SerializeToString()).run(None, inputs)
    found = lanner.compile(model).run(inputs)
    for reference, value in zip(wanted, found.values(), strict=True):
        assert reference.shape == value.shape
        np.testing.assert_allclose(value, reference, rtol=1e-6, atol=1e-6)


def test_a_body_that_does_not_fit_is_an_error():
    model = scan_model([0, 0], [0, 0], [0, 0], [0, 0], [[4, 2, 3], [4, 2, 3]])
    next(a for a in model.graph.node[0].attribute if a.name == "num_scan_inputs").i = 7
    with pytest.raises(lanner.Error) as error:
        lanner.compile(model)
    assert error.value.reason == "model.invalid"
