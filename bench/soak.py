#!/usr/bin/env python3
"""Many requests whose images alternate between four sizes: does memory stay flat?

    bench/soak.py [--requests 10000] [--model free_size|fasterrcnn] [--threads 2] [--sessions 1]

`free_size` is the small detector of tests/models/free_size.py, `fasterrcnn` torchvision's as bench/models.py makes it. Every
size has several images, so that what depends on data changes, too. Prints resident memory as the requests go by, and fails
where the second half of them needs more than the first, by more than --slack-mib.
"""

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / folder) for folder in ("bench", "tests/models")]

import free_size  # noqa: E402
import lanner  # noqa: E402

IMAGES_OF_A_SIZE = 5
SAMPLES = 20  # of memory


def resident_mib():
    for line in open("/proc/self/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("no VmRSS in /proc/self/status")


def small():
    images = [{"image": free_size.image(seed, *size)} for seed in range(IMAGES_OF_A_SIZE) for size in free_size.SIZES]
    return free_size.model(), images


def faster_rcnn():
    import models
    import pictures

    model = models.MODELS["fasterrcnn"]
    images = [{"image": pictures.picture(seed, *size)}
              for seed in range(IMAGES_OF_A_SIZE) for size in ((120, 160), (160, 120), (120, 120), (100, 200))]
    return model.make(), images


MODELS = {"free_size": small, "fasterrcnn": faster_rcnn}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--model", choices=MODELS, default="free_size")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sessions", type=int, default=1)
    parser.add_argument("--slack-mib", type=float, default=1.0)
    options = parser.parse_args()
    proto, requests = MODELS[options.model]()
    model = lanner.compile(proto, threads=options.threads, sessions=options.sessions)
    print(f"{options.model}, {options.requests} requests, {options.threads} threads, {options.sessions} sessions")
    print("| requests | resident MiB | requests a second |\n| --- | --- | --- |")
    memory, start = [], time.perf_counter()
    for i in range(options.requests):
        model.run(requests[i % len(requests)])
        if (i + 1) % max(1, options.requests // SAMPLES) == 0:
            memory.append(resident_mib())
            print(f"| {i + 1} | {memory[-1]:.2f} | {(i + 1) / (time.perf_counter() - start):.0f} |", flush=True)
    half = len(memory) // 2
    grown = max(memory[half:]) - max(memory[:half])
    print(f"the second half of the requests needed {grown:+.2f} MiB")
    if grown > options.slack_mib:
        sys.exit("memory grows")


if __name__ == "__main__":
    main()
