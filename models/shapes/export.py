"""Exports a trained shapes detector to ONNX, its post-processing unrolled per class.

    python export.py --checkpoint /tmp/shapes/checkpoint.pt --output shapes.onnx

Like the exports of the TensorFlow Object Detection API, the file has for each of its 90 classes a score filter, a
NonMaxSuppression, a limit and the gathering of what is left, and one Concat per output at the end. Needs PyTorch,
torchvision and onnx.
"""

import argparse
import warnings
from pathlib import Path

import onnx
import torch
from torch import nn
from torchvision.ops import nms

from shapes_data import CLASSES, MEAN, SCALE, SIZE_PX, STD
from shapes_model import SSD

OPSET = 17
MIN_SCORE = 0.05
MAX_IOU = 0.45
MAX_PER_CLASS = 20

PROPERTIES = {
    "layout": "NCHW",
    "scale": repr(SCALE),
    "mean": ",".join(map(str, MEAN)),
    "std": ",".join(map(str, STD)),
    "resize": "stretch",
    "boxes": "boxes",
    "scores": "scores",
    "labels": "labels",
    "box_format": "xyxy",
    "normalized": "true",
    "classes": ",".join(CLASSES),
}


class Detector(nn.Module):
    """One picture to boxes [n, 4] (xyxy in 0..1), scores [n] and labels [n], class by class, best score first."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, image):
        logits, boxes = self.network(image)
        scores, boxes = logits[0].sigmoid(), boxes[0].clamp(0, 1)
        kept_boxes, kept_scores, kept_labels = [], [], []
        for label in range(len(CLASSES)):
            class_scores = scores[:, label]
            candidates = (class_scores > MIN_SCORE).nonzero()[:, 0]
            class_scores, class_boxes = class_scores[candidates], boxes[candidates]
            kept = nms(class_boxes, class_scores, MAX_IOU)[:MAX_PER_CLASS]
            kept_boxes.append(class_boxes[kept])
            kept_scores.append(class_scores[kept])
            kept_labels.append(torch.full_like(kept, label))
        return torch.cat(kept_boxes), torch.cat(kept_scores), torch.cat(kept_labels)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, help="file written by train.py")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()

    network = SSD().eval()
    network.load_state_dict(torch.load(args.checkpoint, weights_only=True)["average"])
    network.plain_scores()
    outputs = ["boxes", "scores", "labels"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracing exporter, about itself
        torch.onnx.export(
            Detector(network).eval(),
            (torch.zeros(1, 3, SIZE_PX, SIZE_PX),),
            args.output,
            dynamo=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=outputs,
            dynamic_axes={name: {0: "detections"} for name in outputs},
        )
    model = onnx.load(args.output)
    for node in model.graph.node:
        node.ClearField("doc_string")
    for key, value in PROPERTIES.items():
        model.metadata_props.add(key=f"lanner.detect.{key}", value=value)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, args.output)


if __name__ == "__main__":
    main()
