#!/usr/bin/env python3
"""Writes docs/models.md: every model that the tests compare with ONNX Runtime, and how it compiles, agrees and runs.

    tools/write_models_page.py [--models retinanet,detr] [--rounds 8]

Needs the Python package, onnx and onnxruntime. Latencies are medians of runs in turns, each runtime in a process of its
own with the same number of threads; the ratio is Lanner's divided by ONNX Runtime's. With --models the rows of others stay.
"""

import argparse
import collections
import re
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / folder) for folder in ("bench", "tests/models", "tests/python")]

import lanner  # noqa: E402
import pictures  # noqa: E402
import rebuild  # noqa: E402
import small  # noqa: E402
from compact_model import all_nodes  # noqa: E402
from detections import assert_kind_agrees  # noqa: E402
from measuring import Worker, conditions, put_table  # noqa: E402
from models import MODELS as MEASURED  # noqa: E402

PAGE = ROOT / "docs" / "models.md"
THREADS = 2
RUN_SECONDS = 0.1  # of each runtime in a round
WARM_RUNS = 30  # Lanner measures its first requests
HEADER = ["| model | exporter | what | operators | compiles | agrees | latency ratio |", "| --- |" + " --- |" * 6]

Model = collections.namedtuple("Model", "exporter what kind proto inputs")
LARGE = {
    "shapes": (small.TORCHSCRIPT, "the bundled SSD", "lists"),
    "ssdlite320": (small.TORCHSCRIPT, "torchvision SSDlite, as it is", "lists"),
    "ssd300": (small.TORCHSCRIPT, "torchvision SSD300, as it is", "lists"),
    "fasterrcnn": (small.TORCHSCRIPT, "torchvision Faster R-CNN, as it is", "lists"),
    "ssd_mobilenetv2": (small.TF2ONNX, "Keras MobileNetV2, SSD of the Object Detection API", "padded"),
    "yolov8n": (small.ULTRALYTICS, "YOLOv8n, as it is, nms=True", "rows"),
}


def models(names):
    """Yields name and model, one after the other, because weights need memory."""
    for name in names:
        if name in small.MODELS:
            model, proto = small.MODELS[name], rebuild.load(f"small/{name}")
            yield name, Model(model.exporter, model.title, model.result, proto, small.inputs_of(model, proto)[0])
        elif name == "ssd_mobilenetv2":
            inputs = {"input_tensor": pictures.pixels(pictures.samples(name)[0])}
            yield name, Model(*LARGE[name], rebuild.load(name), inputs)
        else:
            yield name, Model(*LARGE[name], onnx.load(MEASURED[name].make()), MEASURED[name].inputs())


def one_line(error):
    return " ".join(str(error).split())[:160].replace("|", "/")


def latency_ratio(path, program, inputs, rounds):
    workers = {"lanner": Worker("lanner", inputs), "onnxruntime": Worker("onnxruntime", inputs)}
    counts, times = {}, {runtime: [] for runtime in workers}
    for runtime, worker in workers.items():
        worker.ask(do="load", model=str(program if runtime == "lanner" else path), threads=THREADS)
        typical = worker.ask(do="run", count=3)["ms"][-1]
        worker.ask(do="run", count=max(3, min(WARM_RUNS, round(2000 / typical))))
        counts[runtime] = max(1, round(1e3 * RUN_SECONDS / worker.ask(do="run", count=1)["ms"][0]))
    for _ in range(rounds):
        for runtime, worker in workers.items():
            times[runtime] += worker.ask(do="run", count=counts[runtime])["ms"]
    for worker in workers.values():
        worker.stop()
    return statistics.median(times["lanner"]) / statistics.median(times["onnxruntime"])


def row(name, model, rounds, folder):
    operators = collections.Counter(node.op_type for node in all_nodes(model.proto.graph))
    cells = [name, model.exporter, model.what, f"{len(operators)} in {operators.total()} nodes"]
    path, program, inputs = folder / "model.onnx", folder / "model.lanner", folder / "inputs.npz"
    path.write_bytes(model.proto.SerializeToString())
    np.savez(inputs, **model.inputs)
    try:
        compiled = lanner.compile(path, threads=THREADS)
    except lanner.Error as error:
        return cells + [f"no: {one_line(error)}", "", ""]
    compiled.save(program)
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]
    theirs = dict(zip(outputs, session.run(None, model.inputs), strict=True))
    height_and_width = [size for size in next(iter(model.inputs.values())).shape if size > 3]
    size = 1 if name in ("shapes", "ssd_mobilenetv2") or name.startswith("keras") else max(height_and_width)
    try:
        assert_kind_agrees(model.kind, compiled.run(model.inputs), theirs, size)
    except (AssertionError, lanner.Error) as error:
        return cells + ["yes", f"no: {one_line(error)}", ""]
    del compiled, session
    return cells + ["yes", "yes", f"{latency_ratio(path, program, inputs, rounds):.2f}"]


def main():
    known = [*LARGE, *small.MODELS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default=",".join(known), help="default: all")
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    rows = {match[1]: match[0] for match in re.finditer(r"^\| (\w+) \|.*$", PAGE.read_text(), re.MULTILINE)}
    with tempfile.TemporaryDirectory() as folder:
        for name, model in models(options.models.split(",")):
            rows[name] = f"| {' | '.join(row(name, model, options.rounds, Path(folder)))} |"
            print(rows[name], flush=True)
    table = [conditions("tools/write_models_page.py", ("lanner", "onnxruntime"), THREADS), "", *HEADER]
    put_table(PAGE, "models", "\n".join(table + [rows[name] for name in known if name in rows]))


if __name__ == "__main__":
    main()
