#!/usr/bin/env python3
"""Checks every #include line under src/ and include/ against layers.txt.

layers.txt lists the folders bottom up; a folder may include itself, the folders after its colon and the third-party
headers in <...>. Exits with 1 and one line per fault. Run from anywhere; `--root DIR` checks another tree.
"""

import argparse
import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)')
OPEN_TO_ALL = ("fmt/", "gtest/", "gmock/")  # third-party headers without a fence
GENERATED = ("lanner_version.h", "profile/report_html.inc")  # made by the build


def read_layers(path):
    """Returns {folder: (folders it may include, third-party prefixes it may include)}; raises on a bad line."""
    layers = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line = line.split("#", 1)[0].strip()
        if not line:
            continue
        folder, _, rest = line.partition(":")
        words = rest.split()
        third_party = {word[1:-1] for word in words if word.startswith("<")}
        folders = {word for word in words if not word.startswith("<")}
        for other in folders - layers.keys():
            raise SystemExit(f"{path}:{number}: '{other}' must be listed above '{folder}'")
        layers[folder] = (folders, third_party)
    return layers


def folder_of(path, layers):
    """The longest listed folder that holds the file with this path relative to src/, or None."""
    parts = path.split("/")[:-1]
    while parts and "/".join(parts) not in layers:
        parts.pop()
    return "/".join(parts) or None


def check_file(path, folder, layers, fenced, src):
    allowed_folders, allowed_third_party = layers[folder]
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        ours, system = match.groups()
        header = ours or system
        if ours and header.startswith("lanner/"):
            continue
        if ours and (src / header).exists():
            target = folder_of(header, layers)
            if target != folder and target not in allowed_folders:
                yield f"{path}:{number}: {folder} may not include {header} (of {target})"
            continue
        for prefix in fenced - allowed_third_party:
            if header.startswith((prefix + "/", prefix + ".", prefix + "_")):
                yield f"{path}:{number}: {folder} may not include <{header}>: only folders with <{prefix}> may"
        if ours and not header.startswith(OPEN_TO_ALL) and not any(header.startswith(p) for p in fenced):
            if not header.startswith(GENERATED):
                yield f"{path}:{number}: no header {header} under src/"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    root = parser.parse_args().root
    layers = read_layers(root / "layers.txt")
    fenced = set().union(*(third_party for _, third_party in layers.values()))
    src = root / "src"
    faults = []
    for path in sorted([*src.rglob("*.h"), *src.rglob("*.cpp"), *src.rglob("*.def")]):
        folder = folder_of(path.relative_to(src).as_posix(), layers)
        if folder is None:
            faults.append(f"{path}: its folder is not in layers.txt")
            continue
        faults.extend(check_file(path, folder, layers, fenced, src))
    for path in sorted((root / "include").rglob("*.h")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = INCLUDE.match(line)
            if match and match.group(1) and not match.group(1).startswith("lanner/"):
                faults.append(f"{path}:{number}: a public header may include only public ones")
            if match and match.group(2) and ("/" in match.group(2) or "." in match.group(2)):
                faults.append(f"{path}:{number}: a public header may include no third-party one")
    print("\n".join(faults) or f"{len(layers)} folders, every include allowed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
