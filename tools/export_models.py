#!/usr/bin/env python3
"""Exports torchvision's detectors as the model fixtures tests/models/NAME.onnx.gz. Needs PyTorch and torchvision.

    python tools/export_models.py [NAME...]

The weights are random, from the generator of tests/models/rebuild.py, but calibrated on synthetic pictures so that the
models behave like trained ones: every layer's output has unit variance, a few thousand (box, class) pairs pass the model's
own score threshold, in clusters around the same places, and the boxes are moderate corrections of their anchors. As in
the published weights, the batch norms of Faster R-CNN's backbone are frozen (a multiplication and an addition).
"""

import argparse
import collections
import io
import sys
from pathlib import Path

import numpy as np
import onnx
import torch
import torchvision
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

MODELS = Path(__file__).resolve().parents[1] / "tests" / "models"
sys.path.insert(0, str(MODELS))

import pictures  # noqa: E402
import rebuild  # noqa: E402
from compact_model import all_nodes, write_compact  # noqa: E402

BUILDERS = {
    "ssdlite320": torchvision.models.detection.ssdlite320_mobilenet_v3_large,
    "ssd300": torchvision.models.detection.ssd300_vgg16,
    "fasterrcnn": torchvision.models.detection.fasterrcnn_resnet50_fpn,
}
SEEDS = {"ssdlite320": 1_000, "ssd300": 2_000, "fasterrcnn": 3_000}  # parameter k of a model is generated from seed + k
OPSET = 17
CALIBRATION_PICTURES = {"ssdlite320": 24, "ssd300": 8, "fasterrcnn": 4}
CALIBRATION_SEED = 100

# Score calibration: the spread of the logits of the background and of the other classes, the spread of the classes' biases,
# the bias of class 1 (by far the most frequent, as people are in COCO: more candidates than one class may keep), and the
# median number of pairs above the threshold that the background's bias is set to give.
Scores = collections.namedtuple("Scores", "background classes bias frequent candidates")
SCORES = {
    "ssdlite320": Scores(2.5, 2.8, 1.0, 5.0, 2200),
    "ssd300": Scores(3.0, 2.5, 1.0, 5.0, 2200),
    "fasterrcnn": Scores(1.6, 1.6, 0.65, 2.0, 2000),
}
LEVEL_SHIFT = -0.25  # of the SSDs' background logits from one feature map to the next coarser one, in spreads
LEVEL_FACTORS = (0.5, 0.75, 1.0, 1.25)  # of the feature pyramid's maps, finest first: without it all proposals are tiny
BOX_SPREAD = 1.2  # of box deltas, in the box coder's units

# Rounding must not move the detections of Faster R-CNN, although two stages follow each other. A random ResNet multiplies
# rounding errors from block to block unless its residual branches are small; objectness must not come so close to 1 that
# float32 orders proposals by chance; and a moved proposal sees other features, so proposals keep close to their anchors.
BRANCH_FACTOR = 0.1
OBJECTNESS_SPREAD, OBJECTNESS_BIAS = 1.0, -2.0
PROPOSAL_SPREAD = 0.05


def generate_weights(model, seed):
    """Fills every weight with `rebuild.unit`; returns the seeds by shape."""
    seeds = collections.defaultdict(list)
    for index, (_, parameter) in enumerate(model.named_parameters()):
        if parameter.dim() > 1:
            shape = tuple(parameter.shape)
            fan_in = parameter[0].numel()
            parameter.data = torch.from_numpy(rebuild.unit(seed + index, shape)) * (6 / fan_in) ** 0.5
            seeds[shape].append(seed + index)
    return seeds


def rescale(layer, factor, shift=0.0):
    """Multiplies the outputs of a convolution or linear layer, as a whole or per channel, and then adds to them."""
    factor = torch.as_tensor(factor).expand(len(layer.bias))
    layer.weight.data *= factor.reshape(-1, *[1] * (layer.weight.dim() - 1))
    layer.bias.data = layer.bias.data * factor + shift


