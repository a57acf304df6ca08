"""Sizes, axes and indices that no sane model has: an error with a reason word, before memory is asked for.

Every case runs twice: with all data given at run time, and with all but the first input as constants, which rules look at
and fold while compiling.
"""

import resource

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import helper, numpy_helper, parser  # noqa: E402

import lanner  # noqa: E402

HUGE = 1 << 62
MUCH = 1 << 40  # elements that do not overflow, and that no machine has room for
X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
IMAGE = np.zeros((1, 2, 4, 4), np.float32)


def ints(*values):
    return np.array(values, np.int64)


def scalar(value, dtype=np.int64):
    return np.array(value, dtype)


# Operator, attributes, inputs, and the words of which the error has one.
SIZES = ("op.size", "op.shape", "op.value", "op.attribute", "memory.exhausted")
INDEX = ("op.index", "op.value")
CASES = {
    "expand overflows": ("Expand", {}, [X[:1, :1, :1], ints(HUGE, 4, 4)], SIZES),
    "expand to much": ("Expand", {}, [X[:1, :1, :1], ints(MUCH, 4, 4)], SIZES),
    "expand to less than nothing": ("Expand", {}, [X, ints(-1, 3, 4)], SIZES),
    "tile overflows": ("Tile", {}, [X, ints(HUGE, HUGE, 1)], SIZES),
    "tile to much": ("Tile", {}, [X, ints(MUCH, 1, 1)], SIZES),
    "tile a negative number of times": ("Tile", {}, [X, ints(1, -1, 1)], SIZES),
    "constant overflows": ("ConstantOfShape", {}, [ints(HUGE, 4)], SIZES),
    "constant of much": ("ConstantOfShape", {}, [ints(MUCH, 4)], SIZES),
    "constant of less than nothing": ("ConstantOfShape", {}, [ints(-1, 4)], SIZES),
    "range of much": ("Range", {}, [scalar(0), scalar(HUGE), scalar(1)], SIZES),
    "range wraps": ("Range", {}, [scalar(-(1 << 63)), scalar((1 << 63) - 1), scalar(1)], SIZES),
    "range without a step": ("Range", {}, [scalar(0), scalar(5), scalar(0)], SIZES),
    "range to infinity": ("Range", {}, [scalar(0, np.float32), scalar(np.inf, np.float32), scalar(1, np.float32)], SIZES),
    "range of nan": ("Range", {}, [scalar(0, np.float32), scalar(np.nan, np.float32), scalar(1, np.float32)], SIZES),
    "one hot of much": ("OneHot", {}, [ints(0, 1), scalar(HUGE), np.array([0, 1], np.float32)], SIZES),
    "one hot of a negative depth": ("OneHot", {}, [ints(0, 1), scalar(-2), np.array([0, 1], np.float32)], SIZES),
    "one hot at no axis": ("OneHot", {"axis": 9}, [ints(0, 1), scalar(2), np.array([0, 1], np.float32)], ("op.axis",)),
    "pad overflows": ("Pad", {}, [X, ints(0, HUGE, 0, 0, HUGE, 0)], SIZES),
    "pad to much": ("Pad", {}, [X, ints(0, MUCH, 0, 0, 0, 0)], SIZES),
    "pad takes more than there is": ("Pad", {}, [X, ints(0, -2, 0, 0, -2, 0)], SIZES),
    "pad of the least number": ("Pad", {}, [X, ints(0, -(1 << 63), 0, 0, 0, 0)], SIZES),
    "pad reflects nothing": ("Pad", {"mode": "reflect"}, [X[:, :0], ints(0, 1, 0, 0, 1, 0)], SIZES),
    "pad at no axis": ("Pad", {}, [X, ints(1, 1), None, ints(7)], ("op.axis",)),
    "resize to much": ("Resize", {}, [IMAGE, None, None, ints(1, 2, MUCH, 4)], SIZES),
    "resize overflows": ("Resize", {}, [IMAGE, None, None, ints(1, 2, HUGE, HUGE)], SIZES),
    "resize to less than nothing": ("Resize", {}, [IMAGE, None, None, ints(1, 2, -4, 4)], SIZES),
    "resize by infinity": ("Resize", {}, [IMAGE, None, np.array([1, 1, np.inf, 1], np.float32)], SIZES),
    "resize by nan": ("Resize", {}, [IMAGE, None, np.array([1, 1, np.nan, 1], np.float32)], SIZES),
    "resize by a negative scale": ("Resize", {}, [IMAGE, None, np.array([1, 1, -1, 1], np.float32)], SIZES),
    "resize by much": ("Resize", {}, [IMAGE, None, np.array([1, 1, 1e30, 1], np.float32)], SIZES),
    "gather past the end": ("Gather", {}, [X, ints(2)], INDEX),
    "gather before the start": ("Gather", {}, [X, ints(-3)], INDEX),
    "gather of nothing": ("Gather", {}, [X[:0], ints(0)], INDEX),
    "gather at no axis": ("Gather", {"axis": 3}, [X, ints(0)], ("op.axis",)),
    "gather elements past the end": ("GatherElements", {}, [X, np.full((1, 3, 4), 2)], INDEX),
    "gather elements of the least number": ("GatherElements", {}, [X, np.full((1, 3, 4), -(1 << 63))], INDEX),
    "gather elements of more rows": ("GatherElements", {}, [X, np.zeros((1, 9, 4), np.int64)], ("op.shape", "op.index")),
    "gather nd past the end": ("GatherND", {}, [X, np.array([[0, 3]])], INDEX),
    "gather nd of too many axes": ("GatherND", {}, [X, np.array([[0, 0, 0, 0]])], ("op.shape", "op.index")),
    "gather nd of too many batches": ("GatherND", {"batch_dims": 3}, [X, np.array([[0]])], ("op.shape", "op.attribute", "op.axis", "op.rank")),
    "scatter past the end": ("ScatterElements", {}, [X, np.full((1, 1, 1), 5), X[:1, :1, :1]], INDEX),
    "scatter before the start": ("ScatterElements", {}, [X, np.full((1, 1, 1), -3), X[:1, :1, :1]], INDEX),
    "scatter of other updates": ("ScatterElements", {}, [X, np.zeros((1, 1, 1), np.int64), X], ("op.shape",)),
    "scatter nd past the end": ("ScatterND", {}, [X, np.array([[2]]), X[:1]], INDEX),
    "scatter nd of other updates": ("ScatterND", {}, [X, np.array([[1]]), X], ("op.shape",)),
    "scatter nd of too many axes": ("ScatterND", {}, [X, np.array([[0, 0, 0, 0]]), np.zeros(1, np.float32)], ("op.shape", "op.index")),
    "tensor scatter past the end": ("TensorScatter", {"axis": 1}, [X, X[:, :2], ints(2, 2)], INDEX + ("op.shape",)),
    "reshape overflows": ("Reshape", {}, [X, ints(HUGE, 4, -1)], SIZES),
    "reshape to a negative size": ("Reshape", {}, [X, ints(-2, 12)], SIZES),
    "reshape to two open sizes": ("Reshape", {}, [X, ints(-1, -1)], SIZES),
    "reshape of other elements": ("Reshape", {}, [X, ints(5, 5)], SIZES),
    "reshape of nothing to anything": ("Reshape", {"allowzero": 1}, [X[:0], ints(0, -1)], SIZES),
    "slice without a step": ("Slice", {}, [X, ints(0), ints(1), ints(0), ints(0)], SIZES),
    "slice at no axis": ("Slice", {}, [X, ints(0), ints(1), ints(5)], ("op.axis",)),
    "slice at one axis twice": ("Slice", {}, [X, ints(0, 0), ints(1, 1), ints(1, 1)], ("op.axis", "op.shape", "op.value")),
    "split to other sizes": ("Split", {}, [X, ints(5)], SIZES),
    "split to negative sizes": ("Split", {}, [X, ints(-2, 4)], SIZES),
    "topk of more than there are": ("TopK", {}, [X, ints(5)], SIZES),
    "topk of a negative number": ("TopK", {}, [X, ints(-1)], SIZES),
    "arg max of nothing": ("ArgMax", {"axis": 1}, [X[:, :0]], SIZES),
    "arg min of nothing": ("ArgMin", {"axis": 1}, [X[:, :0]], SIZES),
    "reduce at no axis": ("ReduceMax", {}, [X, ints(3)], ("op.axis",)),
    "squeeze a size": ("Squeeze", {}, [X, ints(0)], SIZES),
    "squeeze at no axis": ("Squeeze", {}, [X, ints(4)], ("op.axis",)),
    "unsqueeze at no axis": ("Unsqueeze", {}, [X, ints(9)], ("op.axis",)),
    "unsqueeze one axis twice": ("Unsqueeze", {}, [X, ints(0, 0)], ("op.axis", "op.value")),
    "cumsum at no axis": ("CumSum", {}, [X, scalar(3)], ("op.axis",)),
    "transpose by no permutation": ("Transpose", {"perm": [0, 1, 1]}, [X], ("op.attribute", "op.axis", "model.invalid")),
    "pool with no kernel": ("MaxPool", {"kernel_shape": [0, 0]}, [IMAGE], SIZES),
    "pool with a huge kernel": ("MaxPool", {"kernel_shape": [1 << 40, 1 << 40]}, [IMAGE], SIZES),
    "pool with no stride": ("MaxPool", {"kernel_shape": [2, 2], "strides": [0, 0]}, [IMAGE], SIZES),
    "pool with huge pads": ("AveragePool", {"kernel_shape": [2, 2], "pads": [1 << 40] * 4}, [IMAGE], SIZES),
    "convolution in no groups": ("Conv", {"group": 0}, [IMAGE, np.zeros((2, 2, 3, 3), np.float32)], SIZES),
    "convolution in many groups": ("Conv", {"group": 1 << 40}, [IMAGE, np.zeros((2, 2, 3, 3), np.float32)], SIZES),
    "convolution with huge dilations": ("Conv", {"dilations": [1 << 40, 1]}, [IMAGE, np.zeros((2, 2, 3, 3), np.float32)], SIZES),
    "transposed convolution to much": ("ConvTranspose", {"strides": [1 << 30, 1 << 30]}, [IMAGE, np.zeros((2, 2, 3, 3), np.float32)], SIZES),
    "transposed convolution to less than nothing": ("ConvTranspose", {"output_shape": [-3, 4]}, [IMAGE, np.zeros((2, 2, 3, 3), np.float32)], SIZES),
    "depth to no space": ("DepthToSpace", {"blocksize": 0}, [IMAGE], SIZES + ("model.invalid",)),
    "depth to huge space": ("DepthToSpace", {"blocksize": 1 << 40}, [IMAGE], SIZES + ("model.invalid",)),
    "space to no depth": ("SpaceToDepth", {"blocksize": 0}, [IMAGE], SIZES + ("model.invalid",)),
    "columns to much": ("Col2Im", {}, [np.zeros((1, 4, 9), np.float32), ints(MUCH, MUCH), ints(2, 2)], SIZES),
    "columns to less than nothing": ("Col2Im", {}, [np.zeros((1, 4, 9), np.float32), ints(-4, 4), ints(2, 2)], SIZES),
    "crop to much": ("CenterCropPad", {}, [X, ints(MUCH, MUCH, 4)], SIZES),
    "window of much": ("HannWindow", {}, [scalar(HUGE)], SIZES),
    "window of less than nothing": ("HannWindow", {}, [scalar(-3)], None),
    "mel weights of much": ("MelWeightMatrix", {}, [scalar(MUCH), scalar(MUCH), scalar(8192), scalar(0, np.float32), scalar(4096, np.float32)], SIZES),
    "fourier of much": ("DFT", {}, [np.zeros((1, 8, 1), np.float32), scalar(MUCH), scalar(1)], SIZES),
    "fourier of less than nothing": ("DFT", {}, [np.zeros((1, 8, 1), np.float32), scalar(-8), scalar(1)], SIZES),
    "fourier at no axis": ("DFT", {}, [np.zeros((1, 8, 1), np.float32), None, scalar(9)], ("op.axis",)),
    "fourier without a step": ("STFT", {}, [np.zeros((1, 32, 1), np.float32), scalar(0), None, scalar(16)], SIZES),
    "fourier of a longer frame": ("STFT", {}, [np.zeros((1, 32, 1), np.float32), scalar(4), None, scalar(MUCH)], SIZES),
    "unpool past the end": ("MaxUnpool", {"kernel_shape": [2, 2]}, [IMAGE, np.full((1, 2, 4, 4), HUGE)], INDEX),
    "unpool to much": ("MaxUnpool", {"kernel_shape": [2, 2]}, [IMAGE, np.zeros((1, 2, 4, 4), np.int64), ints(1, 2, MUCH, MUCH)], SIZES),
    "regions of no image": ("RoiAlign", {}, [IMAGE, np.zeros((1, 4), np.float32), ints(1)], INDEX),
    "regions of much": ("RoiAlign", {"output_height": 1 << 40, "output_width": 1 << 40}, [IMAGE, np.zeros((1, 4), np.float32), ints(0)], SIZES),
    "regions with many samples": ("RoiAlign", {"sampling_ratio": 1 << 40}, [IMAGE, np.zeros((1, 4), np.float32), ints(0)], SIZES),
    "pooled regions of no image": ("MaxRoiPool", {"pooled_shape": [2, 2]}, [IMAGE, np.array([[7, 0, 0, 1, 1]], np.float32)], INDEX),
    "pooled regions of much": ("MaxRoiPool", {"pooled_shape": [1 << 40, 1 << 40]}, [IMAGE, np.zeros((1, 5), np.float32)], SIZES),
    "grid of much": ("AffineGrid", {}, [np.zeros((1, 2, 3), np.float32), ints(1, 1, MUCH, MUCH)], SIZES),
    "grid of less than nothing": ("AffineGrid", {}, [np.zeros((1, 2, 3), np.float32), ints(1, 1, -3, 3)], SIZES),
    "compress past the end": ("Compress", {"axis": 0}, [X, np.array([False, False, True])], INDEX + ("op.shape",)),
    "reverse more than there is": ("ReverseSequence", {}, [X, ints(9, 0, 0)], INDEX + ("op.size", "op.shape")),
    "random numbers in mass": ("RandomNormal", {"shape": [HUGE, 4]}, [], SIZES),
    "random numbers of less than nothing": ("RandomUniform", {"shape": [-1, 4]}, [], SIZES + ("model.invalid",)),
    "samples in mass": ("Multinomial", {"sample_size": HUGE}, [np.zeros((1, 4), np.float32)], SIZES),
    "sequence past the end": ("SequenceAt", {}, [[X, X], scalar(2)], INDEX),
    "erase before the start": ("SequenceErase", {}, [[X, X], scalar(-3)], INDEX),
    "insert past the end": ("SequenceInsert", {}, [[X, X], X, scalar(3)], INDEX),
    "split to a sequence of nothing": ("SplitToSequence", {}, [X, scalar(0)], SIZES),
    "split to a sequence of negative sizes": ("SplitToSequence", {}, [X, ints(-1, 3)], SIZES),
    "quantize at no axis": ("QuantizeLinear", {"axis": 9}, [X, np.ones(3, np.float32), np.zeros(3, np.uint8)], ("op.axis", "op.shape")),
    "dequantize blocks of less than nothing": ("DequantizeLinear", {"axis": 1, "block_size": -3}, [np.zeros((2, 3), np.uint8), np.ones((2, 1), np.float32)], SIZES + ("model.invalid",)),
    "recurrence of longer sequences": ("LSTM", {"hidden_size": 2}, [np.zeros((3, 1, 2), np.float32), np.zeros((1, 8, 2), np.float32), np.zeros((1, 8, 2), np.float32), None, np.array([9], np.int32)], INDEX + ("op.size", "op.shape")),
    "recurrence of negative sequences": ("GRU", {"hidden_size": 2}, [np.zeros((3, 1, 2), np.float32), np.zeros((1, 6, 2), np.float32), np.zeros((1, 6, 2), np.float32), None, np.array([-1], np.int32)], INDEX + ("op.size", "op.shape")),
    "eye past everything": ("EyeLike", {"k": -(1 << 63)}, [X[0]], None),
    "triangle past everything": ("Trilu", {}, [X, scalar(-(1 << 63))], None),
    "boxes without a limit": ("NonMaxSuppression", {}, [np.zeros((1, 3, 4), np.float32), np.zeros((1, 1, 3), np.float32), scalar((1 << 63) - 1)], None),
    "boxes of a negative limit": ("NonMaxSuppression", {}, [np.zeros((1, 3, 4), np.float32), np.zeros((1, 1, 3), np.float32), scalar(-1)], None),
    "slice far beyond": ("Slice", {}, [X, ints(-(1 << 63)), ints((1 << 63) - 1), ints(1), ints((1 << 63) - 1)], None),
    "slice backwards far beyond": ("Slice", {}, [X, ints((1 << 63) - 1), ints(-(1 << 63)), ints(1), ints(-(1 << 63))], None),
}


