"""Sizes that an export has baked in: compiling for other input sizes is an error that names the node, wherever the result would
be another than the model means; and no error where a constant only looks like it."""

import numpy as np
import onnxruntime
import pytest
from onnx import numpy_helper, parser

import free_size
import lanner
import rebuild

OPSET = 17


def all_nodes(graph):
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from all_nodes(attribute.g)


def network(body, shape, constants):
    """A model of an input `x` and an output `y`; every node has the name of its first output."""
    sizes = ", ".join(str(size) for size in shape)
    kind = "int64" if "y = Shape" in body else "float"
    text = f'<ir_version: 8, opset_import: ["" : {OPSET}]> g (float[{sizes}] x) => ({kind} y) {{ {body} }}'
    model = parser.parse_model(text)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    for name, value in dict(constants).items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    for node in all_nodes(model.graph):
        node.name = node.output[0]
    return model


def ints(*values):
    return np.array(values, np.int64)


def noise(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


MAX = (1 << 63) - 1
FEATURES = "wide = Conv<strides: ints = [2, 2], pads: ints = [1, 1, 1, 1]>(x, w) "
WEIGHTS = {"w": noise(8, 3, 3, 3)}
ROWS = FEATURES + "flat = Reshape(wide, flat_shape) rows = Transpose<perm: ints = [0, 2, 1]>(flat) "
ROW_WEIGHTS = {**WEIGHTS, "flat_shape": ints(0, 8, -1)}
EXPORTED = (1, 3, 16, 16)  # 8 x 8 = 64 rows of 8
TALLER, BATCH = (1, 3, 32, 16), (4, 3, 16, 16)

# What is baked in: the model's body, its constants, the new shapes, and what the error says.
BAKED = {
    "anchors that are added": (ROWS + "y = Add(rows, anchors)", {**ROW_WEIGHTS, "anchors": noise(1, 64, 8)}, [TALLER],
                               "Add 'y' reads 1x128x8, which was 1x64x8, and still 1x64x8 of the constant 'anchors'"),
    "strides that are multiplied": (ROWS + "y = Mul(rows, strides)", {**ROW_WEIGHTS, "strides": noise(64, 1)}, [TALLER],
                                    "Mul 'y' .* the constant 'strides'"),
    "a grid that is concatenated": (ROWS + "y = Concat<axis: int = 2>(rows, grid)", {**ROW_WEIGHTS, "grid": noise(1, 64, 2)},
                                    [TALLER, BATCH], "Concat 'y' .* the constant 'grid'"),
    "a grid that is made of constants": (
        ROWS + "grid = Range(zero, count, one) column = Unsqueeze(grid, last) y = Add(rows, column)",
        {**ROW_WEIGHTS, "zero": np.float32(0), "one": np.float32(1), "count": np.float32(64), "last": ints(1)}, [TALLER],
        "Add 'y' .* still 64x1 from"),
    "positions that are looked up": (
        ROWS + "embedded = Gather(table, places) y = Add(rows, embedded)",
        {**ROW_WEIGHTS, "table": noise(100, 8), "places": np.arange(64)}, [TALLER], "Add 'y' .* still 64x8 from"),
    "a class token of one image": (
        ROWS + "y = Concat<axis: int = 1>(token, rows)", {**ROW_WEIGHTS, "token": noise(1, 1, 8)}, [BATCH],
        "Concat 'y' .* the constant 'token'"),
    "a linear layer": (FEATURES + "flat = Flatten(wide) y = Gemm(flat, big)", {**WEIGHTS, "big": noise(512, 4)}, [TALLER],
                       "Gemm 'y' .* the constant 'big'"),
    "a map that is resized to the exported size": (
        FEATURES + "small = MaxPool<kernel_shape: ints = [2, 2], strides: ints = [2, 2]>(wide) "
        'up = Resize<mode: string = "nearest">(small, , , up_sizes) y = Add(wide, up)',
        {**WEIGHTS, "up_sizes": ints(1, 8, 8, 8)}, [TALLER, BATCH], "Resize 'up'"),
    "a batch that is resized": (
        'y = Resize<mode: string = "nearest">(x, , , up_sizes)', {"up_sizes": ints(1, 3, 20, 20)}, [BATCH], "Resize 'y'"),
    "an image that is resized to its own size": (
        'image = Resize<mode: string = "linear">(x, , , up_sizes) y = Relu(image)', {"up_sizes": ints(*EXPORTED)},
        [TALLER, BATCH], "Resize 'image' has the sizes 1x3x16x16 baked in"),
    "rows of one image": (FEATURES + "y = Reshape(wide, s)", {**WEIGHTS, "s": ints(1, 8, -1)}, [BATCH], "Reshape 'y'"),
    "a fixed number of rows": (FEATURES + "y = Reshape(wide, s)", {**WEIGHTS, "s": ints(-1, 64)}, [TALLER], "Reshape 'y'"),
    "windows": (
        FEATURES + "y = Reshape(wide, s)", {**WEIGHTS, "s": ints(-1, 8, 2, 4, 2, 4)}, [TALLER, (1, 3, 16, 32)], "Reshape 'y'"),
    "heads of one image": (
        ROWS + "turned = Transpose<perm: ints = [1, 0, 2]>(rows) y = Reshape(turned, s)",
        {**ROW_WEIGHTS, "s": ints(64, 2, -1)}, [TALLER], "Reshape 'y'"),
    "the batch in front of the heads": (
        ROWS + "y = Reshape(rows, s)", {**ROW_WEIGHTS, "s": ints(1, -1, 2, 4)}, [BATCH], "Reshape 'y'"),
    "all rows by their number": (
        ROWS + "y = Slice(rows, start, end, axis)", {**ROW_WEIGHTS, "start": ints(0), "end": ints(64), "axis": ints(1)},
        [TALLER], "Slice 'y' ends at 64 in dimension 1"),
    "all rows but the first": (
        ROWS + "y = Slice(rows, start, end, axis)", {**ROW_WEIGHTS, "start": ints(1), "end": ints(64), "axis": ints(1)},
        [TALLER], "Slice 'y' ends at 64 in dimension 1"),
    "the only image by its number": (
        ROWS + "y = Gather(rows, place)", {**ROW_WEIGHTS, "place": np.array(0)}, [BATCH],
        "Gather 'y' reads the only position of dimension 0"),
    "all rows by their places": (
        ROWS + "y = Gather<axis: int = 1>(rows, places)", {**ROW_WEIGHTS, "places": np.arange(64)[::-1].copy()}, [TALLER],
        "Gather 'y' reads each position up to the exported size of dimension 1"),
    "a row that is not there any more": (
        ROWS + "y = Gather<axis: int = 1>(rows, places)", {**ROW_WEIGHTS, "places": ints(3, 50)}, [(1, 3, 8, 8)],
        "Gather 'y' reads position 50 of dimension 1"),
    "pixels by their places": (
        FEATURES + "turned = Transpose<perm: ints = [2, 3, 0, 1]>(wide) y = GatherND(turned, places)",
        {**WEIGHTS, "places": np.argwhere(np.ones((8, 8)))}, [TALLER], "GatherND 'y'"),
    "columns that are written back": (
        ROWS + "halves = Mul(rows, half) y = ScatterND(rows, places, updates)",
        {**ROW_WEIGHTS, "half": np.float32(0.5), "places": np.argwhere(np.ones((1, 64, 2))), "updates": noise(128)},
        [TALLER, BATCH], "ScatterND 'y'"),
    "elements of one image": (
        ROWS + "y = GatherElements<axis: int = 1>(rows, places)",
        {**ROW_WEIGHTS, "places": np.zeros((1, 5, 8), np.int64)}, [BATCH], "GatherElements 'y' has indices for 1 of dimension 0"),
    "the best of all rows": (
        ROWS + "y, places = TopK<axis: int = 1>(rows, k)", {**ROW_WEIGHTS, "k": ints(64)}, [TALLER],
        "TopK 'y' takes 64 of dimension 1"),
    "more than there are": (
        ROWS + "y, places = TopK<axis: int = 1>(rows, k)", {**ROW_WEIGHTS, "k": ints(50)}, [(1, 3, 8, 8)], "TopK 'y'"),
    "a split by sizes": (
        ROWS + "y, z = Split<axis: int = 1>(rows, parts)", {**ROW_WEIGHTS, "parts": ints(48, 16)}, [TALLER], "Split 'y'"),
    "a squeezed batch": (ROWS + "y = Squeeze(rows, first)", {**ROW_WEIGHTS, "first": ints(0)}, [BATCH], "Squeeze 'y'"),
    "inside a branch": (
        ROWS + "total = ReduceSum<keepdims: int = 0>(rows) positive = Greater(total, zero) "
        "y = If<then_branch: graph = g1 () => (float[n, m, 8] a) { a = Add(rows, anchors) }, "
        "else_branch: graph = g2 () => (float[n, m, 8] b) { b = Identity(rows) }>(positive)",
        {**ROW_WEIGHTS, "zero": np.float32(0), "anchors": noise(1, 64, 8)}, [TALLER],
        "Add 'a' .* the constant 'anchors'"),
}


@pytest.mark.parametrize("name", BAKED)
def test_the_node_is_named(name):
    body, constants, shapes, said = BAKED[name]
    model = network(body, EXPORTED, constants)
    lanner.compile(model, shapes={"x": EXPORTED})
    for shape in shapes:
        with pytest.raises(lanner.Error, match=said) as raised:
            lanner.compile(model, shapes={"x": shape})
        assert raised.value.reason == "option.shapes"
        opened = [None if old != new else old for old, new in zip(EXPORTED, shape)]
        if shape < EXPORTED:
            continue
        with pytest.raises(lanner.Error, match=said.split(" reads ")[0].split(" .*")[0]):
            lanner.compile(model, shapes={"x": opened})


SIZES = [TALLER, BATCH, (1, 3, 8, 8), (3, 3, 24, 40), EXPORTED]
# What follows from the input, or does not mean its size.
FREE = {
    "rows by what is left": (FEATURES + "y = Reshape(wide, s)", {**WEIGHTS, "s": ints(0, 8, -1)}, SIZES),
    "rows of all images": (ROWS + "y = Reshape(rows, s)", {**ROW_WEIGHTS, "s": ints(-1, 8)}, SIZES),
    "groups of channels": (FEATURES + "y = Reshape(wide, s)", {**WEIGHTS, "s": ints(0, 4, -1)}, SIZES),
    "shuffled channels": (
        FEATURES + "a = Shape(wide) h = Slice(a, two, four) n = Slice(a, zero, one) s = Concat<axis: int = 0>(n, groups, h) "
        "b = Reshape(wide, s) y = Transpose<perm: ints = [0, 2, 1, 3, 4]>(b)",
        {**WEIGHTS, "zero": ints(0), "one": ints(1), "two": ints(2), "four": ints(4), "groups": ints(2, 4)}, SIZES),
    "a batch that stays 1": (FEATURES + "y = Reshape(wide, s)", {**WEIGHTS, "s": ints(1, 8, -1)}, [TALLER, (1, 3, 8, 8)]),
    "heads": (ROWS + "y = Reshape(rows, s)", {**ROW_WEIGHTS, "s": ints(0, -1, 2, 4)}, SIZES),
    "maps that stay as large": (FEATURES + "y = Reshape(wide, s)", {**WEIGHTS, "s": ints(-1, 8, 8, 8)}, [BATCH]),
    "a fixed size for any image": (
        'a = Resize<mode: string = "linear">(x, , , sizes) flat = Flatten(a) y = Gemm(flat, big)',
        {"sizes": ints(1, 3, 8, 8), "big": noise(192, 4)}, [TALLER, (1, 3, 8, 8), (1, 3, 48, 20)]),
    "all to the end": (
        ROWS + "y = Slice(rows, start, end, axis)", {**ROW_WEIGHTS, "start": ints(1), "end": ints(MAX), "axis": ints(1)}, SIZES),
    "all but the last": (
        ROWS + "y = Slice(rows, start, end, axis)", {**ROW_WEIGHTS, "start": ints(0), "end": ints(-1), "axis": ints(1)}, SIZES),
    "backwards": (
        ROWS + "y = Slice(rows, start, end, axis, step)",
        {**ROW_WEIGHTS, "start": ints(-1), "end": ints(-MAX), "axis": ints(1), "step": ints(-1)}, SIZES),
    "a few rows": (
        ROWS + "y = Slice(rows, start, end, axis)", {**ROW_WEIGHTS, "start": ints(0), "end": ints(5), "axis": ints(1)}, SIZES),
    "all channels by their number": (
        ROWS + "y = Slice(rows, start, end, axis)", {**ROW_WEIGHTS, "start": ints(0), "end": ints(8), "axis": ints(2)}, SIZES),
    "a row": (ROWS + "y = Gather<axis: int = 1>(rows, place)", {**ROW_WEIGHTS, "place": np.array(0)}, SIZES),
    "the shape of the first image": (
        ROWS + "image = Gather(rows, place) y = Shape(image)", {**ROW_WEIGHTS, "place": np.array(0)}, SIZES),
    "the best few": (ROWS + "y, places = TopK<axis: int = 1>(rows, k)", {**ROW_WEIGHTS, "k": ints(10)}, SIZES),
    "an offset for every image": (ROWS + "y = Add(rows, offset)", {**ROW_WEIGHTS, "offset": noise(1, 1, 8)}, SIZES),
    "anchors for every image": (ROWS + "y = Add(rows, anchors)", {**ROW_WEIGHTS, "anchors": noise(1, 64, 8)}, [BATCH]),
    "a mean": (FEATURES + "a = GlobalAveragePool(wide) flat = Flatten(a) y = Gemm(flat, big)", {**WEIGHTS, "big": noise(8, 4)},
               SIZES),
}


@pytest.mark.parametrize("name", FREE)
def test_what_follows_is_no_error(name):
    body, constants, shapes = FREE[name]
    model = network(body, EXPORTED, constants)
    open_model = network(body, ("N", 3, "H", "W"), constants)
    session = onnxruntime.InferenceSession(open_model.SerializeToString(), providers=["CPUExecutionProvider"])
    opened = tuple(None if len({shape[axis] for shape in [*shapes, EXPORTED]}) > 1 else EXPORTED[axis] for axis in range(4))
    for_all = lanner.compile(model, shapes={"x": opened})
    for shape in shapes:
        x = noise(*shape)
        expected = session.run(["y"], {"x": x})[0]
        for compiled in (lanner.compile(model, shapes={"x": shape}), for_all):
            np.testing.assert_allclose(compiled.run({"x": x})["y"], expected, rtol=1e-4, atol=1e-5)


# The node that keeps the exported size of a real export's image, and the one that keeps its batch.
EXPORTS = {
    "retinanet": ("Resize '/model/transform/Resize' has the sizes 1x3x128x128 baked in", None),
    "ssdlite_dynamo": ("Resize 'node_upsample_bilinear2d' has the sizes 1x3x160x160 baked in", None),
    "maskrcnn": ("Resize '/model/transform/Resize'", None),
    "detr": ("Reshape '/model/model/encoder/layers.0/self_attn/Reshape_2'", "Reshape '/model/model/encoder/layers.0/self_attn/Reshape'"),
    "conditional_detr_dynamo": ("Reshape 'node_view_51'", "Reshape 'node_view_51'"),
    "yolov8": ("Reshape '/model.22/dfl/Reshape' has the sizes 1x4x16x336 baked in", "Reshape '/model.22/Reshape' has the sizes 1x64x-1 baked in"),
    "yolo11_nms": ("Reshape '/model/model.10/m/m.0/attn/Reshape'", "Reshape '/model/model.10/m/m.0/attn/Reshape'"),
    "rtdetr_ultralytics": ("Reshape '/model.6/ma/Reshape_2' has the sizes 16x8x8 baked in", "Reshape '/model.6/ma/Reshape'"),
    "keras_efficientdet": ("Reshape 'functional_1/up_sampling2d_1/Repeat/Reshape_1'", "Reshape 'functional_1/block1a_se_reduce_1/convolution__23'"),
    "keras_centernet": ("Mul 'SelectV2__910' .* the constant 'zeros_like:0'", "Reshape 'Reshape' has the sizes 1x-1 baked in"),
}


@pytest.mark.parametrize("name", EXPORTS)
def test_what_exporters_bake_in_is_named(name):
    model = rebuild.load(f"small/{name}")
    (value,) = model.graph.input
    shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    spatial = range(len(shape) - 3, len(shape) - 1) if shape[-1] == 3 else range(len(shape) - 2, len(shape))
    larger = [size + 64 if axis in spatial else size for axis, size in enumerate(shape)]
    of_image, of_batch = EXPORTS[name]
    cases = [(larger, of_image)] + ([([4, *shape[1:]], of_batch)] if of_batch else [])
    for wanted, said in cases:
        with pytest.raises(lanner.Error, match=said) as raised:
            lanner.compile(model, shapes={value.name: wanted})
        assert raised.value.reason == "option.shapes"


def test_a_model_of_free_size_takes_any():
    model = free_size.model()
    for height, width in free_size.SIZES:
        compiled = lanner.compile(model, dims={"height": height, "width": width})
        assert compiled.inputs[0].shape == (1, 3, height, width)
        image = free_size.image(1, height, width)
        expected = lanner.compile(model).run({"image": image})
        for name, value in compiled.run({"image": image}).items():
            np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-5)
