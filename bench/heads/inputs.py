"""Seeded inputs for the head fixtures of tests/models/heads, and for one NonMaxSuppression.

    busy    what a trained detector gives: objects around which several anchors fire, with similar scores, for the object's
            class and for a class that is often confused with it; everything else far below the score threshold. About
            2,000 pairs of anchor and class pass it, over about half of the classes.
    dense   the same scene, in which nearly every anchor passes the threshold of nearly every class. Where the threshold is
            1e-8, as in tf_ssd_dense, busy inputs are that already.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import numpy as np

HEADS = Path(__file__).resolve().parents[2] / "tests" / "models" / "heads"
sys.path.insert(0, str(HEADS))

import anchors  # noqa: E402

CANDIDATES = 2000
OBJECTS = 45
FREQUENT = 0.42  # of the objects are of the second class, which so has more candidates than torchvision's SSD lets pass
FIRING = 30  # anchors for each object
FIRING_RANGE = 5.0  # logits from the last to the first of them
CONFUSION = 1.0  # by how much the logits of the second class are lower
LOGIT_NOISE = 0.5
SIDES = (0.12, 0.55)  # of the objects, from the least to the most
BOX_NOISE = 0.04  # of the predicted boxes, in sizes of the object
QUIET = -7.0, 1.0  # mean and spread of the logits where nothing fires


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


@dataclass(frozen=True)
class Head:
    """Rows of anchors; foreground classes; the score threshold; how boxes and logits become the model's inputs, and which
    scores it makes of the logits; of dense inputs the mean and spread of the logits, and the part of FIRING_RANGE in use."""

    anchors: np.ndarray
    class_count: int
    threshold: float
    feed: Callable
    scores: Callable = sigmoid
    dense: tuple = (-1.0, 0.5, 0.4)  # no score so close to 1 that rounding decides the order


def centre_and_size(boxes):
    """Boxes (top, left, bottom, right) as rows like anchors."""
    top, left, bottom, right = boxes.T
    return np.stack([(top + bottom) / 2, (left + right) / 2, bottom - top, right - left], 1)


def corners(rows):
    y, x, height, width = rows.T
    return np.stack([y - height / 2, x - width / 2, y + height / 2, x + width / 2], 1)


def overlaps(rows, boxes):
    """Intersection over union of every row with every box."""
    a, b = corners(rows)[:, None], boxes[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    common = sides.clip(0).prod(-1)
    return common / ((a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - common)


def offsets(rows, boxes):
    """(y, x, height, width) of each box relative to its anchor, as the usual box coder has it with weights of 1."""
    target = centre_and_size(boxes)
    return np.concatenate([(target[:, :2] - rows[:, :2]) / rows[:, 2:], np.log(target[:, 2:] / rows[:, 2:])], 1)


def with_background(logits, background):
    return np.concatenate([np.full((len(logits), 1), background), logits], 1)


def batch(**arrays):
    return {name: np.ascontiguousarray(array[None], np.float32) for name, array in arrays.items()}


def feed_object_detection_api(rows, boxes, logits):
    encodings = offsets(rows, boxes) * (10, 10, 5, 5)
    return batch(raw_box_encodings=encodings, raw_class_logits=with_background(logits, 0))


SSD_BACKGROUND = 3.0  # the background's logit


def feed_ssd(rows, boxes, logits):
    regression = offsets(rows, boxes)[:, [1, 0, 3, 2]] * (10, 10, 5, 5)
    return batch(box_regression=regression, cls_logits=with_background(logits, SSD_BACKGROUND))


def ssd_scores(logits):
    powers = np.exp(with_background(logits, SSD_BACKGROUND))
    return (powers / powers.sum(1, keepdims=True))[:, 1:]


def feed_retinanet(rows, boxes, logits):
    return batch(box_regression=offsets(rows, boxes)[:, [1, 0, 3, 2]], cls_logits=logits)


FCOS_CENTRENESS = 1.0


def feed_fcos(rows, boxes, logits):
    centre, size = rows[:, :2], rows[:, 2:]
    sides = np.concatenate([(centre - boxes[:, :2]) / size, (boxes[:, 2:] - centre) / size], 1)[:, [1, 0, 3, 2]]
    centreness = np.full((len(rows), 1), FCOS_CENTRENESS)
    return batch(box_regression=sides.clip(0), cls_logits=logits, centerness=centreness)


def fcos_scores(logits):
    return np.sqrt(sigmoid(logits) * sigmoid(FCOS_CENTRENESS))


def feed_nms(rows, boxes, logits):
    return batch(boxes=boxes, scores=sigmoid(logits).T)


TF_BUSY = 0.3  # the score threshold of the busy TensorFlow heads
# A softmax gives 90 classes more than the threshold of 0.01 only if they are nearly equal.
SSD_DENSE = (8.0, 0.03, 0.1)
HEAD_KINDS = {
    "tf_ssd": Head(anchors.object_detection_api(), 90, TF_BUSY, feed_object_detection_api),
    "tf_v5": Head(anchors.object_detection_api(), 10, TF_BUSY, feed_object_detection_api),
    "tv_ssd_1917": Head(anchors.torchvision_ssd(1917), 90, 0.01, feed_ssd, ssd_scores, SSD_DENSE),
    "tv_ssd_8732": Head(anchors.torchvision_ssd(8732), 90, 0.01, feed_ssd, ssd_scores, SSD_DENSE),
    "tv_retinanet": Head(anchors.retinanet(), 91, 0.05, feed_retinanet),
    "tv_fcos": Head(anchors.fcos(), 91, 0.2, feed_fcos, fcos_scores),
    "nms_8400": Head(anchors.yolo(), 80, TF_BUSY, feed_nms),
    "nms_25000": Head(anchors.fine(), 90, TF_BUSY, feed_nms),
}


def kind_of(name):
    """The kind of head that a fixture is, from its file name."""
    (kind,) = [kind for kind in HEAD_KINDS if name.startswith(kind)]
    return kind


def scene(head, seed):
    """Boxes [anchors, 4] as a detector predicts them, how much each anchor fires for each class (0: not at all), and
    noise like it."""
    random = np.random.Generator(np.random.PCG64(seed))
    rows, shape = head.anchors.astype(np.float64), (len(head.anchors), head.class_count)
    low, high = np.log(SIDES)
    sizes = np.exp(random.uniform(low, high, (OBJECTS, 2)))
    objects = corners(np.concatenate([random.uniform(0.1, 0.9, (OBJECTS, 2)), sizes], 1))
    classes = np.where(random.random(OBJECTS) < FREQUENT, 1, random.integers(0, head.class_count, OBJECTS))

    overlap = overlaps(rows, objects)
    owner = overlap.argmax(1)
    firing, owned = np.zeros(shape), np.zeros(len(rows), bool)
    for index, label in enumerate(classes):
        best = np.argsort(-overlap[:, index], kind="stable")[:FIRING]
        strength = FIRING_RANGE * np.linspace(1, 0, len(best), endpoint=False)
        for column, loss in ((label, 0), ((label + 1) % head.class_count, CONFUSION)):
            firing[best, column] = np.maximum(firing[best, column], strength - loss + FIRING_RANGE)
        owned[best], owner[best] = True, np.where(owned[best], owner[best], index)
    predicted = centre_and_size(np.where(owned[:, None], objects[owner], corners(rows)))
    noise = random.normal(0, BOX_NOISE, (len(rows), 4))
    predicted[:, :2] += noise[:, :2] * predicted[:, 2:]
    predicted[:, 2:] *= np.exp(noise[:, 2:])
    return corners(predicted), firing, random.normal(0, 1, shape)


def busy(kind, seed=0):
    head = HEAD_KINDS[kind]
    return head.feed(head.anchors.astype(np.float64), *busy_predictions(head, seed))


def busy_predictions(head, seed=0):
    """Boxes and logits."""
    boxes, firing, noise = scene(head, seed)
    mean, spread = QUIET
    low, high = -20.0, 20.0
    for _ in range(40):
        shift = (low + high) / 2
        logits = np.where(firing > 0, firing + shift + LOGIT_NOISE * noise, mean + spread * noise)
        low, high = (low, shift) if candidate_count(head, logits) > CANDIDATES else (shift, high)
    return boxes, logits


def dense(kind, seed=0):
    head = HEAD_KINDS[kind]
    return head.feed(head.anchors.astype(np.float64), *dense_predictions(head, seed))


def dense_predictions(head, seed=0):
    """Boxes and logits."""
    boxes, firing, noise = scene(head, seed)
    mean, spread, part = head.dense
    return boxes, mean + spread * noise + part * firing


def candidate_count(head, logits):
    return np.count_nonzero(head.scores(logits) > head.threshold)
