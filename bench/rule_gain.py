#!/usr/bin/env python3
"""Measures what a rewrite rule gains on a model: Lanner with all rules and without that one, in turns.

    build/bench-env/bin/python bench/rule_gain.py fuse-attention my/detector.onnx [...] [--threads 2] [--rounds 10]
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np

from measuring import Worker, compiled
from models import of_file

WARM_RUNS, SLICE_MS = 30, 300


def medians(model, rule, options, folder):
    np.savez(folder / "inputs.npz", **model.inputs())
    workers, times = [], []
    for name, disabled in (("with", []), ("without", [rule])):
        program = compiled(model.make(), options.threads, str(folder / f"{name}.lanner"), tune="fast",
                           samples=model.inputs(), disable_rules=disabled)
        workers.append(Worker("lanner", folder / "inputs.npz"))
        workers[-1].ask(do="load", model=program, threads=options.threads)
        typical = workers[-1].ask(do="run", count=WARM_RUNS)["ms"][-1]
        times.append([])
    count = max(1, round(SLICE_MS / typical))
    for _ in range(options.rounds):
        for worker, found in zip(workers, times):
            found += worker.ask(do="run", count=count)["ms"]
    for worker in workers:
        worker.stop()
    return [statistics.median(found) for found in times]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rule")
    parser.add_argument("models", nargs="+", metavar="MODEL.onnx")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    for path in options.models:
        model = of_file(path)
        with tempfile.TemporaryDirectory() as folder:
            with_rule, without = medians(model, options.rule, options, Path(folder))
        print(f"{model.name}: {with_rule:.2f} ms with {options.rule}, {without:.2f} without: {with_rule / without:.2f}",
              flush=True)


if __name__ == "__main__":
    main()