def types_of_outputs(node, infos, initializers):
    """By inference from the inputs' types, without shapes."""
    given = infos + [helper.make_tensor_value_info(value.name, value.data_type, None) for value in initializers]
    for info in given:
        if info.type.HasField("tensor_type"):
            info.type.tensor_type.ClearField("shape")
    graph = helper.make_graph([node], "types", given, [])
    imports = [helper.make_opsetid("", onnx.defs.onnx_opset_version())]
    inferred = onnx.shape_inference.infer_shapes(helper.make_model(graph, opset_imports=imports))
    found = {info.name: info.type for info in inferred.graph.value_info}
    for name in node.output:
        kind = found.get(name, helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, None))
        kind.tensor_type.ClearField("shape") if kind.HasField("tensor_type") else None
        yield name, kind


def model_of(operator, attributes, inputs, constants):
    names = [f"x{i}" if value is not None else "" for i, value in enumerate(inputs)]
    infos, initializers = [], []
    for name, value in zip(names, inputs):
        if value is None:
            continue
        array = value[0] if isinstance(value, list) else value
        kind = helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(array.dtype), [None] * array.ndim)
        if isinstance(value, list):
            kind = helper.make_sequence_type_proto(kind)
        elif constants and name != "x0":
            initializers.append(numpy_helper.from_array(value, name))
            continue
        infos.append(helper.make_value_info(name, kind))
    outputs = 2 if operator in ("TopK", "MaxPool") else 1
    node = helper.make_node(operator, names, [f"y{i}" for i in range(outputs)], **attributes)
    results = [helper.make_value_info(name, kind) for name, kind in types_of_outputs(node, infos, initializers)]
    graph = helper.make_graph([node], "hostile", infos, results, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", onnx.defs.onnx_opset_version())]), [
        info.name for info in infos]


