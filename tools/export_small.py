#!/usr/bin/env python3
"""Exports small detectors as tests/models/small/NAME.onnx.gz. Needs PyTorch, torchvision, transformers and ultralytics.

    python tools/export_small.py [NAME...]

torchvision's detectors with narrow backbones and few classes, DETR-like models of transformers from configuration objects,
and ultralytics' models from their YAML files with a smaller width. The weights are random, from the generator of
tests/models/rebuild.py; convolutions and batch norms are calibrated on synthetic pictures, and class predictors so that
a share of the scores passes the model's threshold. tests/models/small.py says which fixture is which.
"""

import argparse
import functools
import io
import os
import sys
import tempfile
from pathlib import Path
from unittest import mock

import onnx
import torch
import torchvision
import yaml
from torch import nn

from compact_model import all_nodes, write_compact
from export_models import generate_weights, rescale
import pictures
import rebuild

CALIBRATION_PICTURES, CALIBRATION_SEED = 8, 100
MIN_NUMBERS = 64  # of a channel, to tell its variance
OPSET = {False: 17, True: 18}  # by dynamo=
CLASSES = 8


def images_of(side):
    return [torch.from_numpy(pictures.picture(CALIBRATION_SEED + k, side, side)) for k in range(CALIBRATION_PICTURES)]


def logit(probability):
    return torch.logit(torch.tensor(float(probability))).item()


def record(layers, run, before=False):
    """What the layers give, or take in, over all their calls in one run, as [channel, number]."""
    values = {layer: [] for layer in layers}

    def keep(layer, inputs, outputs=None):
        value = inputs[0] if before else outputs
        values[layer].append(value.transpose(0, 1).flatten(1))

    handles = [layer.register_forward_pre_hook(keep) if before else layer.register_forward_hook(keep) for layer in layers]
    run()
    for handle in handles:
        handle.remove()
    return {layer: torch.cat(found, 1) for layer, found in values.items() if found}


def is_norm(layer):
    return getattr(layer, "running_mean", None) is not None


def calibrate(module, run):
    """Batch norms get the statistics of their inputs, and the outputs of convolutions that have a bias unit variance: all
    before the first layer that is called several times in one run, then one by one, in the order of their first calls."""
    layers = [layer for layer in module.modules()
              if is_norm(layer) or (isinstance(layer, nn.Conv2d) and layer.bias is not None)]
    calls = {}  # in the order of the first ones
    handles = [layer.register_forward_pre_hook(lambda layer, _: calls.update({layer: calls.get(layer, 0) + 1}))
               for layer in layers]
    run()
    for handle in handles:
        handle.remove()
    order = list(calls)
    shared = next((place for place, layer in enumerate(order) if calls[layer] > 1), len(order))

    def flat(value):
        return value.transpose(0, 1).flatten(1)

    def statistics(found):
        """Mean and variance of each channel; of a few numbers only the variance of them all, or it would suit no others."""
        if found.shape[1] < MIN_NUMBERS:
            return torch.zeros(len(found)), found.square().mean().expand(len(found))
        return found.mean(1), found.var(1)

    def set_norm(layer, found):
        mean, variance = statistics(found)
        layer.running_mean.copy_(mean)
        layer.running_var.copy_(variance + 1e-4)

    def set_convolution(layer, found):
        mean, variance = statistics(found)
        factor = 1 / (variance.sqrt() + 1e-3)
        rescale(layer, factor, -mean * factor)

    def normalise(layer, inputs, _):
        if is_norm(layer):
            set_norm(layer, flat(inputs[0]))
        else:
            set_convolution(layer, flat(layer._conv_forward(inputs[0], layer.weight, layer.bias)))
        hooks.pop(layer).remove()  # once: the call below is the layer's own
        return layer(*inputs)

    hooks = {}
    for layer in order[:shared]:
        hooks[layer] = layer.register_forward_hook(normalise)
    run()
    for layer in order[shared:]:
        found = record([layer], run, before=is_norm(layer))[layer]
        (set_norm if is_norm(layer) else set_convolution)(layer, found)


