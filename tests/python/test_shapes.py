"""Compiling for other input sizes than the model was exported with."""

import numpy as np
import onnx
import onnx.numpy_helper
import onnxruntime
import pytest
from onnx import TensorProto, helper

import lanner
from test_command import run

WEIGHTS = np.random.default_rng(0).standard_normal((8, 3, 3, 3)).astype(np.float32)


def network(shape, new_shape, dtype=TensorProto.FLOAT):
    """A convolution, and a Reshape to `new_shape`."""
    nodes = [
        helper.make_node("Conv", ["images", "w"], ["features"], "conv", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["features"], ["active"], "relu"),
        helper.make_node("Reshape", ["active", "new_shape"], ["rows"], "flatten"),
        helper.make_node("Softmax", ["rows"], ["scores"], "softmax", axis=-1),
    ]
    graph = helper.make_graph(
        nodes, "network", [helper.make_tensor_value_info("images", dtype, shape)],
        [helper.make_tensor_value_info("scores", dtype, None)],
        [onnx.numpy_helper.from_array(WEIGHTS, "w"),
         onnx.numpy_helper.from_array(np.array(new_shape, np.int64), "new_shape")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def onnxruntime_result(model, images):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"images": images})[0]


def pictures(*shape):
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def test_a_fixed_batch_and_size_become_others():
    model = network([1, 3, 16, 16], [0, 8, -1])
    compiled = lanner.compile(model, shapes={"images": [4, 3, 24, 32]})
    assert compiled.inputs[0].shape == (4, 3, 24, 32)
    assert compiled.outputs[0].shape == (4, 8, 12 * 16)
    images = pictures(4, 3, 24, 32)
    open_model = network(["N", 3, "H", "W"], [0, 8, -1])
    np.testing.assert_allclose(
        compiled.run({"images": images})["scores"], onnxruntime_result(open_model, images), rtol=1e-5, atol=1e-6)
    with pytest.raises(lanner.Error) as raised:
        compiled.run({"images": pictures(1, 3, 16, 16)})
    assert raised.value.reason == "input.shape"


def test_symbolic_dimensions_get_sizes():
    model = network(["N", 3, "H", "W"], [0, 8, -1])
    compiled = lanner.compile(model, dims={"N": 2, "H": 16})
    assert compiled.inputs[0].shape == (2, 3, 16, None)
    images = pictures(2, 3, 16, 20)
    np.testing.assert_allclose(
        compiled.run({"images": images})["scores"], onnxruntime_result(model, images), rtol=1e-5, atol=1e-6)


def test_a_fixed_size_is_opened():
    compiled = lanner.compile(network([1, 3, 16, 16], [0, 8, -1]), shapes={"images": [None, 3, 16, None]})
    assert compiled.inputs[0].shape == (None, 3, 16, None)
    open_model = network(["N", 3, "H", "W"], [0, 8, -1])
    for shape in ((1, 3, 16, 16), (3, 3, 16, 40)):
        images = pictures(*shape)
        np.testing.assert_allclose(
            compiled.run({"images": images})["scores"], onnxruntime_result(open_model, images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("new_shape", [[1, 8, -1], [1, 8, 64], [1, -1]])
def test_the_error_names_the_node_that_bakes_the_batch_in(new_shape):
    model = network([1, 3, 16, 16], new_shape)
    lanner.compile(model, shapes={"images": [1, 3, 16, 16]})
    with pytest.raises(lanner.Error, match="flatten") as raised:
        lanner.compile(model, shapes={"images": [4, 3, 16, 16]})
    assert raised.value.reason == "option.shapes"


def test_an_image_size_that_is_baked_in_is_named():
    model = network([1, 3, 16, 16], [1, 8, 64])
    with pytest.raises(lanner.Error, match="flatten") as raised:
        lanner.compile(model, shapes={"images": [1, 3, 32, 32]})
    assert raised.value.reason == "option.shapes"


@pytest.mark.parametrize("options, said", [
    ({"shapes": {"image": [1, 3, 16, 16]}}, "no input 'image'.*'images'"),
    ({"shapes": {"images": [1, 3, 16]}}, "4 dimensions, not 3"),
    ({"shapes": {"images": [1, 3, 16, -5]}}, "cannot be -5"),
    ({"dims": {"M": 4}}, "no input has a dimension named 'M'; there are: 'H', 'N', 'W'"),
    ({"dims": {"N": -1}}, "cannot be -1"),
    ({"shapes": {"images": [4, 3, 16, 16]}, "dims": {"N": 2}}, "both 2 and 4"),
])
def test_what_cannot_be_meant_is_an_error(options, said):
    with pytest.raises(lanner.Error, match=said) as raised:
        lanner.compile(network(["N", 3, "H", "W"], [0, 8, -1]), **options)
    assert raised.value.reason == "option.shapes"


def test_a_compiled_file_keeps_its_shapes(tmp_path):
    lanner.compile(network(["N", 3, "H", "W"], [0, 8, -1])).save(tmp_path / "network.lanner")
    with pytest.raises(lanner.Error, match="compiled already") as raised:
        lanner.compile(tmp_path / "network.lanner", dims={"N": 2})
    assert raised.value.reason == "option.shapes"


def test_the_command_takes_shapes(tmp_path):
    onnx.save(network(["N", 3, 16, "W"], [0, 8, -1]), tmp_path / "network.onnx")
    out = str(tmp_path / "network.lanner")
    done = run(tmp_path, "compile", "network.onnx", "-o", out, "--tune", "off", "--dim", "N=4",
                      "--shape", "images=?x3x16x24")
    assert done.returncode == 0, done.stderr
    assert "input  images: float32 4x3x16x24" in done.stdout
    for wrong in ("--dim=N", "--dim=N=x", "--dim=N=-1", "--shape=images", "--shape=images=4xx", "--shape==4",
                  "--shape=images=4x3x16x"):
        done = run(tmp_path, "compile", "network.onnx", "-o", out, wrong)
        assert done.returncode == 2, wrong
        assert "must be" in done.stderr
