#!/usr/bin/env python3
"""Measures how many requests a second each runtime answers, in its best arrangement, and writes a table of bench/README.md.

    build/bench-env/bin/python bench/throughput.py [--models ssd300,ssdlite320] [--cpus 2] [--rounds 5] [--write]

An arrangement is a number of sessions, each with its own threads and answering one request after another, that together
have as many threads as there are CPUs. Every runtime tries each of them, OpenVINO with its throughput setting and as many
streams as sessions. All arrangements of all runtimes are held in processes of their own and take turns; each runtime's best
counts.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import numpy as np

from measuring import TITLES, Worker, compiled, conditions, put_table
from models import MODELS, ROOT

RUNTIMES = ("lanner", "onnxruntime", "openvino")
DEFAULT = ("ssdlite320", "ssd300", "fasterrcnn")
WARM_SECONDS = 3


def arrangements(cpus):
    """(sessions, threads of each)."""
    return [(sessions, cpus // sessions) for sessions in range(1, cpus + 1) if cpus % sessions == 0]


def measure(model, options, folder):
    """By runtime, its best arrangement: requests a second, and the milliseconds that half and 99 of 100 requests took."""
    inputs = folder / "inputs.npz"
    np.savez(inputs, **model.inputs())
    path = model.make()
    results = {}
    workers = {}
    for sessions, threads in arrangements(options.cpus):
        program = compiled(path, threads, folder / f"{threads}.lanner", tune="fast", samples=model.inputs())
        for runtime in RUNTIMES:
            worker = Worker(runtime, inputs)
            file = str(program if runtime == "lanner" else path)
            worker.ask(do="load", model=file, threads=threads, sessions=sessions)
            worker.ask(do="serve", seconds=WARM_SECONDS)
            workers[runtime, sessions, threads] = worker
    served = {key: {"seconds": 0.0, "ms": []} for key in workers}
    for _ in range(options.rounds):
        for key, worker in workers.items():
            answer = worker.ask(do="serve", seconds=options.slice)
            served[key]["seconds"] += answer["seconds"]
            served[key]["ms"] += answer["ms"]
    for worker in workers.values():
        worker.stop()
    for (runtime, sessions, threads), one in served.items():
        result = {
            "sessions": sessions,
            "threads": threads,
            "per_second": len(one["ms"]) / one["seconds"],
            "p50_ms": statistics.median(one["ms"]),
            "p99_ms": float(np.percentile(one["ms"], 99)),
        }
        if runtime not in results or result["per_second"] > results[runtime]["per_second"]:
            results[runtime] = result
    return results


def table(all_results):
    lines = [
        f"{conditions('bench/throughput.py', RUNTIMES)} Requests a second, and in brackets sessions × threads and the"
        " milliseconds of the median and the 99th percentile. The ratio is Lanner's rate divided by the better peer's.",
        "",
        "| model | " + " | ".join(TITLES[runtime] for runtime in RUNTIMES) + " | ratio |",
        "| --- |" + " --- |" * (len(RUNTIMES) + 1),
    ]
    for name, results in all_results.items():
        cells = [
            f"{result['per_second']:.2f} ({result['sessions']} × {result['threads']};"
            f" {result['p50_ms']:.1f}, {result['p99_ms']:.1f})"
            for result in (results[runtime] for runtime in RUNTIMES)
        ]
        best = max(results[runtime]["per_second"] for runtime in RUNTIMES[1:])
        lines.append(f"| {name} | {' | '.join(cells)} | {results['lanner']['per_second'] / best:.2f} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(DEFAULT), help="comma-separated")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slice", type=float, default=2.0, help="seconds per arrangement and round")
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--write", action="store_true", help="put the table into bench/README.md")
    options = parser.parse_args()
    results = {}
    for name in options.models.split(","):
        with tempfile.TemporaryDirectory() as folder:
            results[name] = measure(MODELS[name], options, Path(folder))
        print(name, json.dumps(results[name], indent=1), flush=True)
    text = table(results)
    print(text)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    if options.write:
        put_table(ROOT / "bench" / "README.md", "throughput", text)


if __name__ == "__main__":
    main()