def set_scores(layers, run, threshold, share, reach=3.5):
    """Gives the class layers a bias with which `share` of their sigmoids pass the threshold, and such a factor that the
    largest logit exceeds it by `reach`: scores next to 1 would be equal in float32."""
    found = record(layers, run)
    every = torch.cat([value.flatten() for value in found.values()])
    passing = torch.quantile(every[torch.randperm(len(every))[:100_000]], 1 - share)
    factor = reach / (every.max() - passing)
    for layer in found:
        rescale(layer, factor, logit(threshold) - passing * factor)


def exported(module, arguments, names, outputs, dynamo):
    if dynamo:
        program = torch.onnx.export(module, arguments, dynamo=True, opset_version=OPSET[True], input_names=names,
                                    output_names=outputs, verbose=False)
        return program.model_proto
    data = io.BytesIO()
    torch.onnx.export(module, arguments, data, dynamo=False, opset_version=OPSET[False], input_names=names,
                      output_names=outputs)
    return onnx.load_model_from_string(data.getvalue())


def batched_nms(boxes, scores, classes, iou_threshold):
    """torchvision's, with boxes shifted apart by class, less its two questions about the number of boxes: torch.export
    cannot answer them."""
    offsets = classes.to(boxes) * (boxes.max() + 1)
    return torchvision.ops.nms(boxes + offsets[:, None], scores, iou_threshold)


def torchvision_model(seed, build, calibrate_head, dynamo=False, side=128):
    model = build(side).eval()
    seeds = generate_weights(model, seed)
    images = images_of(side)

    def run():
        model(images)

    calibrate(model, run)
    calibrate_head(model, run)
    outputs = list(model(images[:1])[0])

    class Flat(nn.Module):
        """One picture in, a tuple out."""

        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, image):
            found = self.model([image])[0]
            return tuple(found[name] for name in outputs)

    nms = batched_nms if dynamo else torchvision.ops.boxes.batched_nms
    with mock.patch.object(torchvision.ops.boxes, "batched_nms", nms):
        return exported(Flat(), (images[0],), ["image"], outputs, dynamo), seeds


def narrow_fpn(channels=32):
    """A ResNet of four narrow basic blocks with a feature pyramid of four levels."""
    from torchvision.models.detection.backbone_utils import BackboneWithFPN
    from torchvision.models.resnet import BasicBlock, ResNet

    resnet = ResNet(BasicBlock, [1, 1, 1, 1])
    resnet.inplanes = 16
    resnet.conv1 = nn.Conv2d(3, 16, 7, 2, 3, bias=False)
    resnet.bn1 = nn.BatchNorm2d(16)
    for index, width in enumerate((16, 24, 32, 48)):
        setattr(resnet, f"layer{index + 1}", resnet._make_layer(BasicBlock, width, 1, stride=1 if index == 0 else 2))
    layers = {"layer2": "0", "layer3": "1", "layer4": "2"}
    return BackboneWithFPN(resnet, layers, [24, 32, 48], channels)


def retinanet(side):
    from torchvision.models.detection import RetinaNet
    from torchvision.models.detection.anchor_utils import AnchorGenerator

    anchors = AnchorGenerator(((16, 22), (32, 45), (64, 90), (90, 128)), ((0.5, 1.0, 2.0),) * 4)
    return RetinaNet(narrow_fpn(), CLASSES, min_size=side, max_size=side, anchor_generator=anchors, topk_candidates=200,
                     detections_per_img=60, score_thresh=0.3)


def retinanet_head(model, run):
    set_scores([model.head.classification_head.cls_logits], run, 0.3, 0.03)


def fcos(side):
    from torchvision.models.detection import FCOS
    from torchvision.models.detection.anchor_utils import AnchorGenerator

    anchors = AnchorGenerator(((16,), (32,), (64,), (90,)), ((1.0,),) * 4)
    return FCOS(narrow_fpn(), CLASSES, min_size=side, max_size=side, anchor_generator=anchors, topk_candidates=200,
                detections_per_img=60, score_thresh=0.2)


