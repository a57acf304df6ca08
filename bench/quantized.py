#!/usr/bin/env python3
"""Times quantized operators, networks that ONNX Runtime's tools quantized, and recurrent operators, beside ONNX Runtime.

    build/bench-env/bin/python bench/quantized.py [--threads N] [--only layers,networks,recurrent] [--write]

Operators by themselves run on one thread, networks on two: between runs of one operator the second thread of Lanner's team
sleeps, and waking it takes longer than many of them do.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))

import backbones  # noqa: E402
from measuring import Worker, conditions, put_table  # noqa: E402

RUNTIMES = ["lanner", "onnxruntime"]

# Channels, output channels, size of the map, kernel, stride, groups.
CONVOLUTIONS = {
    "MobileNetV2": [
        (3, 32, 224, 3, 2, 1), (16, 96, 112, 1, 1, 1), (96, 96, 112, 3, 2, 96), (144, 144, 56, 3, 1, 144),
        (144, 32, 28, 1, 1, 1), (32, 192, 28, 1, 1, 1), (384, 384, 14, 3, 1, 384), (384, 64, 14, 1, 1, 1),
        (960, 960, 7, 3, 1, 960), (320, 1280, 7, 1, 1, 1)],
    "ResNet50": [
        (3, 64, 224, 7, 2, 1), (64, 64, 56, 3, 1, 1), (64, 256, 56, 1, 1, 1), (256, 512, 56, 1, 2, 1),
        (128, 128, 28, 3, 1, 1), (256, 256, 14, 3, 1, 1), (1024, 256, 14, 1, 1, 1), (512, 512, 7, 3, 1, 1),
        (512, 2048, 7, 1, 1, 1)],
}
# Rows, depth, columns.
PRODUCTS = [(1, 768, 3072), (8, 768, 768), (128, 768, 768), (128, 3072, 768), (1024, 1024, 1024)]
# Operator, gates, attributes, steps, batch, inputs, hidden size.
RECURRENT = [
    ("LSTM", 4, {}, 50, 1, 128, 256), ("LSTM", 4, {}, 50, 8, 128, 256), ("LSTM", 4, {}, 20, 32, 256, 512),
    ("GRU", 3, {}, 50, 1, 128, 256), ("GRU", 3, {"linear_before_reset": 1}, 50, 8, 128, 256),
    ("RNN", 1, {}, 50, 1, 128, 256)]


def save(folder, name, nodes, inputs, outputs, initializers):
    graph = helper.make_graph(nodes, name, [helper.make_tensor_value_info(*i) for i in inputs],
                              [helper.make_tensor_value_info(*o) for o in outputs], initializers)
    path = Path(folder) / f"{name}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def constants(**values):
    return [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]


def convolution(folder, random, channels, outputs, size, kernel, stride, groups):
    """A QLinearConv as tools write it: uint8 data, int8 weights with a scale for each channel, a bias."""
    weights = constants(
        xs=np.float32(0.02), xz=np.uint8(120), ws=np.full(outputs, 0.001, np.float32), wz=np.zeros(outputs, np.int8),
        w=random.integers(-127, 128, (outputs, channels // groups, kernel, kernel)).astype(np.int8), ys=np.float32(0.05),
        yz=np.uint8(110), b=random.integers(-1000, 1000, outputs).astype(np.int32))
    node = helper.make_node("QLinearConv", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"], ["y"],
                            pads=[kernel // 2] * 4, strides=[stride] * 2, group=groups)
    shape = [1, channels, size, size]
    path = save(folder, "conv", [node], [("x", TensorProto.UINT8, shape)], [("y", TensorProto.UINT8, None)], weights)
    return path, {"x": random.integers(0, 256, shape).astype(np.uint8)}


def product(folder, random, rows, depth, columns):
    weights = constants(b=random.integers(-127, 128, (depth, columns)).astype(np.int8), az=np.uint8(120), bz=np.int8(0))
    node = helper.make_node("MatMulInteger", ["a", "b", "az", "bz"], ["y"])
    path = save(folder, "product", [node], [("a", TensorProto.UINT8, [rows, depth])], [("y", TensorProto.INT32, None)], weights)
    return path, {"a": random.integers(0, 256, (rows, depth)).astype(np.uint8)}


def recurrent(folder, random, operator, gates, attributes, steps, batch, inputs, hidden):
    def values(*shape):
        return (0.1 * random.standard_normal(shape)).astype(np.float32)

    weights = constants(w=values(1, gates * hidden, inputs), r=values(1, gates * hidden, hidden), b=values(1, 2 * gates * hidden))
    node = helper.make_node(operator, ["x", "w", "r", "b"], ["y"], hidden_size=hidden, **attributes)
    shape = [steps, batch, inputs]
    path = save(folder, "recurrent", [node], [("x", TensorProto.FLOAT, shape)], [("y", TensorProto.FLOAT, None)], weights)
    return path, {"x": values(*shape)}


def mobilenet_v2(folder):
    """The convolutions of MobileNetV2 with Clips as activations, its batch normalisations folded, and the classifier."""
    net = backbones.Backbone("mobilenet_v2")
    net.weights += constants(zero=np.float32(0), six=np.float32(6))

    def convolution(x, channels, outputs, size=1, stride=1, groups=1, clips=True):
        operands = [x, net.weight(outputs, channels // groups, size, size), net.weight(outputs)]
        y = net.add("Conv", operands, strides=[stride] * 2, pads=[size // 2] * 4, kernel_shape=[size] * 2, group=groups)
        return net.add("Clip", [y, "zero", "six"]) if clips else y

    x, channels = convolution("image", 3, 32, 3, 2), 32
    for factor, outputs, count, stride in (
            (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)):
        for block in range(count):
            wide = factor * channels
            y = convolution(x, channels, wide) if factor != 1 else x
            y = convolution(y, wide, wide, 3, stride if block == 0 else 1, wide)
            y = convolution(y, wide, outputs, clips=False)
            x = net.add("Add", [x, y]) if block > 0 else y
            channels = outputs
    x = net.add("Flatten", [net.add("GlobalAveragePool", [convolution(x, channels, 1280)])])
    return net.save(folder, net.add("Gemm", [x, net.weight(1000, 1280), net.weight(1000)], transB=1), [1, 1000])


class Samples(quantization.CalibrationDataReader):
    def __init__(self):
        random = np.random.default_rng(1)
        self.left = iter([{"image": random.random((1, 3, 224, 224), np.float32)} for _ in range(2)])

    def get_next(self):
        return next(self.left, None)


def networks(folder):
    """Names of models, and their files: float32, and both forms that ONNX Runtime's tools write."""
    for build in (mobilenet_v2, backbones.resnet50):
        path = build(folder)
        yield f"{path.stem}, float32", path
        prepared = path.with_suffix(".prepared.onnx")
        quant_pre_process(path, prepared, skip_symbolic_shape=True)
        for form in ("QDQ", "QOperator"):
            quantized = path.with_suffix(f".{form}.onnx")
            quantization.quantize_static(
                prepared, quantized, Samples(), quant_format=quantization.QuantFormat[form], per_channel=True,
                weight_type=quantization.QuantType.QInt8,
                op_types_to_quantize=["Conv"] if form == "QOperator" else None)
            yield f"{path.stem}, {form}", quantized