def statistics(outputs):
    """Mean and spread of each channel over pictures and positions; with one position a picture, only the layer's size."""
    flat = outputs.transpose(0, 1).flatten(1)
    if outputs.dim() == 4 and outputs.shape[2:].numel() == 1:
        return torch.zeros(len(flat)), flat.square().mean().sqrt().expand(len(flat))
    return flat.mean(1), flat.std(1) + 1e-4


def normalise_batch_norm(module, inputs):
    flat = inputs[0].transpose(0, 1).flatten(1)
    module.running_mean.copy_(flat.mean(1))
    module.running_var.copy_(flat.var(1))


def normalise_layer(module, inputs, outputs):
    mean, spread = statistics(outputs)
    rescale(module, 1 / spread, -mean / spread)
    shape = (1, -1, *[1] * (outputs.dim() - 2))
    return (outputs - mean.reshape(shape)) / spread.reshape(shape)


def run_normalising(module, *arguments):
    """Runs `module`, setting every layer inside so that its output has unit variance on these inputs."""
    handles = []
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            handles.append(layer.register_forward_pre_hook(normalise_batch_norm))
        elif isinstance(layer, (nn.Conv2d, nn.Linear)) and layer.bias is not None:  # no batch norm follows
            handles.append(layer.register_forward_hook(normalise_layer))
    outputs = module(*arguments)
    for handle in handles:
        handle.remove()
    return outputs


def turn_from_blank(layer, outputs):
    """Turns the signs of a class layer, given its outputs for a blank picture, so that it takes that for background."""
    mean = outputs.transpose(0, 1).flatten(1).mean(1)
    wanted = torch.full((len(mean),), -1.0)
    wanted[:: rebuild.CLASS_COUNT] = 1
    rescale(layer, torch.where(mean * wanted < 0, -1.0, 1.0))


def calibrate_scores(layers, logits, picture_count, threshold, spreads, seed):
    """Scales the class layers, given their unit logits [picture and box, class], so that half of the pictures have at least
    the wanted number of candidates."""
    factor = torch.full((rebuild.CLASS_COUNT,), spreads.classes)
    factor[0] = spreads.background
    bias = torch.from_numpy(rebuild.unit(seed, (rebuild.CLASS_COUNT,))) * 3**0.5 * spreads.bias
    bias[0], bias[1] = 0, spreads.frequent
    logits = logits * factor + bias
    low, high = 0.0, 40.0
    for _ in range(30):
        background = (low + high) / 2
        scores = torch.cat([logits[:, :1] + background, logits[:, 1:]], 1).softmax(1)[:, 1:]
        if (scores > threshold).reshape(picture_count, -1).sum(1).median() > spreads.candidates:
            low = background
        else:
            high = background
    bias[0] = background
    quantiles = np.quantile(scores[scores > threshold].numpy(), [0.5, 0.9, 0.99, 1.0])
    print(f"  background bias {background:.2f}, candidates' scores: median, 90 %, 99 %, maximum {quantiles}")
    for layer in layers:
        repeats = len(layer.bias) // rebuild.CLASS_COUNT
        rescale(layer, factor.repeat(repeats), bias.repeat(repeats))


def last_layer(module):
    return module[-1] if isinstance(module, nn.Sequential) else module


def calibrate_ssd(model, images, blank, spreads, seed):
    batch, _ = model.transform(images)
    features = list(run_normalising(model.backbone, batch.tensors).values())
    run_normalising(model.head, features)
    for layer in map(last_layer, model.head.regression_head.module_list):
        rescale(layer, BOX_SPREAD)
    blank_batch, _ = model.transform([blank])
    blank_features = model.backbone(blank_batch.tensors).values()
    modules = model.head.classification_head.module_list
    for level, (module, x) in enumerate(zip(modules, blank_features, strict=True)):
        layer = last_layer(module)
        turn_from_blank(layer, module(x))
        layer.bias.data[:: rebuild.CLASS_COUNT] += LEVEL_SHIFT * level
    logits = model.head(features)["cls_logits"].flatten(0, 1)
    layers = [last_layer(module) for module in modules]
    calibrate_scores(layers, logits, len(images), model.score_thresh, spreads, seed)


