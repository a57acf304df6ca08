"""Rebuilds the model fixtures: real exports from torchvision, TensorFlow and ultralytics whose weights are generated, not stored.

    python tests/models/rebuild.py ssdlite320 -o ssdlite320.onnx      python tests/models/rebuild.py --all -o build/models

`NAME.onnx.gz` beside this file (written by tools/export_models.py,
tools/export_ssd_mobilenetv2.py and tools/export_yolo.py) is the exporter's
graph with every small tensor as it was. A large weight is an initializer without values: `external_data` holds its `seed`,
`raw_data` one float32 scale per output channel, and the weight is `unit(seed, dims)` times the scale of its first axis. That
is integer arithmetic, exact conversions and one rounding, so the result is the same to the last bit everywhere. With
`transposed_seed` in its place, the weight is the transpose of such a matrix, which is how exporters write linear layers.

`score_threshold` replaces the score threshold of a TensorFlow model: 1e-8, the default of the Object Detection API, makes
every anchor a candidate for every class. `quiet` makes a model detect nothing in any picture: it raises the bias of the
background class, lowers those of all classes where there is no background, or raises the threshold to 2.
"""

import argparse
import gzip
import hashlib
import math
import os
import re
import sys
from pathlib import Path

import numpy as np
import onnx

FOLDER = Path(__file__).resolve().parent
TORCHVISION = ("ssdlite320", "ssd300", "fasterrcnn")
TENSORFLOW = ("ssd_mobilenetv2",)
ULTRALYTICS = ("yolov8n",)
NAMES = (*TORCHVISION, *TENSORFLOW, *ULTRALYTICS)

CLASS_COUNT = 91  # background first
QUIET_BIAS = np.float32(100)
QUIET_THRESHOLD = 2
_CLASS_BIAS = re.compile(r"(\.classification_head\..*|\.cls_score)\.bias$")
_YOLO_CLASS_BIAS = re.compile(r"\.cv3\.\d+\.2\.bias$")


def unit(seed, shape):
    """Uniform float32 numbers in [-1, 1), multiples of 2**-23, from the raw output of PCG64."""
    count = math.prod(shape)
    words = np.random.PCG64(seed).random_raw((count + 1) // 2).astype("<u8").view("<u4")[:count]
    steps = (words >> np.uint32(8)).astype(np.int32) - np.int32(1 << 23)
    return (steps.astype(np.float32) * np.float32(2.0**-23)).reshape(shape)


def scaled(seed, shape, scale):
    """The weight: `unit` times a scale per index of the first axis."""
    return unit(seed, shape) * scale.astype(np.float32).reshape(-1, *[1] * (len(shape) - 1))


def load(name, *, quiet=False, score_threshold=None):
    """The complete model `name` as an onnx.ModelProto."""
    model = onnx.load_model_from_string(gzip.decompress(_compact(name).read_bytes()))
    for tensor in model.graph.initializer:
        if tensor.external_data:
            (entry,) = tensor.external_data
            scale, shape = np.frombuffer(tensor.raw_data, "<f4"), tuple(tensor.dims)
            if entry.key == "transposed_seed":
                values = scaled(int(entry.value), shape[::-1], scale).T
            else:
                values = scaled(int(entry.value), shape, scale)
            tensor.raw_data = values.astype("<f4").tobytes()
            del tensor.external_data[:]
    if quiet and name in TORCHVISION:
        _raise_biases(model, _CLASS_BIAS, slice(None, None, CLASS_COUNT), QUIET_BIAS)
    elif quiet and name in ULTRALYTICS:
        _raise_biases(model, _YOLO_CLASS_BIAS, slice(None), -QUIET_BIAS)
    elif quiet:
        score_threshold = QUIET_THRESHOLD
    if score_threshold is not None:
        score_threshold_of(model).raw_data = np.float32(score_threshold).astype("<f4").tobytes()
    return model


def _raise_biases(model, name, which, by):
    biases = [tensor for tensor in model.graph.initializer if name.search(tensor.name)]
    assert biases, "no bias of a class score found"
    for tensor in biases:
        values = np.frombuffer(tensor.raw_data, "<f4").copy()
        values[which] += by
        tensor.raw_data = values.tobytes()


def score_threshold_of(model):
    """The initializer that the class scores of a TensorFlow model have to exceed; the boxes' areas have to exceed 0."""
    compared = {node.input[1] for node in model.graph.node if node.op_type == "Greater"}
    (tensor,) = [tensor for tensor in model.graph.initializer if tensor.name in compared and any(tensor.raw_data)]
    return tensor


def rebuild(name, path, *, quiet=False, score_threshold=None):
    """Writes model `name` to `path`, unless the file there is already made from the same sources. Returns the path.

    The file appears complete or not at all. `path` + ".key" remembers what it was made from.
    """
    path = Path(path)
    key_path = path.with_name(path.name + ".key")
    sources = hashlib.sha256(_compact(name).read_bytes() + Path(__file__).read_bytes())
    key = f"{name} quiet={quiet} score_threshold={score_threshold} {sources.hexdigest()}"
    if path.exists() and key_path.exists() and key_path.read_text() == key:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    key_path.unlink(missing_ok=True)
    _write(path, load(name, quiet=quiet, score_threshold=score_threshold).SerializeToString())
    _write(key_path, key.encode())
    return path


def _compact(name):
    return FOLDER / f"{name}.onnx.gz"


def _write(path, data):
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Rebuild the model fixtures.")
    parser.add_argument("name", nargs="?", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--all", action="store_true", help="every model, as DIR/NAME.onnx")
    parser.add_argument("--quiet", action="store_true", help="the variant that detects nothing")
    parser.add_argument("--score-threshold", type=float, help=f"of {', '.join(TENSORFLOW)}, instead of its own")
    parser.add_argument("-o", "--output", required=True, type=Path, help="file, or folder with --all")
    options = parser.parse_args(arguments)
    if options.all == (options.name is not None):
        parser.error("give either NAME or --all")
    if options.score_threshold is not None and options.name not in TENSORFLOW:
        parser.error(f"--score-threshold is for {', '.join(TENSORFLOW)}")
    outputs = {name: options.output / f"{name}.onnx" for name in NAMES} if options.all else {options.name: options.output}
    for name, path in outputs.items():
        print(rebuild(name, path, quiet=options.quiet, score_threshold=options.score_threshold))


if __name__ == "__main__":
    sys.exit(main())
