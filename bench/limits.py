#!/usr/bin/env python3
"""Says where Lanner's time goes, model by model, and how far that is from what the machine can do; writes a table of
bench/README.md.

    build/bench-env/bin/python bench/limits.py [--models resnet50,ssd300] [--threads 2] [--write]

The dense part is what convolutions and matrix products take. Its lower bound is the larger of two times: the products and
sums that its algorithms need (a Winograd convolution with tiles of 4 × 4 needs a quarter of the direct one's, with tiles of
2 × 2 four ninths; with a stride of 2, 9/16 and 25/36) at the peak rate that `lanner explain` measures, and reading the weights once from memory at the rate
that this script measures.
"""

import argparse
import json
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from measuring import conditions, put_table
from models import MODELS, ROOT

LANNER = ROOT / "build" / "release" / "bin" / "lanner"
# Of an algorithm, for a stride of 1 and of 2.
REDUCTION = {"winograd-f2": (36 / 16, 36 / 25), "winograd-f4": (144 / 36, 144 / 81)}
DENSE = ("Conv", "Gemm", "MatMul")


def read_gb_per_second(threads, megabytes=256, rounds=5):
    """What all threads together read from memory at best."""
    arrays = [np.ones(megabytes << 18, np.float32) for _ in range(threads)]
    best = 0
    for _ in range(rounds):
        readers = [threading.Thread(target=array.max) for array in arrays]
        start = time.perf_counter()
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        best = max(best, threads * megabytes / 1024 / (time.perf_counter() - start))
    return best


def json_of(*words):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.json"
        subprocess.run([LANNER, *words, "--json", path], check=True, stdout=subprocess.DEVNULL)
        return json.loads(path.read_text())


def operations(row):
    """Products and sums of a convolution or matrix product by its algorithm."""
    reduction = REDUCTION.get(row["algorithm"].removesuffix("-plain"), (1, 1))
    return 2 * row["macs"] / reduction["stride 2x2" in row["problem"]]


def measure(model, options, gb_per_second):
    with tempfile.TemporaryDirectory() as folder:
        program, inputs = Path(folder) / "model.lanner", Path(folder) / "inputs.npz"
        np.savez(inputs, **model.inputs())
        threads = ["--threads", str(options.threads)]
        subprocess.run([LANNER, "compile", model.make(), "-o", program, "--samples", inputs, *threads], check=True,
                       stdout=subprocess.DEVNULL)
        profile = json_of("profile", program, "--inputs", inputs, "--runs", str(options.runs), *threads)
        explained = json.loads(subprocess.run(
            [LANNER, "explain", program, "--json", *threads], check=True, capture_output=True, text=True).stdout)
        weight_ms = 1e3 * program.stat().st_size / 1e9 / gb_per_second
    runs = len(profile["run_ms"])
    per_run = lambda rows: sum(row["sum_us"] for row in rows) / 1e3 / runs  # noqa: E731
    dense_rows = [row for row in profile["child_rows"] if row["operator"].startswith(DENSE)]
    peak = explained.get("tuning", {}).get("peak_gflops", 0)
    known = [row for row in explained["algorithms"] if row["macs"]]
    return {
        "ms": float(np.median(profile["run_ms"])),
        "dense_ms": per_run(dense_rows),
        "rest_ms": per_run(profile["child_rows"]) - per_run(dense_rows),
        "native_ms": per_run([row for row in profile["rows"] if row["backend"] == "native"]),
        "direct_gflops": sum(2 * row["macs"] for row in known) / 1e9,
        "compute_ms": sum(map(operations, known)) / 1e9 / peak * 1e3 if peak and known else None,
        "weights_ms": weight_ms,
        "peak_gflops": peak,
    }


def table(results, options, gb_per_second):
    peak = max(result["peak_gflops"] for result in results.values())
    lines = [
        f"{conditions('bench/limits.py', ['lanner'], options.threads)[:-1]}; peak {peak:.0f} GFLOP/s, memory"
        f" {gb_per_second:.0f} GB/s, both measured. Milliseconds of a run.",
        "",
        "| model | run | dense part | rest of the subgraphs | native | GFLOP, direct | bound: products | bound: weights |"
        " dense part, share of its bound |",
        "| --- |" + " --- |" * 8,
    ]
    for name, result in results.items():
        compute = result["compute_ms"]
        share = f"{100 * max(compute, result['weights_ms']) / result['dense_ms']:.0f} %" if compute else ""
        products = f"{compute:.2f}" if compute else "open sizes"
        direct = f"{result['direct_gflops']:.1f}" if compute else ""
        lines.append(
            f"| {name} | {result['ms']:.2f} | {result['dense_ms']:.2f} | {result['rest_ms']:.2f} | {result['native_ms']:.2f} |"
            f" {direct} | {products} | {result['weights_ms']:.2f} | {share} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS), help="comma-separated")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--write", action="store_true", help="put the table into bench/README.md")
    options = parser.parse_args()
    gb_per_second = read_gb_per_second(options.threads)
    results = {name: measure(MODELS[name], options, gb_per_second) for name in options.models.split(",")}
    text = table(results, options, gb_per_second)
    print(text)
    if options.write:
        put_table(ROOT / "bench" / "README.md", "limits", text)


if __name__ == "__main__":
    main()
