#!/usr/bin/env python3
"""Exports an SSD on MobileNetV2, written in TensorFlow, as the model fixture tests/models/ssd_mobilenetv2.onnx.gz.

    python tools/export_ssd_mobilenetv2.py

Needs what `export_heads.py tensorflow` needs. Keras' MobileNetV2, four more feature maps, 1×1 box and class predictors at
1,917 anchors of 91 classes, and the post-processing of tools/export_heads.py, unrolled over the classes; in, as in the
exports of the TensorFlow Object Detection API, a picture as uint8 [1,300,300,3], and out detection_boxes, _scores,
_classes and num_detections. The weights are random, from the generator of tests/models/rebuild.py, but calibrated on
synthetic pictures so that the model behaves like a trained one: batch normalisation has the statistics of its inputs, and
about 2,000 (anchor, class) pairs pass the score threshold of 0.3, which rebuild.py can change.
"""

import collections
import os
import sys
from pathlib import Path

import numpy as np
import onnx

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import tensorflow as tf  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "models"), str(ROOT / "tests" / "models" / "heads")]

import anchors  # noqa: E402
import pictures  # noqa: E402
import rebuild  # noqa: E402
from compact_model import write_compact  # noqa: E402
from export_heads import OUTPUTS, THRESHOLDS, ObjectDetectionHead, convert  # noqa: E402

NAME = "ssd_mobilenetv2"
OPSET = 18
SEED = 4_000  # layer k's weights are generated from SEED + k
CALIBRATION_PICTURES, CALIBRATION_SEED = 12, 100
CLASSES = rebuild.CLASS_COUNT  # the background first
SIDE = 300
FEATURES = ("block_13_expand_relu", "out_relu")
MORE_FEATURES = ((256, 512), (128, 256), (128, 256), (64, 128))  # channels of the 1×1 and the 3×3 convolution
ANCHORS = (3, 6, 6, 6, 6, 6)  # a position

CANDIDATES = 2000  # wanted median over the pictures
LOGIT_SPREAD, CLASS_BIAS = 2.0, 1.0  # of logits over anchors, and of their means over classes
FREQUENT_BIAS = 4.0  # of the first class, by far the most frequent
BOX_SPREAD = 1.2  # of box deltas, in the box coder's units


def network():
    """The Keras model from pixels in -1..1 to the predictors' maps: boxes and classes of each feature map."""
    layers = tf.keras.layers
    base = tf.keras.applications.MobileNetV2((SIDE, SIDE, 3), include_top=False, weights=None)
    maps = [base.get_layer(name).output for name in FEATURES]
    for narrow, wide in MORE_FEATURES:
        x = maps[-1]
        for channels, size, stride in ((narrow, 1, 1), (wide, 3, 2)):
            x = layers.Conv2D(channels, size, stride, padding="same", use_bias=False)(x)
            x = layers.ReLU(6.0)(layers.BatchNormalization(epsilon=1e-3, fused=True)(x))
        maps.append(x)
    boxes = [layers.Conv2D(count * 4, 1, name=f"boxes_{level}")(x) for level, (count, x) in enumerate(zip(ANCHORS, maps))]
    classes = [layers.Conv2D(count * CLASSES, 1, name=f"classes_{level}")(x)
               for level, (count, x) in enumerate(zip(ANCHORS, maps))]
    return tf.keras.Model(base.input, boxes + classes)


def generate_weights(model):
    """Fills every kernel with `rebuild.unit` in ONNX's order of axes; returns the seeds by shape."""
    seeds = collections.defaultdict(list)
    convolutions = [layer for layer in model.layers if isinstance(layer, tf.keras.layers.Conv2D)]  # depthwise ones, too
    for seed, layer in enumerate(convolutions, SEED):
        depthwise = isinstance(layer, tf.keras.layers.DepthwiseConv2D)
        kernel = layer.depthwise_kernel if depthwise else layer.kernel
        to_onnx, from_onnx = ((2, 3, 0, 1), (2, 3, 0, 1)) if depthwise else ((3, 2, 0, 1), (2, 3, 1, 0))
        shape = tuple(kernel.shape[axis] for axis in to_onnx)
        values = rebuild.unit(seed, shape) * np.float32((6 / np.prod(shape[1:])) ** 0.5)
        kernel.assign(values.transpose(from_onnx))
        seeds[shape].append(seed)
    return seeds