def fcos_head(model, run):
    head = model.head
    set_scores([head.classification_head.cls_logits], run, 0.3, 0.2)
    rescale(head.regression_head.bbox_reg, 1.0, 1.0)


def ssdlite(side):
    from torchvision.models.detection import ssdlite320_mobilenet_v3_large as build

    model = build(weights=None, weights_backbone=None, num_classes=CLASSES + 1, topk_candidates=60, detections_per_img=40)
    model.transform.min_size, model.transform.max_size, model.transform.fixed_size = (side,), side, (side, side)
    return model


def ssd_head(model, run):
    heads = [module[-1] for module in model.head.classification_head.module_list]
    for layer in heads:
        rescale(layer, 2.0)
        layer.bias.data[:: CLASSES + 1] += 6.0


def two_stage(kind):
    def build(side):
        from torchvision.models import detection
        from torchvision.models.detection.anchor_utils import AnchorGenerator
        from torchvision.ops import MultiScaleRoIAlign

        anchors = AnchorGenerator(((16,), (32,), (64,), (90,)), ((0.5, 1.0, 2.0),) * 4)
        settings = {"min_size": side, "max_size": side, "rpn_anchor_generator": anchors, "rpn_pre_nms_top_n_test": 150,
                    "rpn_post_nms_top_n_test": 60, "box_detections_per_img": 20, "box_score_thresh": 0.1,
                    "box_roi_pool": MultiScaleRoIAlign(["0", "1", "2"], 5, 2)}
        backbone = narrow_fpn()
        settings["box_head"] = detection.faster_rcnn.TwoMLPHead(32 * 25, 64)
        settings["box_predictor"] = detection.faster_rcnn.FastRCNNPredictor(64, CLASSES + 1)
        if kind == "mask":
            return detection.MaskRCNN(
                backbone, mask_roi_pool=MultiScaleRoIAlign(["0", "1", "2"], 7, 2),
                mask_head=detection.mask_rcnn.MaskRCNNHeads(32, (32, 32), 1),
                mask_predictor=detection.mask_rcnn.MaskRCNNPredictor(32, 32, CLASSES + 1), **settings)
        if kind == "keypoint":
            return detection.KeypointRCNN(
                backbone, keypoint_roi_pool=MultiScaleRoIAlign(["0", "1", "2"], 7, 2),
                keypoint_head=detection.keypoint_rcnn.KeypointRCNNHeads(32, (32, 32)),
                keypoint_predictor=detection.keypoint_rcnn.KeypointRCNNPredictor(32, 5), **settings)
        return detection.FasterRCNN(backbone, **settings)

    return build


def two_stage_head(model, run):
    """Moderate proposals, hidden layers of unit variance, and class and box outputs that differ from row to row."""
    rescale(model.rpn.head.cls_logits, 1.0, -2.0)
    rescale(model.rpn.head.bbox_pred, 0.05)
    heads = model.roi_heads
    for layer in (heads.box_head.fc6, heads.box_head.fc7):
        rescale(layer, 1 / record([layer], run)[layer].std())
    for layer, spread in ((heads.box_predictor.cls_score, 1.8), (heads.box_predictor.bbox_pred, 0.8)):
        found = record([layer], run)[layer]
        factor = spread / (found.std(1) + 1e-3)
        rescale(layer, factor, -found.mean(1) * factor)


NARROW = {"embedding_size": 16, "hidden_sizes": [16, 24, 32, 48], "depths": [1, 1, 1, 1], "layer_type": "basic"}


def backbone_of_detr():
    from transformers import ResNetConfig

    return {"use_timm_backbone": False, "use_pretrained_backbone": False, "backbone": None,
            "backbone_config": ResNetConfig(**NARROW, out_features=["stage4"])}


