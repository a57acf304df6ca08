#!/usr/bin/env python3
"""Exports Keras detectors through tf2onnx as tests/models/small/NAME.onnx.gz. Needs TensorFlow and tf2onnx.

    python tools/export_small_keras.py [NAME...]

keras_efficientdet: a narrow EfficientNet of keras.applications, a BiFPN of depthwise convolutions, box and class
predictors, and tf.image.combined_non_max_suppression. keras_centernet: MobileNetV2, transposed convolutions, and the
peaks of the heat map that a max pooling leaves. Both take pixels of 0..255, as Keras' own preprocessing layers do.
The weights are random, from the generator of tests/models/rebuild.py; batch norms and predictors are calibrated.
"""

import argparse
import collections
import os
import sys
from pathlib import Path

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import tensorflow as tf  # noqa: E402
import tf2onnx  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "models")]

import pictures  # noqa: E402
import rebuild  # noqa: E402
from compact_model import write_compact  # noqa: E402

CALIBRATION_PICTURES, CALIBRATION_SEED = 8, 100
OPSET = 18
CLASSES = 10
SPREAD = {"boxes": 0.5, "classes": 1.5}  # of the predictors' outputs
SHARE = 0.02  # of the class scores pass the threshold
THRESHOLD = 0.3
LAYERS = tf.keras.layers


def convolved(x, channels, size=1, stride=1):
    """A depthwise convolution where `size` is 3, then one that mixes channels, batch norm and swish."""
    if size == 3:
        x = LAYERS.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(x)
    x = LAYERS.Conv2D(channels, 1, use_bias=False)(x)
    return LAYERS.Activation("swish")(LAYERS.BatchNormalization()(x))


