#!/usr/bin/env python3
"""Exports detectors and backbones in their published sizes, with random weights, for bench/compare_peers.py. Needs PyTorch,
torchvision, transformers and ultralytics.

    python tools/export_architectures.py FOLDER [NAME...]

The architectures are those that detectors are built on and that no fixture of tests/models has. Convolutions and batch norms
are calibrated on random pictures, as in tools/export_small.py, so that numbers stay in range; the detections mean nothing.
"""

import argparse
import functools
import io
import sys
from pathlib import Path

import onnx
import torch
import torchvision

import export_small

SEED = 90_000
CALIBRATION_PICTURES = 2


def detr(side):
    from transformers import DetrConfig, DetrForObjectDetection, ResNetConfig

    backbone = ResNetConfig(out_features=["stage4"])
    return DetrForObjectDetection(DetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, backbone_config=backbone, num_labels=91))


def yolos(side):
    from transformers import YolosConfig, YolosForObjectDetection

    return YolosForObjectDetection(YolosConfig(
        hidden_size=192, num_hidden_layers=12, num_attention_heads=3, intermediate_size=768, image_size=[side, side],
        patch_size=16, num_detection_tokens=100, num_labels=91))


def rt_detr(side):
    from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrResNetConfig

    backbone = RTDetrResNetConfig(embedding_size=64, hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2],
                                  layer_type="basic", out_features=["stage2", "stage3", "stage4"])
    return RTDetrForObjectDetection(RTDetrConfig(
        backbone_config=backbone, backbone=None, use_pretrained_backbone=False, encoder_in_channels=[128, 256, 512],
        hidden_expansion=0.5, decoder_layers=3, num_denoising=0, num_labels=80, anchor_image_size=[side, side]))


def classifier(seed, name, side=224):
    model = torchvision.models.get_model(name, weights=None).eval()
    export_small.generate_weights(model, seed)
    pictures = torch.rand(CALIBRATION_PICTURES, 3, side, side)
    export_small.calibrate(model, lambda: model(pictures))
    data = io.BytesIO()
    torch.onnx.export(model, (pictures[:1],), data, dynamo=False, opset_version=17, input_names=["image"],
                      output_names=["logits"])
    return onnx.load_model_from_string(data.getvalue()), 0


def unchanged(config):
    pass


transformers_model = functools.partial(export_small.transformers_model, dynamo=False)
ultralytics_model = functools.partial(export_small.ultralytics_model, edit=unchanged, side=640)
BUILDERS = {
    "yolov5n": functools.partial(ultralytics_model, file="yolov5.yaml"),
    "yolov10n": functools.partial(ultralytics_model, file="yolov10n.yaml"),
    "yolo11n_nms": functools.partial(ultralytics_model, file="yolo11.yaml", nms=True),
    "rt_detr_r18": functools.partial(transformers_model, make=rt_detr, side=640),
    "detr_r50": functools.partial(transformers_model, make=detr, side=640),
    "yolos_tiny": functools.partial(export_small.transformers_model, make=yolos, dynamo=True, side=512),
} | {
    name: functools.partial(classifier, name=name)
    for name in ("mobilenet_v2", "mobilenet_v3_large", "efficientnet_b0", "regnet_y_800mf", "densenet121",
                 "resnext50_32x4d", "shufflenet_v2_x1_0", "convnext_tiny", "swin_t")
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BUILDERS) + "; default all")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    export_small.CALIBRATION_PICTURES = CALIBRATION_PICTURES
    torch.manual_seed(0)
    for name in options.names or BUILDERS:
        with torch.no_grad():
            model, _ = BUILDERS[name](SEED)
        onnx.save(model, options.folder / f"{name}.onnx")
        print(name, len(model.graph.node), "nodes", flush=True)


if __name__ == "__main__":
    sys.exit(main())