@pytest.mark.parametrize("constants", [False, True], ids=["given", "constant"])
@pytest.mark.parametrize("name", CASES)
def test_hostile(name, constants):
    operator, attributes, inputs, reasons = CASES[name]
    model, given = model_of(operator, attributes, inputs, constants)
    feeds = {f"x{i}": value for i, value in enumerate(inputs) if f"x{i}" in given}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if reasons is None:
        lanner.compile(model).run(feeds)
    else:
        with pytest.raises(lanner.Error) as raised:
            lanner.compile(model).run(feeds)
        assert raised.value.reason in reasons, str(raised.value)
        assert operator in str(raised.value) or raised.value.reason == "model.invalid"
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 64 * 1024




def test_a_loop_of_many_iterations_has_no_room_for_their_results():
    """The result's size is known before the first iteration, so that nobody waits for the last."""
    model = parser.parse_model('''<ir_version: 10, opset_import: ["" : 21]>
        g (int64 trips, float x) => (float[n] y) <bool go = {1}> {
          y = Loop(trips, go)<body: graph = b (int64 i, bool again) => (bool again_out, float item) {
            again_out = Identity(again) item = Neg(x) }>
        }''')
    run = lanner.compile(model).run
    assert run({"trips": scalar(3), "x": scalar(2, np.float32)})["y"].tolist() == [-2, -2, -2]
    for trips in (MUCH, HUGE):
        with pytest.raises(lanner.Error) as raised:
            run({"trips": scalar(trips), "x": scalar(2, np.float32)})
        assert raised.value.reason in SIZES
