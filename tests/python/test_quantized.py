"""A network quantized by ONNX Runtime's tools, in each of their forms, gives what it gives there."""

import lanner
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper
from onnxruntime import quantization


def weights(rng, name, *shape):
    scale = np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 1
    return numpy_helper.from_array((rng.standard_normal(shape) / scale).astype(np.float32), name)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Convolutions, one of them depthwise, a sum, and a product, each but the sum with a bias."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], kernel_shape=[3, 3], pads=[1, 0, 1, 0], group=8),
        helper.make_node("Conv", ["c2", "w5", "b5"], ["c5"], kernel_shape=[1, 1]),
        helper.make_node("Add", ["c2", "c5"], ["s"]),
        helper.make_node("Conv", ["s", "w3", "b3"], ["c3"], kernel_shape=[1, 1]),
        helper.make_node("Relu", ["c3"], ["r3"]),
        helper.make_node("Flatten", ["r3"], ["f"]),
        helper.make_node("MatMul", ["f", "w4"], ["m"]),
        helper.make_node("Add", ["m", "b4"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "network", [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 5])],
        [weights(rng, "w1", 8, 3, 3, 3), weights(rng, "b1", 8), weights(rng, "w2", 8, 1, 3, 3), weights(rng, "b2", 8),
         weights(rng, "w3", 12, 8, 1, 1), weights(rng, "b3", 12), weights(rng, "w5", 8, 8, 1, 1), weights(rng, "b5", 8), weights(rng, "w4", 12 * 8 * 6, 5), weights(rng, "b4", 5)])
    path = tmp_path_factory.mktemp("quantized") / "network.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


class Samples(quantization.CalibrationDataReader):
    def __init__(self):
        rng = np.random.default_rng(1)
        self.left = iter([{"x": rng.standard_normal((1, 3, 16, 16), np.float32)} for _ in range(4)])

    def get_next(self):
        return next(self.left, None)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("form", ["QDQ", "QOperator", "dynamic"])
def test_quantized_networks_agree_with_onnxruntime(network, tmp_path, form, per_channel):
    path = tmp_path / "quantized.onnx"
    if form == "dynamic":
        quantization.quantize_dynamic(network, path, per_channel=per_channel, op_types_to_quantize=["MatMul"],
                                      weight_type=quantization.QuantType.QUInt8)
    else:
        quantization.quantize_static(network, path, Samples(), quant_format=quantization.QuantFormat[form],
                                     per_channel=per_channel, weight_type=quantization.QuantType.QInt8,
                                     # ONNX Runtime has a sum of its own in the form QOperator.
                                     op_types_to_quantize=["Conv", "MatMul", "Relu"] + ["Add"] * (form == "QDQ"))
    x = np.random.default_rng(2).standard_normal((1, 3, 16, 16), np.float32)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    expected = ort.InferenceSession(path, options).run(None, {"x": x})[0]
    model = lanner.compile(path)
    assert any("Quantize" in row["operator"] or "Integer" in row["operator"] for row in model.explain().rows)
    if form == "QDQ":
        fused = [row["operator"] for row in model.explain().rows]
        assert any("Conv" in name and "Quantize" in name for name in fused), fused
        assert any("Add" in name and "Quantize" in name for name in fused), fused
    # One step of the output's last quantized value at most, where sums round to the other side.
    np.testing.assert_allclose(model.run({"x": x})["y"], expected, rtol=0, atol=0.05)