def transformers_model(seed, make, dynamo, side=128):
    model = make(side).eval()
    seeds = generate_weights(model, seed)
    for layer in model.modules():
        if isinstance(layer, nn.Embedding):
            layer.weight.data *= (layer.embedding_dim / 2) ** 0.5  # unit variance
    images = torch.stack(images_of(side))
    calibrate(model, lambda: model(pixel_values=images))
    for parameter_name, parameter in model.named_parameters():  # nothing is attended to where everything is alike
        if parameter_name.endswith(("q_proj.weight", "k_proj.weight")):
            parameter.data *= 1.5

    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, pixel_values):
            found = self.model(pixel_values=pixel_values)
            return found.logits, found.pred_boxes

    flat = Flat().eval()
    return exported(flat, (images[:1],), ["pixel_values"], ["logits", "pred_boxes"], dynamo), seeds


DETR = {"d_model": 48, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
        "encoder_ffn_dim": 96, "decoder_ffn_dim": 96, "num_queries": 20, "num_labels": CLASSES}


def detr(side):
    from transformers import DetrConfig, DetrForObjectDetection

    return DetrForObjectDetection(DetrConfig(**backbone_of_detr(), **DETR))


def conditional_detr(side):
    from transformers import ConditionalDetrConfig, ConditionalDetrForObjectDetection

    return ConditionalDetrForObjectDetection(ConditionalDetrConfig(**backbone_of_detr(), **DETR))


def yolos(side):
    from transformers import YolosConfig, YolosForObjectDetection

    return YolosForObjectDetection(YolosConfig(
        hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96, image_size=[side, side],
        patch_size=16, num_detection_tokens=20, num_labels=CLASSES))


def rt_detr(side):
    from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrResNetConfig

    backbone = RTDetrResNetConfig(**NARROW, out_features=["stage2", "stage3", "stage4"])
    return RTDetrForObjectDetection(RTDetrConfig(
        backbone_config=backbone, backbone=None, use_pretrained_backbone=False, encoder_hidden_dim=48,
        encoder_in_channels=[24, 32, 48], feat_strides=[8, 16, 32], encoder_ffn_dim=96, encoder_attention_heads=4,
        hidden_expansion=0.5, d_model=48, num_queries=20, decoder_in_channels=[48, 48, 48], decoder_ffn_dim=96,
        decoder_layers=2, decoder_attention_heads=4, num_denoising=0, num_labels=CLASSES, anchor_image_size=[side, side]))


def ultralytics_model(seed, file, edit, nms=False, side=128):
    """The model of ultralytics' YAML file after `edit` of its contents, written by ultralytics' exporter."""
    import ultralytics
    from ultralytics import RTDETR, YOLO

    (source,) = Path(ultralytics.__file__).parent.rglob(f"cfg/models/**/{file}")
    here = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        config = yaml.safe_load(source.read_text())
        config["nc"] = CLASSES
        edit(config)
        name = file if file.startswith("rtdetr") else file.replace(".yaml", "n.yaml")  # n: the scale
        (Path(folder) / name).write_text(yaml.safe_dump(config))
        os.chdir(folder)  # the exporter writes beside the model
        try:
            model = (RTDETR if file.startswith("rtdetr") else YOLO)(name)
            network = model.model.eval().fuse(verbose=False)  # now, because sums of weights have no seed
            detect = network.model[-1]
            fixed = detect.dfl.conv.weight.data.clone() if hasattr(detect, "dfl") and hasattr(detect.dfl, "conv") else None
            seeds = generate_weights(network, seed)
            if fixed is not None:
                detect.dfl.conv.weight.data = fixed  # the expectation over 16 distances
            images = torch.stack(images_of(side))
            run = functools.partial(network, images)
            calibrate(network, run)
            if hasattr(detect, "cv3"):
                set_scores([branch[-1] for branch in detect.cv3], run, 0.25, 0.05)
            path = model.export(format="onnx", imgsz=side, simplify=False, opset=OPSET[False], device="cpu", nms=nms)
            return onnx.load(path), seeds
        finally:
            os.chdir(here)


