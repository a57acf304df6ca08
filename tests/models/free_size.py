"""A small detector whose image may have any size, with what makes sizes depend on data: pixels that fire (NonZero), the best of
them (TopK of as many as there are, up to a limit), and those that overlap less (NonMaxSuppression). Weights from a seed."""

import numpy as np
import onnx
from onnx import numpy_helper, parser

CLASSES = 3
SIZES = ((96, 128), (64, 64), (160, 96), (48, 200))  # what soaks alternate between

TEXT = """<ir_version: 10, opset_import: ["" : 21]>
free_size (float[1, 3, height, width] image) => (float[boxes, 4] boxes, float[boxes] scores, int64[boxes] labels)
<int64[1] two = {2}, int64[1] end = {4}, int64[3] row = {1, -1, 7}, int64[1] first = {0}, int64[1] four = {4},
 int64[1] last = {7}, int64[1] axis = {2}, float half = {0.5}, int64[1] most = {60},
 int64 limit = {20}, float overlap = {0.5}, float size = {16.0}, int64 column = {2}, int64[1] zero = {0}, int64 one = {1}> {
  c1 = Conv<strides: ints = [2, 2], pads: ints = [1, 1, 1, 1]>(image, w1, b1)
  a1 = Relu(c1)
  c2 = Conv<strides: ints = [2, 2], pads: ints = [1, 1, 1, 1]>(a1, w2, b2)
  a2 = Relu(c2)
  c3 = Conv<strides: ints = [2, 2], pads: ints = [1, 1, 1, 1]>(a2, w3, b3)
  a3 = Relu(c3)
  fine = Shape(a2)
  fine_size = Slice(fine, two, end)
  coarse = Shape(a3)
  coarse_channels = Slice(coarse, zero, two)
  sizes = Concat<axis: int = 0>(coarse_channels, fine_size)
  up = Resize<mode: string = "nearest">(a3, , , sizes)
  both = Add(a2, up)
  head = Conv<pads: ints = [1, 1, 1, 1]>(both, w4, b4)
  pixels = Transpose<perm: ints = [0, 2, 3, 1]>(head)
  rows = Reshape(pixels, row)
  offsets = Slice(rows, first, four, axis)
  logits = Slice(rows, four, last, axis)
  chances = Sigmoid(logits)
  grown = Mul(offsets, size)
  corners = Abs(grown)
  best = ReduceMax<keepdims: int = 0>(chances, axis)
  fires = Greater(best, half)
  places = NonZero(fires)
  where = Gather<axis: int = 0>(places, one)
  some_chances = Gather<axis: int = 1>(chances, where)
  some_best = Gather<axis: int = 1>(best, where)
  some_boxes = Gather<axis: int = 1>(corners, where)
  count = Shape(where)
  fewer = Min(count, most)
  top, order = TopK(some_best, fewer)
  ranks = Squeeze(order, zero)
  top_boxes = Gather<axis: int = 1>(some_boxes, ranks)
  top_chances = Gather<axis: int = 1>(some_chances, ranks)
  by_class = Transpose<perm: ints = [0, 2, 1]>(top_chances)
  picked = NonMaxSuppression(top_boxes, by_class, limit, overlap, half)
  index = Gather<axis: int = 1>(picked, column)
  labels = Gather<axis: int = 1>(picked, one)
  flat = Squeeze(top_boxes, zero)
  boxes = Gather<axis: int = 0>(flat, index)
  flat_best = Squeeze(top, zero)
  scores = Gather<axis: int = 0>(flat_best, index)
}"""


def model() -> onnx.ModelProto:
    proto = parser.parse_model(TEXT)
    random = np.random.default_rng(0)
    channels = (3, 16, 32, 32, 4 + CLASSES)
    for i, (inner, outer) in enumerate(zip(channels, channels[1:], strict=False), 1):
        scale = (2 / (9 * inner)) ** 0.5 * (2 if i == 4 else 1)
        weights = random.standard_normal((outer, inner, 3, 3)) * scale
        proto.graph.initializer.append(numpy_helper.from_array(weights.astype(np.float32), f"w{i}"))
        proto.graph.initializer.append(numpy_helper.from_array(np.zeros(outer, np.float32), f"b{i}"))
    return proto


def image(seed: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((1, 3, height, width)).astype(np.float32)
