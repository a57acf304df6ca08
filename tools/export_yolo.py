#!/usr/bin/env python3
"""Exports an ultralytics YOLOv8n with NMS in the graph as tests/models/yolov8n.onnx.gz. Needs PyTorch and ultralytics.

    python tools/export_yolo.py

Built from ultralytics' own yolov8n.yaml and written by its exporter (`nms=True`, 640 × 640 pixels, 80 classes). The weights
are random, from the generator of tests/models/rebuild.py, but calibrated on synthetic pictures: every layer's output has
unit variance, and the median picture has CANDIDATES pairs of anchor and class above the confidence threshold of 0.25.
"""

import os
import tempfile

import onnx
import torch
from ultralytics import YOLO

from compact_model import all_nodes, write_compact
from export_models import CALIBRATION_SEED, MODELS, generate_weights, rescale, run_normalising
import pictures
import rebuild

NAME = "yolov8n"
SEED = 4_000
OPSET = 17
CALIBRATION_PICTURES = 8
THRESHOLD = 0.25  # the exporter's own
CANDIDATES = 1_000
CLASS_SPREAD, CLASS_BIAS, FREQUENT = 1.5, 0.7, 2.0  # of logits, of the classes' biases, and the bias of the first class
BOX_SPREAD = 1.5  # of the logits of distances


def calibrate(network, images):
    detect = network.model[-1]
    run_normalising(network, images)
    for layer in (branch[-1] for branch in detect.cv2):
        rescale(layer, BOX_SPREAD)
    layers = [branch[-1] for branch in detect.cv3]
    maps = []
    handles = [layer.register_forward_hook(lambda _, __, output: maps.append(output)) for layer in layers]
    network(images)
    for handle in handles:
        handle.remove()
    logits = torch.cat([output.flatten(2) for output in maps], 2).transpose(1, 2) * CLASS_SPREAD
    bias = torch.from_numpy(rebuild.unit(SEED - 1, (detect.nc,))) * 3**0.5 * CLASS_BIAS
    bias[0] = FREQUENT
    low, high = -40.0, 40.0
    for _ in range(40):
        shift = (low + high) / 2
        count = ((logits + bias + shift).sigmoid() > THRESHOLD).flatten(1).sum(1).median()
        low, high = (low, shift) if count > CANDIDATES else (shift, high)
    print(f"  bias {shift:.2f}, {count} candidates in the median picture")
    for layer in layers:
        rescale(layer, CLASS_SPREAD, bias + shift)


def export(yolo):
    here = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # the exporter writes beside the model
        try:
            path = yolo.export(format="onnx", imgsz=640, nms=True, simplify=False, opset=OPSET)
            proto = onnx.load(path)
        finally:
            os.chdir(here)
    for node in all_nodes(proto.graph):
        node.ClearField("doc_string")
    proto.graph.ClearField("doc_string")
    del proto.metadata_props[:]  # dates and paths
    return proto


def main():
    yolo = YOLO(f"{NAME}.yaml")
    network = yolo.model.eval()
    fixed = network.model[-1].dfl.conv.weight.data.clone()
    seeds = generate_weights(network, SEED)
    network.model[-1].dfl.conv.weight.data = fixed  # the expectation over 16 distances
    shape = pictures.SHAPES[NAME]
    images = [torch.from_numpy(pictures.picture(CALIBRATION_SEED + k, *shape)) for k in range(CALIBRATION_PICTURES)]
    with torch.no_grad():
        calibrate(network, torch.stack(images))
    write_compact(export(yolo), seeds, MODELS / f"{NAME}.onnx.gz")


if __name__ == "__main__":
    main()
