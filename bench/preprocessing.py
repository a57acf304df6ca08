#!/usr/bin/env python3
"""Times what a model does to a picture before its first convolution, alone and in front of a detector, beside other runtimes
and beside Lanner without the rule that makes one pass of it.

    build/bench-env/bin/python bench/preprocessing.py [--threads N] [--write]
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))

from measuring import Worker, conditions, put_table  # noqa: E402
from models import MODELS  # noqa: E402

# Title: the runtime, and what it is to compile with.
VARIANTS = {
    "Lanner": ("lanner", {}),
    "without the rule": ("lanner", {"disable_rules": ["fuse-preprocessing"]}),
    "ONNX Runtime": ("onnxruntime", {}),
    "OpenVINO": ("openvino", {}),
}


class Steps:
    """Nodes on one value, one after another."""

    def __init__(self, value):
        self.value, self.nodes, self.initializers = value, [], []

    def constant(self, value):
        name = f"prepared_constant_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, operator, *inputs, **attributes):
        names = [name and self.constant(name[0]) for name in inputs]
        output = f"prepared_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, [self.value, *names], [output], **attributes))
        self.value = output


def letterbox(height, width, size=640):
    """From uint8 [height, width, 3] to [1, 3, size, size], as YOLOs are fed."""
    scale = size / max(height, width)
    rows, columns = round(height * scale), round(width * scale)
    top, left = (size - rows) // 2, (size - columns) // 2
    steps = Steps("picture")
    steps.add("Cast", to=TensorProto.FLOAT)
    steps.add("Transpose", perm=[2, 0, 1])
    steps.add("Unsqueeze", [np.int64([0])])
    steps.add("Resize", "", "", [np.int64([1, 3, rows, columns])], mode="linear")
    steps.add("Pad", [np.int64([0, 0, top, left, 0, 0, size - rows - top, size - columns - left])], [np.float32(114)])
    steps.add("Div", [np.float32(255)])
    picture = np.random.default_rng(1).integers(0, 256, (height, width, 3)).astype(np.uint8)
    return steps, picture, [1, 3, size, size]


def torchvision(height, width):
    """From float32 [3, height, width] to what torchvision's detectors make of it: normalised, 800 rows, padded to 32."""
    rows, columns = 800, int(width * 800 / height)
    steps = Steps("picture")
    steps.add("Sub", [np.float32([0.485, 0.456, 0.406]).reshape(3, 1, 1)])
    steps.add("Div", [np.float32([0.229, 0.224, 0.225]).reshape(3, 1, 1)])
    steps.add("Unsqueeze", [np.int64([0])])
    steps.add("Resize", "", "", [np.int64([1, 3, rows, columns])], mode="linear")
    steps.add("Squeeze", [np.int64([0])])
    steps.add("Pad", [np.int64([0, 0, 0, 0, -rows % 32, -columns % 32])])
    steps.add("Unsqueeze", [np.int64([0])])
    picture = np.random.default_rng(1).random((3, height, width), np.float32)
    return steps, picture, [1, 3, rows + -rows % 32, columns + -columns % 32]


def picture_input(picture):
    return helper.make_tensor_value_info("picture", helper.np_dtype_to_tensor_dtype(picture.dtype), picture.shape)


def alone(folder, steps, picture, shape):
    graph = helper.make_graph(
        steps.nodes, "preprocessing", [picture_input(picture)],
        [helper.make_tensor_value_info(steps.value, TensorProto.FLOAT, shape)], steps.initializers)
    path = Path(folder) / "preprocessing.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def in_front_of(name, folder, steps, picture):
    model = onnx.load(MODELS[name].make())
    graph = model.graph
    for node in graph.node:
        node.input[:] = [steps.value if value == graph.input[0].name else value for value in node.input]
    nodes = [*steps.nodes, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(steps.initializers)
    graph.input[0].CopyFrom(picture_input(picture))
    path = Path(folder) / f"{name}.onnx"
    onnx.save(model, path)
    return path


def in_turns(folder, path, picture, threads, rounds=15, turn_ms=30):
    """Median milliseconds of each variant, which run in turns of about `turn_ms`."""
    np.savez(Path(folder) / "inputs.npz", picture=picture)
    workers = {title: Worker(runtime, Path(folder) / "inputs.npz") for title, (runtime, _) in VARIANTS.items()}
    times = {title: [] for title in VARIANTS}
    counts = {}
    for title, worker in workers.items():
        worker.ask(do="load", model=str(path), threads=threads, **VARIANTS[title][1])
        worker.ask(do="run", count=20)  # Lanner measures a program's first requests
        counts[title] = max(3, int(turn_ms / statistics.median(worker.ask(do="run", count=5)["ms"])))
    for _ in range(rounds):
        for title, worker in workers.items():
            times[title] += worker.ask(do="run", count=counts[title])["ms"]
    for worker in workers.values():
        worker.stop()
    return [statistics.median(times[title]) for title in VARIANTS]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="put the table into bench/README.md")
    options = parser.parse_args()
    problems = [
        ("uint8 1080 × 1920 × 3 to 640 × 640", letterbox(1080, 1920), None),
        ("uint8 720 × 1280 × 3 to 640 × 640", letterbox(720, 1280), None),
        ("float32 3 × 480 × 640 to 800 × 1,088", torchvision(480, 640), None),
        ("uint8 1080 × 1920 × 3, and yolov8n", letterbox(1080, 1920), "yolov8n"),
    ]
    rows = ["| picture | " + " | ".join(f"{title} ms" for title in VARIANTS) + " | ratio |", "| --- " * (len(VARIANTS) + 2) + "|"]
    with tempfile.TemporaryDirectory() as folder:
        for name, (steps, picture, shape), detector in problems:
            path = in_front_of(detector, folder, steps, picture) if detector else alone(folder, steps, picture, shape)
            ms = in_turns(folder, path, picture, options.threads, turn_ms=200 if detector else 30)
            rows.append(f"| {name} | " + " | ".join(f"{value:.2f}" for value in ms) + f" | {ms[0] / min(ms[2:]):.2f} |")
            print(rows[-1], flush=True)
    sentence = conditions("bench/preprocessing.py", ["lanner", "onnxruntime", "openvino"], options.threads)
    text = (f"{sentence} Milliseconds are medians, in turns; the ratio is Lanner's time divided by that of the better peer."
            "\n\n" + "\n".join(rows))
    if options.write:
        put_table(ROOT / "bench" / "README.md", "preprocessing", text)


if __name__ == "__main__":
    main()
