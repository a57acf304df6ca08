"""Measures the shapes detector: mAP at an intersection over union of 0.5 on the fixed validation pictures.

    python evaluate.py --runtime onnxruntime
    python evaluate.py --runtime lanner --model shapes.lanner
    python evaluate.py --write-input input.npz

The last writes the first of the pictures as the model's input, for `lanner run` and `lanner profile`. Needs numpy and the
runtime.
"""

import argparse
from pathlib import Path

import numpy as np

from shapes_data import CLASSES, MEAN, SCALE, STD, validation_set

MODEL = Path(__file__).with_name("shapes.onnx")
MIN_IOU = 0.5


def network_input(picture):
    """uint8 [height, width, 3] to the model's float32 [1, 3, height, width]."""
    normalised = (picture.astype(np.float32) * np.float32(SCALE) - np.float32(MEAN)) / np.float32(STD)
    return np.ascontiguousarray(normalised.transpose(2, 0, 1)[None])


def onnxruntime_detector(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda image: session.run(["boxes", "scores", "labels"], {"image": image})


def lanner_detector(path):
    import lanner

    model = lanner.compile(str(path))

    def detect(image):
        outputs = model.run({"image": image})
        return outputs["boxes"], outputs["scores"], outputs["labels"]

    return detect


RUNTIMES = {"onnxruntime": onnxruntime_detector, "lanner": lanner_detector}


def iou(box, boxes):
    """Intersection over union of one xyxy box with each of `boxes`."""
    corner, opposite = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = (opposite - corner).clip(0).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return shared / (areas + (box[2:] - box[:2]).prod() - shared)


def average_precision(hits, truth_count):
    """Area under the precision-recall curve, each precision raised to the best one at any higher recall.

    `hits` says for each detection, best score first, whether it found a shape that no earlier one had found.
    """
    if len(hits) == 0:
        return 0.0
    found = np.cumsum(hits)
    precision = found / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(precision[np.asarray(hits, bool)].sum() / truth_count)


def mean_average_precision(detections, truths):
    """Mean over the classes that occur in `truths` of their average precision.

    `detections` holds (boxes, scores, labels) of each picture and `truths` its (boxes, labels). A detection is a hit if
    the shape of its class that it overlaps most has an IoU of at least MIN_IOU and has not been found before.
    """
    precisions = []
    for label in np.unique(np.concatenate([labels for _, labels in truths])):
        scored, truth_count = [], 0
        for (boxes, scores, labels), (true_boxes, true_labels) in zip(detections, truths):
            wanted = true_boxes[true_labels == label]
            truth_count += len(wanted)
            found = np.zeros(len(wanted), bool)
            boxes, scores = boxes[labels == label], scores[labels == label]
            for index in np.argsort(-scores, kind="stable"):
                overlaps = iou(boxes[index], wanted)
                best = overlaps.argmax() if len(wanted) else None
                hit = best is not None and overlaps[best] >= MIN_IOU and not found[best]
                if hit:
                    found[best] = True
                scored.append((scores[index], hit))
        scored.sort(key=lambda pair: -pair[0])
        precisions.append(average_precision([hit for _, hit in scored], truth_count))
    return float(np.mean(precisions))


def evaluate(detect, pictures=None):
    """mAP and number of detections of `detect`, which takes the model's input and returns boxes, scores and labels."""
    detections, truths = [], []
    for picture, true_boxes, true_labels in pictures or validation_set():
        boxes, scores, labels = detect(network_input(picture))
        side_px = np.float32(picture.shape[1::-1] * 2)
        detections.append((boxes * side_px, scores, labels))
        truths.append((true_boxes, true_labels))
    return mean_average_precision(detections, truths), sum(len(scores) for _, scores, _ in detections)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--runtime", choices=RUNTIMES)
    action.add_argument("--write-input", type=Path, metavar="FILE.npz")
    parser.add_argument("--model", type=Path, default=MODEL)
    args = parser.parse_args()
    if args.write_input:
        np.savez(args.write_input, image=network_input(validation_set()[0][0]))
        return
    precision, count = evaluate(RUNTIMES[args.runtime](args.model))
    print(f"mAP@{MIN_IOU} {precision:.4f} over {len(CLASSES)} classes, {count} detections")


if __name__ == "__main__":
    main()
