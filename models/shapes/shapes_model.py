"""The network of the shapes detector: a small SSD of depthwise-separable convolutions with a feature pyramid.

Input: float32 [batch, 3, 192, 192], as `normalise` makes it. Three levels (strides 8, 16 and 32) carry two square
anchors per cell. The score of a class is an independent sigmoid. A class is a shape and a colour, and its logit is the
sum of a shape term and a colour term; both are linear in the features, so `SSD.plain_scores` replaces the two terms by
one ordinary convolution with an output per class.
"""

import torch
from torch import nn
from torch.nn import functional

from shapes_data import CLASSES, COLOURS, MEAN, SCALE, SHAPES, SIZE_PX, STD

LEVELS = ((8, 128, 22), (16, 192, 44), (32, 256, 88))  # stride, backbone channels, side of the smaller anchor in px
ANCHOR_RATIOS = (1.0, 2**0.5)  # of a cell's anchor sides to the smaller one
ANCHORS = len(ANCHOR_RATIOS)
WIDTH = 128  # channels of the pyramid and the heads
PRIOR = 0.01  # initial score of every class
MAX_LOG_SIZE = 4.0  # a box is at most exp(4) times its anchor


def normalise(pictures):
    """uint8 [batch, height, width, 3] to the network's input."""
    images = pictures.permute(0, 3, 1, 2).to(torch.float32) * SCALE
    return (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def make_anchors():
    """float32 [anchors, 4] as centre x, centre y, width, height in 0..1, in the order of the heads' outputs."""
    anchors = []
    for stride, _, side_px in LEVELS:
        centres = (torch.arange(SIZE_PX // stride) + 0.5) * stride / SIZE_PX
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        sides = torch.tensor(ANCHOR_RATIOS) * side_px / SIZE_PX
        cells = torch.stack((x, y), -1).reshape(-1, 1, 2).expand(-1, ANCHORS, 2)
        anchors.append(torch.cat((cells, sides.view(1, -1, 1).expand(len(cells), -1, 2)), -1).reshape(-1, 4))
    return torch.cat(anchors)


def corners(boxes):
    """Centre, size boxes as xyxy."""
    return torch.cat((boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2), -1)


def convolution(inputs, outputs, kernel, stride=1, groups=1):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def separable(inputs, outputs, stride=1):
    return nn.Sequential(convolution(inputs, inputs, 3, stride, groups=inputs), convolution(inputs, outputs, 1))


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.body = separable(channels, channels)

    def forward(self, x):
        return x + self.body(x)


class Head(nn.Module):
    """One level's score and box outputs."""

    def __init__(self):
        super().__init__()
        self.tower = separable(WIDTH, WIDTH)
        self.shape = nn.Conv2d(WIDTH, ANCHORS * len(SHAPES), 1)
        self.colour = nn.Conv2d(WIDTH, ANCHORS * len(COLOURS), 1)
        self.box = nn.Conv2d(WIDTH, ANCHORS * 4, 1)
        self.plain = None
        for layer in (self.shape, self.colour, self.box):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
        for layer in (self.shape, self.colour):
            nn.init.constant_(layer.bias, torch.logit(torch.tensor(PRIOR)).item() / 2)

    def plain_scores(self):
        def summed(shape, colour):
            shape = shape.view(ANCHORS, len(SHAPES), 1, *shape.shape[1:])
            colour = colour.view(ANCHORS, 1, len(COLOURS), *colour.shape[1:])
            return nn.Parameter((shape + colour).flatten(0, 2))

        self.plain = nn.Conv2d(WIDTH, ANCHORS * len(CLASSES), 1)
        self.plain.weight = summed(self.shape.weight.data, self.colour.weight.data)
        self.plain.bias = summed(self.shape.bias.data, self.colour.bias.data)

    def forward(self, x):
        x = self.tower(x)
        boxes = self._rows(self.box(x), 4)
        if self.plain is not None:
            return self._rows(self.plain(x), len(CLASSES)), boxes
        shapes, colours = self._rows(self.shape(x), len(SHAPES)), self._rows(self.colour(x), len(COLOURS))
        return (shapes[..., :, None] + colours[..., None, :]).flatten(2), boxes

    @staticmethod
    def _rows(x, columns):
        """[batch, anchors * columns, height, width] to [batch, height * width * anchors, columns]."""
        return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, columns)


class SSD(nn.Module):
    """Images to class logits [batch, anchors, classes] and boxes [batch, anchors, 4], xyxy in 0..1."""

    def __init__(self):
        super().__init__()
        channels = [c for _, c, _ in LEVELS]
        self.stages = nn.ModuleList(
            (
                nn.Sequential(
                    convolution(3, 24, 3, 2),
                    separable(24, 64, 2),
                    Residual(64),
                    separable(64, channels[0], 2),
                    Residual(channels[0]),
                    Residual(channels[0]),
                ),
                nn.Sequential(
                    separable(channels[0], channels[1], 2), Residual(channels[1]), Residual(channels[1]), Residual(channels[1])
                ),
                nn.Sequential(separable(channels[1], channels[2], 2), Residual(channels[2]), Residual(channels[2])),
            )
        )
        self.laterals = nn.ModuleList(nn.Conv2d(c, WIDTH, 1) for c in channels)
        self.heads = nn.ModuleList(Head() for _ in LEVELS)
        self.register_buffer("anchors", make_anchors(), persistent=False)

    def plain_scores(self):
        """Gives every class an output channel of its own; the outputs stay the same."""
        for head in self.heads:
            head.plain_scores()

    def forward(self, images):
        features = []
        for stage in self.stages:
            images = stage(images)
            features.append(images)
        merged, outputs = None, []
        for feature, lateral, head in reversed(list(zip(features, self.laterals, self.heads))):
            projected = lateral(feature)
            merged = projected if merged is None else projected + functional.interpolate(merged, scale_factor=2.0)
            outputs.append(head(merged))
        logits, deltas = (torch.cat(parts, 1) for parts in zip(*reversed(outputs)))
        centres = self.anchors[:, :2] + deltas[..., :2] * self.anchors[:, 2:]
        sizes = self.anchors[:, 2:] * deltas[..., 2:].clamp(max=MAX_LOG_SIZE).exp()
        return logits, corners(torch.cat((centres, sizes), -1))