def narrow(config):
    config["scales"] = {"n": [0.33, 0.125, 1024]}


def narrow_rtdetr(config):
    """A quarter of the channels, and a decoder of two layers."""
    for row in config["backbone"] + config["head"]:
        kind, values = row[2], row[3]
        if kind == "ResNetLayer":
            values[0], values[1] = (3 if values[0] == 3 else values[0] // 4), values[1] // 4
            values[-1] = min(values[-1], 1)
        elif kind == "RTDETRDecoder":
            row[3] = ["nc", 64, 30, 4, 4, 2, 128]
        elif kind in ("HGStem", "HGBlock", "Conv", "RepC3", "AIFI", "DWConv"):
            row[3] = [value // 4 if isinstance(value, int) and not isinstance(value, bool) and value >= 32 else value
                      for value in values]


of = functools.partial
BUILDERS = {  # each takes the seed of its first weight
    "retinanet": of(torchvision_model, build=retinanet, calibrate_head=retinanet_head),
    "retinanet_dynamo": of(torchvision_model, build=retinanet, calibrate_head=retinanet_head, dynamo=True),
    "fcos": of(torchvision_model, build=fcos, calibrate_head=fcos_head),
    "ssdlite_dynamo": of(torchvision_model, build=ssdlite, calibrate_head=ssd_head, dynamo=True, side=160),
    "maskrcnn": of(torchvision_model, build=two_stage("mask"), calibrate_head=two_stage_head),
    "keypointrcnn": of(torchvision_model, build=two_stage("keypoint"), calibrate_head=two_stage_head),
    "detr": of(transformers_model, make=detr, dynamo=False),
    "detr_dynamo": of(transformers_model, make=detr, dynamo=True),
    "conditional_detr_dynamo": of(transformers_model, make=conditional_detr, dynamo=True),
    "yolos_dynamo": of(transformers_model, make=yolos, dynamo=True),
    "rt_detr": of(transformers_model, make=rt_detr, dynamo=False),
    "rt_detr_dynamo": of(transformers_model, make=rt_detr, dynamo=True),
    "yolov8": of(ultralytics_model, file="yolov8.yaml", edit=narrow),
    "yolov8_nms": of(ultralytics_model, file="yolov8.yaml", edit=narrow, nms=True),
    "yolo11": of(ultralytics_model, file="yolo11.yaml", edit=narrow),
    "yolo11_nms": of(ultralytics_model, file="yolo11.yaml", edit=narrow, nms=True),
    "rtdetr_ultralytics": of(ultralytics_model, file="rtdetr-resnet50.yaml", edit=narrow_rtdetr),
}
FIRST_SEED, SEEDS_EACH = 50_000, 1_000


def clean(proto):
    """Without paths, dates and traces of the exporter's own code."""
    for node in [node for graph in (proto.graph, *proto.functions) for node in all_nodes(graph)]:
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
    for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        value.ClearField("metadata_props")
        value.ClearField("doc_string")
    proto.graph.ClearField("doc_string")
    proto.graph.ClearField("metadata_props")
    del proto.metadata_props[:]
    return proto


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BUILDERS) + "; default all")
    failed = []
    for name in parser.parse_args().names or BUILDERS:
        print(name, flush=True)
        torch.manual_seed(0)  # what has one dimension, and what the quantiles are taken of
        seed = FIRST_SEED + SEEDS_EACH * list(BUILDERS).index(name)
        try:
            with torch.no_grad():
                proto, seeds = BUILDERS[name](seed)
            write_compact(clean(proto), seeds, rebuild.FOLDER / "small" / f"{name}.onnx.gz")
        except (Exception, SystemExit) as error:
            failed.append(name)
            print("  FAILED", type(error).__name__, str(error)[-700:], flush=True)
    sys.exit(f"not exported: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