def in_turns(folder, path, inputs, threads, rounds=15, turn_ms=20):
    """Median milliseconds of each runtime. Both hold the model, and run in turns of about `turn_ms`."""
    np.savez(Path(folder) / "inputs.npz", **inputs)
    workers = {runtime: Worker(runtime, Path(folder) / "inputs.npz") for runtime in RUNTIMES}
    times = {runtime: [] for runtime in RUNTIMES}
    counts = {}
    for runtime, worker in workers.items():
        worker.ask(do="load", model=str(path), threads=threads)
        worker.ask(do="run", count=3)
        counts[runtime] = max(3, int(turn_ms / statistics.median(worker.ask(do="run", count=3)["ms"])))
    for _ in range(rounds):
        for runtime, worker in workers.items():
            times[runtime] += worker.ask(do="run", count=counts[runtime])["ms"]
    for worker in workers.values():
        worker.stop()
    return [statistics.median(times[runtime]) for runtime in RUNTIMES]


def row(name, ms):
    return f"| {name} | {ms[0]:.3f} | {ms[1]:.3f} | {ms[0] / ms[1]:.2f} |"


def table(first, rows):
    return "\n".join([f"| {first} | Lanner ms | ONNX Runtime ms | ratio |", "| --- | --- | --- | --- |", *rows])


def layers_table(folder, threads):
    random = np.random.default_rng(0)
    rows = []
    for network, problems in CONVOLUTIONS.items():
        for problem in problems:
            channels, outputs, size, kernel, stride, groups = problem
            name = (f"QLinearConv {channels}→{outputs} @{size}, {kernel} × {kernel}" + (f", stride {stride}" if stride > 1 else "")
                    + (", depthwise" if groups == channels else "") + f" ({network})")
            rows.append(row(name, in_turns(folder, *convolution(folder, random, *problem), threads)))
            print(rows[-1], flush=True)
    for problem in PRODUCTS:
        name = "MatMulInteger {} × {} × {}".format(*problem)
        rows.append(row(name, in_turns(folder, *product(folder, random, *problem), threads)))
        print(rows[-1], flush=True)
    return table("operator", rows)


def networks_table(folder, threads):
    image = {"image": np.random.default_rng(2).random((1, 3, 224, 224), np.float32)}
    rows = []
    for name, path in networks(folder):
        # Long turns, so that the system has found a core for each thread.
        rows.append(row(name, in_turns(folder, path, image, threads, rounds=6, turn_ms=300)))
        print(rows[-1], flush=True)
    return table("network", rows)


def recurrent_table(folder, threads):
    random = np.random.default_rng(0)
    rows = []
    for problem in RECURRENT:
        operator, _, attributes, steps, batch, inputs, hidden = problem
        name = f"{operator}, {steps} steps of {batch}, {inputs}→{hidden}" + ("".join(f", {key}" for key in attributes))
        rows.append(row(name, in_turns(folder, *recurrent(folder, random, *problem), threads)))
        print(rows[-1], flush=True)
    return table("operator", rows)


TABLES = {"layers": (layers_table, 1), "networks": (networks_table, 2), "recurrent": (recurrent_table, 1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, help="instead of each table's own number")
    parser.add_argument("--only", default=",".join(TABLES), help="which tables")
    parser.add_argument("--write", action="store_true", help="put the tables into bench/README.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only.split(","):
            measure, threads = TABLES[name]
            threads = options.threads or threads
            text = measure(folder, threads)
            precision = "float32" if name == "recurrent" else "int8"
            sentence = conditions("bench/quantized.py", RUNTIMES, threads, precision).replace("1 threads", "1 thread")
            text = f"{sentence} Milliseconds are medians, in turns.\n\n{text}"
            if options.write:
                put_table(ROOT / "bench" / "README.md", f"quantized-{name}", text)


if __name__ == "__main__":
    main()