def normalise_jointly(layer, outputs, spread, shift):
    """Sets a layer that is applied to several feature maps by their joint statistics."""
    flat = torch.cat([output.transpose(0, 1).flatten(1) for output in outputs], 1)
    factor = spread / flat.std(1)
    rescale(layer, factor, shift - flat.mean(1) * factor)


def region_features(model, images):
    """What the box predictor sees of each proposal, before the two hidden layers."""
    batch, _ = model.transform(images)
    features = model.backbone(batch.tensors)
    proposals, _ = model.rpn(batch, features)
    return model.roi_heads.box_roi_pool(features, proposals, batch.image_sizes)


def calibrate_faster_rcnn(model, images, blank, spreads, seed):
    batch, _ = model.transform(images)
    for block in model.modules():
        if isinstance(block, torchvision.models.resnet.Bottleneck):
            block.bn3.weight.fill_(BRANCH_FACTOR)
    run_normalising(model.backbone, batch.tensors)
    for (conv,), factor in zip(model.backbone.fpn.layer_blocks, LEVEL_FACTORS, strict=True):
        rescale(conv, factor)
    maps, head, heads = list(model.backbone(batch.tensors).values()), model.rpn.head, model.roi_heads
    conv = head.conv[0][0]
    normalise_jointly(conv, [conv(x) for x in maps], 1.0, 0.0)
    hidden = [head.conv(x) for x in maps]
    normalise_jointly(head.cls_logits, [head.cls_logits(x) for x in hidden], OBJECTNESS_SPREAD, OBJECTNESS_BIAS)
    normalise_jointly(head.bbox_pred, [head.bbox_pred(x) for x in hidden], PROPOSAL_SPREAD, 0.0)
    representation = run_normalising(heads.box_head, region_features(model, images))
    run_normalising(heads.box_predictor, representation)
    predictor = heads.box_predictor
    rescale(predictor.bbox_pred, BOX_SPREAD)
    turn_from_blank(predictor.cls_score, predictor.cls_score(heads.box_head(region_features(model, [blank]))))
    logits = predictor.cls_score(representation)
    calibrate_scores([predictor.cls_score], logits, len(images), heads.score_thresh, spreads, seed)
    freeze_batch_norms(model)


def freeze_batch_norms(module):
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            frozen = FrozenBatchNorm2d(child.num_features, child.eps)
            state = child.state_dict()
            frozen.load_state_dict({key: state[key] for key in frozen.state_dict()})
            setattr(module, name, frozen)
        else:
            freeze_batch_norms(child)


def export(model, name, image):
    """The model as exported by PyTorch's TorchScript-based exporter, with named outputs and no doc strings."""
    model.eval()
    outputs = list(model([image])[0])
    data = io.BytesIO()
    torch.onnx.export(
        model,
        ([image],),
        data,
        dynamo=False,
        opset_version=OPSET,
        input_names=["image"],
        output_names=outputs,
        dynamic_axes={"image": {1: "height", 2: "width"}} if name == "fasterrcnn" else None,
    )
    proto = onnx.load_model_from_string(data.getvalue())
    for node in all_nodes(proto.graph):
        node.ClearField("doc_string")
    proto.graph.ClearField("doc_string")
    return proto


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(rebuild.TORCHVISION) + "; default all")
    names = parser.parse_args().names or rebuild.TORCHVISION
    for name in names:
        print(name)
        model = BUILDERS[name](weights=None, weights_backbone=None).eval()
        seeds = generate_weights(model, SEEDS[name])
        count = CALIBRATION_PICTURES[name]
        images = [pictures.picture(CALIBRATION_SEED + k, *pictures.SHAPES[name]) for k in range(count)]
        images = [torch.from_numpy(image) for image in images]
        calibrate = calibrate_faster_rcnn if name == "fasterrcnn" else calibrate_ssd
        with torch.no_grad():
            calibrate(model, images, torch.full_like(images[0], 0.5), SCORES[name], SEEDS[name] - 1)
            proto = export(model, name, images[0])
        write_compact(proto, seeds, MODELS / f"{name}.onnx.gz")


if __name__ == "__main__":
    main()