def efficientdet(side=128, channels=24, anchors=3):
    from keras.src.applications.efficientnet import EfficientNet

    base = EfficientNet(0.35, 0.35, side, weights=None, include_top=False, input_shape=(side, side, 3), name="small")
    ends = ("block3a_expand_activation", "block5a_expand_activation", "top_activation")
    levels = [convolved(base.get_layer(name).output, channels) for name in ends]
    down = [levels[-1]]
    for x in levels[-2::-1]:
        larger = LAYERS.UpSampling2D(x.shape[1] // down[-1].shape[1], interpolation="nearest")(down[-1])
        down.append(convolved(LAYERS.Add()([x, larger]), channels, 3))
    up = [down[-1]]
    for x in down[-2::-1]:
        stride = up[-1].shape[1] // x.shape[1]
        smaller = LAYERS.MaxPooling2D(stride + 1, stride, padding="same")(up[-1])
        up.append(convolved(LAYERS.Add()([x, smaller]), channels, 3))
    boxes = [LAYERS.Conv2D(anchors * 4, 3, padding="same", name=f"boxes_{k}")(x) for k, x in enumerate(up)]
    classes = [LAYERS.Conv2D(anchors * CLASSES, 3, padding="same", name=f"classes_{k}")(x) for k, x in enumerate(up)]
    model = tf.keras.Model(base.input, boxes + classes)
    grids = []
    for x in up:
        size = x.shape[1]
        y, x = np.meshgrid(*[(np.arange(size) + 0.5) / size] * 2, indexing="ij")
        for scale in np.geomspace(1.5, 3, anchors) / size:
            grids.append(np.stack([y, x, np.full_like(x, scale), np.full_like(x, scale)], -1))
    grids = [np.stack(grids[k : k + anchors], 2).reshape(-1, 4) for k in range(0, len(grids), anchors)]
    center = np.concatenate(grids).astype(np.float32)

    def detect(pixels):
        maps = model(pixels, training=False)
        deltas = tf.concat([tf.reshape(x, [1, -1, 4]) for x in maps[: len(up)]], 1)
        scores = tf.sigmoid(tf.concat([tf.reshape(x, [1, -1, CLASSES]) for x in maps[len(up) :]], 1))
        middle = center[:, :2] + deltas[..., :2] * center[:, 2:]
        half = center[:, 2:] * tf.exp(deltas[..., 2:]) / 2
        boxes = tf.expand_dims(tf.concat([middle - half, middle + half], 2), 2)
        kept = tf.image.combined_non_max_suppression(
            boxes, scores, max_output_size_per_class=20, max_total_size=50, iou_threshold=0.5, score_threshold=THRESHOLD)
        return {"boxes": kept.nmsed_boxes, "scores": kept.nmsed_scores, "labels": kept.nmsed_classes,
                "count": kept.valid_detections}

    return [model], detect, lambda pixels: pixels


def centernet(side=128, channels=32, kept=40):
    base = tf.keras.applications.MobileNetV2((side, side, 3), alpha=0.35, include_top=False, weights=None)
    scaled = LAYERS.Rescaling(1 / 127.5, -1)
    body = tf.keras.Model(base.input, base.get_layer("block_13_expand_relu").output)
    x = LAYERS.Input(body.output.shape[1:])
    top = x
    for _ in range(2):
        x = LAYERS.Conv2DTranspose(channels, 4, 2, padding="same", use_bias=False)(x)
        x = LAYERS.ReLU()(LAYERS.BatchNormalization()(x))
    sizes = LAYERS.Conv2D(2, 3, padding="same", name="boxes_size")(x)
    offsets = LAYERS.Conv2D(2, 3, padding="same", name="boxes_offset")(x)
    heat = LAYERS.Conv2D(CLASSES, 3, padding="same", name="classes_heat")(x)
    neck = tf.keras.Model(top, [sizes, offsets, heat])

    def detect(pixels):
        sizes, offsets, heat = neck(body(scaled(pixels), training=False), training=False)
        heat = tf.sigmoid(heat)
        peaks = tf.where(tf.equal(tf.nn.max_pool2d(heat, 3, 1, "SAME"), heat), heat, tf.zeros_like(heat))
        width = heat.shape[2]
        scores, index = tf.math.top_k(tf.reshape(peaks, [1, -1]), kept)
        place, labels = index // CLASSES, index % CLASSES
        offsets = tf.gather(tf.reshape(offsets, [1, -1, 2]), place, batch_dims=1)
        sizes = tf.exp(tf.gather(tf.reshape(sizes, [1, -1, 2]), place, batch_dims=1)) * 3.0
        middle = tf.cast(tf.stack([place // width, place % width], -1), tf.float32) + offsets
        return {"boxes": tf.concat([middle - sizes / 2, middle + sizes / 2], 2) / float(width), "scores": scores,
                "labels": labels}

    return [body, neck], detect, scaled


def generate_weights(models, first):
    """Fills every kernel with `rebuild.unit` in ONNX's order of axes; returns the seeds by shape."""
    seeds = collections.defaultdict(list)
    kernels = []
    for layer in (layer for model in models for layer in model.layers):
        if isinstance(layer, LAYERS.DepthwiseConv2D):
            kernels.append((layer.kernel, (2, 3, 0, 1), (2, 3, 0, 1)))
        elif isinstance(layer, (LAYERS.Conv2D, LAYERS.Conv2DTranspose)):
            kernels.append((layer.kernel, (3, 2, 0, 1), (2, 3, 1, 0)))
    for seed, (kernel, to_onnx, from_onnx) in enumerate(kernels, first):
        shape = tuple(kernel.shape[axis] for axis in to_onnx)
        values = rebuild.unit(seed, shape) * np.float32((6 / np.prod(shape[1:])) ** 0.5)
        kernel.assign(values.transpose(from_onnx))
        seeds[shape].append(seed)
    return seeds


def calibrate(model, images):
    """Gives every batch norm the statistics of its inputs and every predictor its spread; returns the model's outputs."""
    values, logits = {}, []
    for layer in model.layers:
        if isinstance(layer, LAYERS.InputLayer):
            values[layer.output.name] = images
            continue
        inputs = layer.input
        inputs = [values[x.name] for x in inputs] if isinstance(inputs, list) else values[inputs.name]
        if isinstance(layer, LAYERS.BatchNormalization):
            mean, variance = tf.nn.moments(inputs, [0, 1, 2])
            layer.moving_mean.assign(mean)
            layer.moving_variance.assign(variance)
        output = layer(inputs)
        kind = layer.name.split("_")[0]
        if kind in SPREAD:
            mean, variance = tf.nn.moments(output, [0, 1, 2])
            factor = SPREAD[kind] * tf.math.rsqrt(variance + 1e-6)
            layer.kernel.assign(layer.kernel * factor)
            layer.bias.assign(layer.bias * factor - mean * factor)
            output = layer(inputs)
            if kind == "classes":
                logits.append((layer, output))
        values[layer.output.name] = output
    if logits:
        every = np.concatenate([np.ravel(output) for _, output in logits])
        shift = np.log(THRESHOLD / (1 - THRESHOLD)) - np.quantile(every, 1 - SHARE)
        for layer, _ in logits:
            layer.bias.assign(layer.bias + np.float32(shift))
    return [values[x.name] for x in model.outputs]


BUILDERS = {"keras_efficientdet": (efficientdet, 41_000), "keras_centernet": (centernet, 42_000)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BUILDERS) + "; default all")
    for name in parser.parse_args().names or BUILDERS:
        build, seed = BUILDERS[name]
        models, detect, preprocess = build()
        seeds = generate_weights(models, seed)
        side = models[0].input.shape[1]
        images = np.stack([pictures.pixels(pictures.picture(CALIBRATION_SEED + k, side, side))[0]
                           for k in range(CALIBRATION_PICTURES)])
        x = preprocess(tf.constant(images, tf.float32))
        for model in models:
            x = calibrate(model, x)[0]
        signature = [tf.TensorSpec([1, side, side, 3], tf.float32, "image")]
        proto, _ = tf2onnx.convert.from_function(tf.function(detect), input_signature=signature, opset=OPSET)
        read = {name for node in proto.graph.node for name in node.input}
        for value in [value for value in proto.graph.input if value.name not in read]:
            proto.graph.input.remove(value)  # a constant of a preprocessing layer that was folded away
        for node in proto.graph.node:
            node.ClearField("doc_string")
        write_compact(proto, seeds, rebuild.FOLDER / "small" / f"{name}.onnx.gz")


if __name__ == "__main__":
    main()
