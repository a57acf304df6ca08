"""The anchors of the head fixtures, as rows (centre y, centre x, height, width) relative to the picture.

tools/export_heads.py gives the TensorFlow ones to its models, and checks torchvision's own generators against the others.
"""

import math

import numpy as np

SSD_SIDES = (19, 10, 5, 3, 2, 1)  # of the feature maps of an SSD on MobileNet, for a picture of 300×300
VGG_SIDES, VGG_STEPS = (38, 19, 10, 5, 3, 1), (8, 16, 32, 64, 100, 300)
VGG_SCALES = (0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05)
PYRAMID_SIDES = (32, 16, 8, 4, 2)  # of the maps of RetinaNet and FCOS, for a picture of 256×256
PYRAMID_PICTURE = 256


def object_detection_api(count=1917):
    """The grid of the TensorFlow Object Detection API's SSD: three shapes a position on the first map, six on the others.
    Where `count` is not 1,917: the first `count` anchors, if need be of maps twice, four times, … as fine."""
    factor = 1
    while sum((factor * side) ** 2 * (6 if level else 3) for level, side in enumerate(SSD_SIDES)) < count:
        factor *= 2
    scales = [0.2 + 0.75 * level / 5 for level in range(6)] + [1.0]
    shapes = [_shapes(((0.1, 1), (scales[0], 2), (scales[0], 0.5)))]
    for scale, following in zip(scales[1:], scales[2:]):
        ratios = ((scale, 1), (scale, 2), (scale, 0.5), (scale, 3), (scale, 1 / 3))
        shapes.append(_shapes((*ratios, (math.sqrt(scale * following), 1))))
    return _grid([factor * side for side in SSD_SIDES], shapes)[:count]


def torchvision_ssd(count):
    """SSD300's 8,732 anchors, or 1,917 on the maps of MobileNet: with one shape less on the first."""
    if count == 8732:
        centre_steps = [step / 300 for step in VGG_STEPS]
        return _grid(VGG_SIDES, _default_boxes(VGG_SCALES, (1, 2, 2, 2, 1, 1)), centre_steps)
    assert count == 1917
    shapes = _default_boxes([0.15 + 0.75 * level / 5 for level in range(6)] + [1.0], (1, 2, 2, 2, 2, 2))
    shapes[0] = shapes[0][[0, 2, 3]]
    return _grid(SSD_SIDES, shapes)


def retinanet():
    """Nine shapes a position; as everything of AnchorGenerator, in whole pixels and around the positions' first pixels."""
    shapes = []
    for size in (32, 64, 128, 256, 512):
        sizes = [int(size * 2 ** (third / 3)) for third in range(3)]
        shapes.append([(math.sqrt(ratio) * size, size / math.sqrt(ratio)) for ratio in (0.5, 1.0, 2.0) for size in sizes])
    return _pyramid(shapes)


def fcos():
    return _pyramid([[(size, size)] for size in (8, 16, 32, 64, 128)])


def yolo():
    """The 8,400 squares of a picture of 640×640 at strides 8, 16 and 32."""
    return _grid((80, 40, 20), [np.array([[4 * stride / 640] * 2]) for stride in (8, 16, 32)])


def fine():
    """25,000 anchors: ten shapes at 50×50 positions."""
    return _grid((50,), [_shapes([(scale, ratio) for scale in (0.06, 0.1, 0.17, 0.3, 0.5) for ratio in (0.6, 1.6)])])


def _shapes(scales_and_ratios):
    return np.array([(scale / math.sqrt(ratio), scale * math.sqrt(ratio)) for scale, ratio in scales_and_ratios])


def _default_boxes(scales, ratio_counts):
    shapes = []
    for scale, following, count in zip(scales, scales[1:], ratio_counts):
        ratios = [(scale, ratio) for wide in (2, 3)[:count] for ratio in (wide, 1 / wide)]
        shapes.append(_shapes([(scale, 1), (math.sqrt(scale * following), 1), *ratios]).clip(0, 1))
    return shapes


def _pyramid(shapes):
    pixels = [2 * np.round(np.array(sizes) / 2) / PYRAMID_PICTURE for sizes in shapes]
    return _grid(PYRAMID_SIDES, pixels, offset=0)


def _grid(sides, shapes, steps=None, offset=0.5):
    """Every shape (height, width) of a map at every position, row by row."""
    levels = []
    for level, (side, sizes) in enumerate(zip(sides, shapes, strict=True)):
        places = (np.arange(side) + offset) * (steps[level] if steps else 1 / side)
        rows = [(y, x, height, width) for y in places for x in places for height, width in sizes]
        levels.append(np.array(rows))
    return np.concatenate(levels).astype(np.float32)
