#!/usr/bin/env python3
"""Measures Lanner beside ONNX Runtime and OpenVINO on whole detectors, and writes README's table.

    .venv/bin/python bench/compare_peers.py [--models shapes,ssd300] [--threads 2] [--rounds 10] [--write]

For each model, every runtime holds it in a process of its own, float32, with the same number of threads and the same
input. The processes take turns: in each round each one runs for about --slice seconds while the others wait. Latencies
are medians over all rounds. Loading is timed in fresh processes, three times each, median: Lanner loads the .lanner file
that it compiled before, the peers the .onnx file. Memory is resident memory of the whole process, Python included, when
idle after its first runs, and at its highest.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "models"), str(ROOT / "models" / "shapes")]

from measuring import Worker, cpu_name, put_table  # noqa: E402

RUNTIMES = ("lanner", "onnxruntime", "openvino")
MODELS = ("shapes", "ssdlite320", "ssd300", "fasterrcnn")


def sample_of(name):
    if name == "shapes":
        import evaluate
        import shapes_data

        return {"image": evaluate.network_input(shapes_data.validation_set()[0][0])}
    import pictures

    return {"image": pictures.samples(name)[0]}


def path_of(name):
    if name == "shapes":
        return ROOT / "models" / "shapes" / "shapes.onnx"
    import rebuild

    return rebuild.rebuild(name, ROOT / "build" / "models" / f"{name}.onnx")


# Lanner measures its first requests to find out what to run beside what; all runtimes get as many.
WARM_RUNS = 12


def measure(name, options, folder):
    """Results by runtime: median latency, load and first-run milliseconds, idle and peak MiB."""
    import lanner

    onnx_path = path_of(name)
    lanner_path = folder / f"{name}.lanner"
    start = time.perf_counter()
    lanner.compile(onnx_path, threads=options.threads).save(lanner_path)
    compile_ms = 1e3 * (time.perf_counter() - start)
    inputs = folder / f"{name}.npz"
    np.savez(inputs, **sample_of(name))
    files = {runtime: str(lanner_path if runtime == "lanner" else onnx_path) for runtime in RUNTIMES}

    results = {runtime: {} for runtime in RUNTIMES}
    loads = {runtime: [] for runtime in RUNTIMES}
    for _ in range(3):
        for runtime in RUNTIMES:
            worker = Worker(runtime, inputs)
            loads[runtime].append(worker.ask(do="load", model=files[runtime], threads=options.threads))
            worker.stop()
    workers = {runtime: Worker(runtime, inputs) for runtime in RUNTIMES}
    counts = {}
    for runtime, worker in workers.items():
        worker.ask(do="load", model=files[runtime], threads=options.threads)
        warm = worker.ask(do="run", count=WARM_RUNS)["ms"]
        counts[runtime] = max(1, round(1e3 * options.slice / warm[-1]))
    times = {runtime: [] for runtime in RUNTIMES}
    for _ in range(options.rounds):
        for runtime, worker in workers.items():
            times[runtime] += worker.ask(do="run", count=counts[runtime])["ms"]
    time.sleep(1)
    for runtime, worker in workers.items():
        memory = worker.ask(do="memory")
        worker.stop()
        results[runtime] = {
            "latency_ms": statistics.median(times[runtime]),
            "load_ms": statistics.median(load["load_ms"] for load in loads[runtime]),
            "first_ms": statistics.median(load["first_ms"] for load in loads[runtime]),
            "idle_mib": memory["now"],
            "peak_mib": memory["peak"],
        }
    results["lanner"]["compile_ms"] = compile_ms
    return results


def table(all_results, options):
    lines = [
        f"Measured by `bench/compare_peers.py` on {cpu_name()} ({os.cpu_count()} cores), {options.threads} threads, float32,"
        f" one request at a time; ONNX Runtime {version('onnxruntime')}, OpenVINO {version('openvino').split('-')[0]}."
        " Milliseconds are medians; the ratio is Lanner's latency divided by the better peer's. Load is the time until a"
        " session can run: Lanner from its .lanner file, the peers from the .onnx file. Memory is the resident memory of"
        " the process, Python included, when idle after its runs and at its highest.",
        "",
        "| model | Lanner ms | ONNX Runtime ms | OpenVINO ms | ratio | load ms (L / ORT / OV) | idle MiB (L / ORT / OV) |"
        " peak MiB (L / ORT / OV) |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, results in all_results.items():
        ours, ort, ov = (results[runtime] for runtime in RUNTIMES)
        ratio = ours["latency_ms"] / min(ort["latency_ms"], ov["latency_ms"])
        triple = lambda key: " / ".join(f"{results[runtime][key]:.0f}" for runtime in RUNTIMES)  # noqa: E731
        lines.append(
            f"| {name} | {ours['latency_ms']:.2f} | {ort['latency_ms']:.2f} | {ov['latency_ms']:.2f} | {ratio:.2f} |"
            f" {triple('load_ms')} | {triple('idle_mib')} | {triple('peak_mib')} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS), help="comma-separated")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--slice", type=float, default=0.5, help="seconds per runtime and round")
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    options = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.models.split(","):
            results[name] = measure(name, options, Path(folder))
            print(name, json.dumps(results[name], indent=1), flush=True)
    text = table(results, options)
    print(text)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    if options.write:
        put_table(ROOT / "README.md", "bench", text)


if __name__ == "__main__":
    main()
