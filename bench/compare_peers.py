#!/usr/bin/env python3
"""Measures Lanner beside other runtimes, one request at a time, and writes the tables of README.md and bench/README.md.

    build/bench-env/bin/python bench/compare_peers.py [--models shapes,ssd300] [--threads 2] [--rounds 10] [--write]
    build/bench-env/bin/python bench/compare_peers.py --precision bf16 --models ssd300,fasterrcnn,resnet50 [--write]
    build/bench-env/bin/python bench/compare_peers.py --models my/detector.onnx,another.onnx

For each model, every runtime holds it in a process of its own, with the same number of threads and the same input. The
processes take turns: in each round each one runs for about --slice seconds while the others wait. Latencies are medians
over all rounds. Detectors run whole in Lanner, ONNX Runtime and OpenVINO; ncnn gets their dense part, and everything of a
backbone; PyTorch gets backbones. Loading is timed in fresh processes, three times each, median: Lanner loads the .lanner
file that it compiled before, the peers the model's own file. Memory is resident memory of the whole process, Python
included, when idle after its first runs, and at its highest.

A model may be any file: it gets random inputs of the sizes that it declares, in the runtimes that run it whole. --write puts
what tools/export_architectures.py exports into a table of its own.

With --precision bf16 the peer is OpenVINO with bfloat16, the only one that has it here.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from measuring import TITLES, Worker, compiled, conditions, is_installed, ncnn_model, put_table
from models import DETECTORS, MODELS, ROOT, dense_part, of_file

WHOLE = ("lanner", "onnxruntime", "openvino")
RUNTIMES = {"f32": ("lanner", "onnxruntime", "openvino", "ncnn", "pytorch"), "bf16": ("lanner", "openvino")}
# Lanner measures its first requests to find out what to run beside what; all runtimes get as many, or this much time.
WARM_RUNS, WARM_SECONDS = 30, 8
LOADS = 3


def files_of(model, runtimes, options, folder):
    """What each runtime loads, and its inputs."""
    onnx_path, inputs = model.make(), folder / "inputs.npz"
    np.savez(inputs, **model.inputs())
    files = {runtime: (str(onnx_path), inputs) for runtime in runtimes}
    files["lanner"] = (str(folder / "model.lanner"), inputs)
    if "ncnn" in runtimes:
        dense, dense_inputs = dense_part(onnx_path, model.inputs(), folder)
        files["ncnn"] = (str(ncnn_model(dense) or ""), dense_inputs)
    if "pytorch" in runtimes:
        files["pytorch"] = (model.torch, inputs)
    return files


def measure(model, options, folder):
    """Results by runtime: median latency, load and first-run milliseconds, idle and peak MiB."""
    runtimes = [runtime for runtime in RUNTIMES[options.precision] if is_installed(runtime) or runtime == "lanner"]
    if not model.torch:
        runtimes = [runtime for runtime in runtimes if runtime != "pytorch"]
    if model.name not in MODELS:
        runtimes = [runtime for runtime in runtimes if runtime in WHOLE]
    files = files_of(model, runtimes, options, folder)
    runtimes = [runtime for runtime in runtimes if files[runtime][0]]
    start = time.perf_counter()
    compiled(model.make(), options.threads, files["lanner"][0], precision=options.precision, tune="fast",
             samples=model.inputs())
    compile_ms = 1e3 * (time.perf_counter() - start)

    def load(runtime):
        path, inputs = files[runtime]
        worker = Worker(runtime, inputs)
        settings = {"precision": "bf16"} if options.precision == "bf16" and runtime != "lanner" else {}
        return worker, worker.ask(do="load", model=path, threads=options.threads, **settings)

    loads = {runtime: [] for runtime in runtimes}
    workers = {}
    for last in (*[False] * (LOADS - 1), True):
        for runtime in runtimes:
            if runtime == "pytorch" and not last:
                continue  # compiles for a minute
            worker, answer = load(runtime)
            loads[runtime].append(answer)
            if last:
                workers[runtime] = worker
            else:
                worker.stop()
    counts = {}
    for runtime, worker in workers.items():
        typical = worker.ask(do="run", count=3)["ms"][-1]
        more = min(WARM_RUNS, max(3, round(1e3 * WARM_SECONDS / typical)))
        typical = worker.ask(do="run", count=more)["ms"][-1]
        counts[runtime] = max(1, round(1e3 * options.slice / typical))
    times = {runtime: [] for runtime in runtimes}
    for _ in range(options.rounds):
        for runtime, worker in workers.items():
            times[runtime] += worker.ask(do="run", count=counts[runtime])["ms"]
    time.sleep(1)
    results = {}
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


def latency_rows(names, all_results, runtimes):
    """Latencies, and Lanner's divided by the best of the peers that run the same."""
    lines = [
        "| model | " + " | ".join(f"{TITLES[runtime]} ms" for runtime in runtimes) + " | ratio |",
        "| --- |" + " --- |" * (len(runtimes) + 1),
    ]
    if "ncnn" in runtimes:
        lines = [lines[0] + " ratio to ncnn's dense part |", lines[1] + " --- |"]
    for name in names:
        ms = {runtime: result["latency_ms"] for runtime, result in all_results[name].items()}
        whole = name in DETECTORS
        same = [ms[runtime] for runtime in ms if runtime != "lanner" and not (whole and runtime == "ncnn")]
        cells = [f"{ms[runtime]:.2f}" if runtime in ms else "" for runtime in runtimes]
        if whole and "ncnn" in ms:
            cells[list(runtimes).index("ncnn")] += " (dense part)"
        cells.append(f"{ms['lanner'] / min(same):.2f}")
        if "ncnn" in runtimes:
            cells.append(f"{ms['lanner'] / ms['ncnn']:.2f}" if whole and "ncnn" in ms else "")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def resource_rows(names, all_results):
    """Loading and memory beside the runtimes that run everything."""
    short = {"lanner": "L", "onnxruntime": "ORT", "openvino": "OV"}
    shown = [runtime for runtime in short if any(runtime in all_results[name] for name in names)]
    order = " / ".join(short[runtime] for runtime in shown)
    lines = [
        f"| model | load and first result, ms ({order}) | idle MiB ({order}) | peak MiB ({order}) | compile ms |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in names:
        results = all_results[name]
        of = [results[runtime] for runtime in shown]
        first = " / ".join(f"{result['load_ms']:.0f} + {result['first_ms']:.0f}" for result in of)
        idle, peak = (" / ".join(f"{result[key]:.0f}" for result in of) for key in ("idle_mib", "peak_mib"))
        lines.append(f"| {name} | {first} | {idle} | {peak} | {results['lanner']['compile_ms']:.0f} |")
    return "\n".join(lines)


def tables(all_results, options):
    """README's text, of detectors alone, and that of bench/README.md."""
    precision = {"f32": "float32", "bf16": "bfloat16"}[options.precision]
    runtimes = [runtime for runtime in RUNTIMES[options.precision]
                if any(runtime in results for results in all_results.values())]
    begin = conditions("bench/compare_peers.py", runtimes, options.threads, precision)
    said = (" Milliseconds are medians, one request at a time; the ratio is Lanner's time divided by that of the best peer"
            " that runs the same.")
    names = list(all_results)
    whole = [name for name in names if name in DETECTORS]
    few = [runtime for runtime in runtimes if runtime not in ("ncnn", "pytorch")]
    theirs = {name: {runtime: all_results[name][runtime] for runtime in few} for name in whole}
    short = (f"{conditions('bench/compare_peers.py', few, options.threads, precision)}{said}\n\n"
             f"{latency_rows(whole, theirs, few)}\n\n{resource_rows(whole, theirs)}")
    return short, f"{begin}{said}\n\n{latency_rows(names, all_results, runtimes)}\n\n{resource_rows(names, all_results)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS), help="comma-separated")
    parser.add_argument("--precision", default="f32", choices=list(RUNTIMES))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--slice", type=float, default=0.5, help="seconds per runtime and round")
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--write", action="store_true", help="put the tables into the README files")
    options = parser.parse_args()
    results = {}
    names = options.models.split(",")
    files = [name for name in names if name.endswith(".onnx")]
    if files and len(files) < len(names):
        sys.exit("either models that are known by name or files")
    for name in names:
        if name not in MODELS and not Path(name).is_file():
            sys.exit(f"there is no model '{name}', but {', '.join(MODELS)}")
        model = of_file(name) if name in files else MODELS[name]
        with tempfile.TemporaryDirectory() as folder:
            results[model.name] = measure(model, options, Path(folder))
        print(model.name, json.dumps(results[model.name], indent=1), flush=True)
    short, long = tables(results, options)
    print(long)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    if options.write and files:
        put_table(ROOT / "bench" / "README.md", "architectures", long)
        return
    if options.write and options.precision == "f32":
        put_table(ROOT / "README.md", "bench", short)
    if options.write:
        put_table(ROOT / "bench" / "README.md", "latency" if options.precision == "f32" else "bf16", long)


if __name__ == "__main__":
    main()
