#!/usr/bin/env python3
"""Measures detection heads in Lanner, ONNX Runtime and OpenVINO, and writes the tables of bench/heads/README.md.

    .venv/bin/python bench/heads/compare.py [--cases tf,nms] [--slice 0.1] [--threads 2] [--write]

For each case every engine holds its model in a process of its own (bench/peer_worker.py), float32, and they take turns:
in each of ten rounds each one runs for a while, --slice seconds and --runs runs at least, while the others wait. Times
are medians over all runs, after warming up. Before that the outputs are compared: Lanner's must be ONNX Runtime's, or
the script ends; where OpenVINO's are others, the table says so.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1] / "tests" / "models")]

import cases  # noqa: E402
from measuring import Worker, compiled, cpu_name, put_table  # noqa: E402

ENGINES = ("lanner", "onnxruntime", "openvino")
PEERS = ENGINES[1:]
ROUNDS = 10
WARM_UP = 30  # Lanner measures its first requests to find out what to run beside what; all engines get as many
MAX_DIFFERENCE = 1e-4  # of scores, of boxes relative to the picture, and of logits relative to the largest


@dataclass
class Entrant:
    """An engine with a model and its settings."""

    engine: str
    model: Path
    threads: int
    lanes: int | None = None


def race(entrants, inputs, options, folder):
    """Median milliseconds and outputs of each entrant (by name), which take turns."""
    file = folder / "inputs.npz"
    np.savez(file, **inputs)
    workers = {name: Worker(entrant.engine, file) for name, entrant in entrants.items()}
    times, outputs, counts = {name: [] for name in workers}, {}, {}
    for name, worker in workers.items():
        entrant = entrants[name]
        settings = {"lanes": entrant.lanes} if entrant.lanes else {}
        worker.ask(do="load", model=str(entrant.model), threads=entrant.threads, **settings)
        worker.ask(do="save", path=str(folder / f"{name}.npz"))
        outputs[name] = list(np.load(folder / f"{name}.npz").values())
        typical = statistics.median(worker.ask(do="run", count=WARM_UP)["ms"])
        counts[name] = max(options.runs, round(1e3 * options.slice / typical))
    for _ in range(ROUNDS):
        for name, worker in workers.items():
            times[name] += worker.ask(do="run", count=counts[name])["ms"]
    for worker in workers.values():
        worker.stop()
    return {name: statistics.median(values) for name, values in times.items()}, outputs


def same(ours, theirs, side):
    """Equal shapes and indices in equal order; boxes, scores and logits up to rounding."""

    def tolerance(values):
        if values.dtype.kind != "f":
            return 0
        largest = side if values.ndim and values.shape[-1] == 4 else np.abs(values).max(initial=1)
        return MAX_DIFFERENCE * max(largest, 1)

    return len(ours) == len(theirs) and all(
        a.shape == b.shape and np.allclose(a, b, rtol=0, atol=tolerance(b)) for a, b in zip(ours, theirs)
    )


def sorted_rows(outputs):
    return [np.unique(output, axis=0) for output in outputs]


def measure_peers(case, options, folder):
    """One row: Lanner against the best peer."""
    model, peer_model = case.model(folder), case.peer_model(folder)
    entrants = {"lanner": Entrant("lanner", compiled(model, options.threads, folder / "model.lanner"), options.threads)}
    entrants |= {engine: Entrant(engine, peer_model, options.threads) for engine in PEERS}
    ms, outputs = race(entrants, case.inputs(), options, folder)
    theirs, others = outputs["onnxruntime"], outputs["openvino"]
    if not same(outputs["lanner"], theirs, case.side):
        raise SystemExit(f"{case.name}: Lanner's outputs are not ONNX Runtime's")
    agree = same(sorted_rows(others), sorted_rows(theirs), 1) if case.selections else same(others, theirs, case.side)
    marks = {"openvino": "" if agree else " (other results)"}
    best = min(ms[engine] for engine in PEERS)
    return {
        "case": case.name, "kept": case.kept(outputs["lanner"]), "ms": ms, "marks": marks,
        "faster": best / ms["lanner"], "required": case.required,
    }


def measure_lanes(case, options, folder):
    """One row: two lanes against one, and one alone against ONNX Runtime with one thread."""
    model = case.model(folder)
    program = compiled(model, 2, folder / "model.lanner", disable_rules=list(case.disabled))
    entrants = {
        "two": Entrant("lanner", program, 2, 2),
        "one": Entrant("lanner", program, 2, 1),
        "single": Entrant("lanner", program, 1, 1),
        "onnxruntime": Entrant("onnxruntime", model, 1),
    }
    ms, outputs = race(entrants, case.inputs(), options, folder)
    for name in ("two", "one", "single"):
        if not same(outputs[name], outputs["onnxruntime"], case.side):
            raise SystemExit(f"{case.name}: Lanner's outputs are not ONNX Runtime's")
    return {
        "case": case.name, "ms": ms, "faster": ms["one"] / ms["two"], "required": case.required,
        "single": ms["onnxruntime"] / ms["single"],
    }


def count_instructions(case, options, folder):
    """One row: the instructions in one run, and how many of them are NonMaxSuppressions."""
    import lanner

    rows = lanner.compile(case.model(folder), threads=options.threads).profile(case.inputs(), runs=1).rows
    suppressions = sum(row.count for row in rows if "NonMaxSuppression" in row.operator)
    return {"case": case.name, "instructions": sum(row.count for row in rows), "suppressions": suppressions}


MEASURES = {"peers": measure_peers, "lanes": measure_lanes, "instructions": count_instructions}


def tables(results, options):
    """The text between README's markers."""
    text = [
        f"Measured on {cpu_name()} ({os.cpu_count()} cores), {options.threads} threads, float32, one request at a time;"
        f" ONNX Runtime {version('onnxruntime')}, OpenVINO {version('openvino').split('-')[0]}. Milliseconds are medians of ten"
        f" rounds, {options.slice} seconds each and {options.runs} runs at least. *Kept* are the boxes that the model gives."
    ]
    if results["peers"]:
        text += ["", "| case | kept | Lanner | ONNX Runtime | OpenVINO | times faster than the best peer | required |",
                 "| --- | --- | --- | --- | --- | --- | --- |"]
        for row in results["peers"]:
            times = " | ".join(f"{row['ms'][engine]:.3f}{row['marks'].get(engine, '')}" for engine in ENGINES)
            text.append(f"| {row['case']} | {row['kept']} | {times} | {row['faster']:.2f} | {row['required']:.2f} |")
    if results["lanes"]:
        text += ["", "| lanes, head rules off | 1 lane | 2 lanes | times faster | required | 1 thread |"
                 " ONNX Runtime, 1 thread | times faster |", "| --- |" + " --- |" * 7]
        for row in results["lanes"]:
            one, two, single, peer = (row["ms"][name] for name in ("one", "two", "single", "onnxruntime"))
            text.append(f"| {row['case']} | {one:.3f} | {two:.3f} | {row['faster']:.2f} | {row['required']:.2f} |"
                        f" {single:.3f} | {peer:.3f} | {row['single']:.2f} |")
    if results["instructions"]:
        text += ["", "| instructions in one run | all | NonMaxSuppression |", "| --- | --- | --- |"]
        text += [f"| {row['case']} | {row['instructions']} | {row['suppressions']} |" for row in results["instructions"]]
    return "\n".join(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default="", help="comma-separated parts of names of cases; default all")
    parser.add_argument("--runs", type=int, default=10, help="timed runs of each engine in a round, at least")
    parser.add_argument("--slice", type=float, default=0.1, help="seconds of each engine in a round, at least")
    parser.add_argument("--threads", type=int, default=2, help="of each engine; the cases of lanes have their own")
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--write", action="store_true", help="put the tables of all cases into bench/heads/README.md")
    options = parser.parse_args()
    if options.write and options.cases:
        parser.error("--write needs all cases")
    wanted = options.cases.split(",")
    results = {kind: [] for kind in MEASURES}
    for case in cases.CASES:
        if any(part in case.name for part in wanted):
            with tempfile.TemporaryDirectory() as folder:
                row = MEASURES[case.kind](case, options, Path(folder))
            print(json.dumps(row), flush=True)
            results[case.kind].append(row)
    text = tables(results, options)
    print(text)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    if options.write:
        put_table(HERE / "README.md", "compare", text)


if __name__ == "__main__":
    main()
