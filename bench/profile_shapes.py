#!/usr/bin/env python3
"""Profiles the shapes detector on its example picture, and writes README's table.

    .venv/bin/python bench/profile_shapes.py [--threads 2] [--runs 100] [--write]
"""

import argparse
import os
import statistics
import sys
import textwrap
from pathlib import Path

import numpy as np
from PIL import Image

import lanner

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))
sys.path.insert(0, str(ROOT / "models" / "shapes"))

import evaluate  # noqa: E402
import shapes_data  # noqa: E402
from measuring import cpu_name, put_table  # noqa: E402


def profile_text(threads, runs):
    model = lanner.compile(evaluate.MODEL, threads=threads)
    size = (shapes_data.SIZE_PX, shapes_data.SIZE_PX)
    picture = Image.open(evaluate.MODEL.with_name("example.png")).convert("RGB").resize(size, Image.Resampling.BILINEAR)
    profile = model.profile({"image": evaluate.network_input(np.asarray(picture))}, runs=runs)
    conditions = (f"`models/shapes/shapes.onnx` on `models/shapes/example.png`, {runs} runs on {threads} threads of "
                  f"{cpu_name()} ({os.cpu_count()} cores), float32; the median run took "
                  f"{statistics.median(profile.run_ms):.2f} ms with recording on. Written by `bench/profile_shapes.py`.")
    return f"{textwrap.fill(conditions, 120)}\n\n```table\n{profile.table().rstrip()}\n```"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    options = parser.parse_args()
    text = profile_text(options.threads, options.runs)
    print(text)
    if options.write:
        put_table(ROOT / "README.md", "profile", text)


if __name__ == "__main__":
    main()