def calibrate(model, images):
    """Sets batch normalisations and predictors so that each output channel has unit variance over the images; returns
    what the class predictors give then, as [picture, anchor, class]."""
    values = {}
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.InputLayer):
            values[layer.output.name] = images
            continue
        inputs = layer.input
        inputs = [values[x.name] for x in inputs] if isinstance(inputs, list) else values[inputs.name]
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            mean, variance = tf.nn.moments(inputs, [0, 1, 2])
            layer.moving_mean.assign(mean)
            layer.moving_variance.assign(variance)
        output = layer(inputs)
        if layer.name.startswith(("boxes", "classes")):
            # A map of one position says little about a single channel.
            axes = [0, 1, 2] if output.shape[1] > 1 else [0, 1, 2, 3]
            mean, variance = tf.nn.moments(output, axes)
            factor = tf.broadcast_to(tf.math.rsqrt(variance + 1e-6), layer.bias.shape)
            rescale(layer, factor, -mean * factor)
            output = layer(inputs)
        values[layer.output.name] = output
    logits = [values[model.get_layer(f"classes_{level}").output.name] for level in range(len(ANCHORS))]
    return tf.concat([tf.reshape(x, [len(images), -1, CLASSES]) for x in logits], 1).numpy()


def rescale(layer, factor, shift):
    layer.kernel.assign(layer.kernel * factor)
    layer.bias.assign(layer.bias * factor + shift)


def calibrate_predictors(model, logits):
    """Gives the predictors their spreads, and the classes the bias with which CANDIDATES pairs pass the threshold."""
    bias = rebuild.unit(SEED - 1, (CLASSES,)) * np.float32(3**0.5 * CLASS_BIAS)
    bias[1] = FREQUENT_BIAS
    scaled = logits * LOGIT_SPREAD + bias
    limit = np.log(THRESHOLDS["busy"] / (1 - THRESHOLDS["busy"]))
    low, high = -40.0, 0.0
    for _ in range(30):
        shift = (low + high) / 2
        passing = np.median((scaled[..., 1:] + shift > limit).sum((1, 2)))
        low, high = (low, shift) if passing > CANDIDATES else (shift, high)
    for level, count in enumerate(ANCHORS):
        rescale(model.get_layer(f"classes_{level}"), LOGIT_SPREAD, np.tile(bias + np.float32(shift), count))
        rescale(model.get_layer(f"boxes_{level}"), BOX_SPREAD, 0.0)
    print(f"  shift of the logits {shift:.2f}, largest score {1 / (1 + np.exp(-(scaled + shift)[..., 1:].max())):.4f}")


def export(model):
    head = ObjectDetectionHead(tf, anchors.object_detection_api(), CLASSES - 1, THRESHOLDS["busy"])

    def detect(pixels):
        maps = model(tf.cast(pixels, tf.float32) * (2.0 / 255.0) - 1.0, training=False)
        boxes = tf.concat([tf.reshape(x, [1, -1, 4]) for x in maps[: len(ANCHORS)]], 1)
        logits = tf.concat([tf.reshape(x, [1, -1, CLASSES]) for x in maps[len(ANCHORS) :]], 1)
        results = head(boxes[0], logits[0])
        return {name: tf.expand_dims(result, 0, name=name) for name, result in zip(OUTPUTS, results)}

    return convert(tf, detect, [tf.TensorSpec([1, SIDE, SIDE, 3], tf.uint8, "input_tensor")], OPSET)


def main():
    model = network()
    seeds = generate_weights(model)
    images = np.stack([pictures.picture(CALIBRATION_SEED + k, SIDE, SIDE) for k in range(CALIBRATION_PICTURES)])
    images = tf.constant(images.transpose(0, 2, 3, 1) * 2 - 1)
    calibrate_predictors(model, calibrate(model, images))
    proto = export(model)
    write_compact(proto, seeds, ROOT / "tests" / "models" / f"{NAME}.onnx.gz")


if __name__ == "__main__":
    main()
