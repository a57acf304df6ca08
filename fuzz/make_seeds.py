#!/usr/bin/env python3
"""Makes seeds of the targets `import` and `program` from the node cases of onnx.backend.test and the models of tests/.

    fuzz/make_seeds.py [--all FOLDER]

By default writes what fuzz/seeds/ has of them: for each operator the smallest case, and one more for each set of
attributes as long as there is room. With --all, every case goes to FOLDER/import and FOLDER/program, to fuzz from. Needs
the package `lanner`. Files that are named after a finding (`finding-...`) are left alone.
"""

import argparse
import gzip
import re
import struct
import tempfile
import warnings
from collections import defaultdict
from pathlib import Path

import lanner
import numpy as np
import onnx
from onnx import numpy_helper

ROOT = Path(__file__).resolve().parent.parent
MOST_BYTES = 7000  # of a seed
MOST_PROGRAMS = 160_000  # bytes of all programs, and of all models
NATIVE = {"disable_rules": ["all"], "deny": ["@onednn"]}


def cases():
    """Yields (name, operators and attributes, model): inputs that hold a few integers are initializers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests

        tests = load_model_tests(kind="node")
    for test in sorted(tests, key=lambda test: test.name):
        model = onnx.ModelProto()
        model.CopyFrom(test.model)
        graph = model.graph
        given = test.data_sets[0][0] if test.data_sets else []
        for info, value in list(zip(graph.input, given)):
            if hasattr(value, "dtype") and value.dtype.kind in "iu" and value.size <= 16 and len(graph.input) > 1:
                graph.initializer.append(numpy_helper.from_array(value, info.name))
                graph.input.remove(info)
        if model.ir_version < 4:
            model.ir_version = 4
        operators = tuple((node.op_type, tuple(a.name for a in node.attribute)) for node in graph.node)
        yield test.name.removeprefix("test_"), operators, model.SerializeToString()


def program_text(model, **options):
    """The text of a compiled model, or None where it does not compile."""
    try:
        return lanner.compile(model, tune="off", **options)._program.text()
    except lanner.Error:
        return None


def excerpts(text):
    """Yields (operator, a program of that instruction alone) for each operator of a program's main block. Sizes above 8
    become unknown, and small constants stay."""
    constants = dict(re.findall(r"^constant (\d+) (.*)$", text, re.MULTILINE))
    main = text[text.index("main {") :]
    slots = {n: (name, type_) for n, name, type_ in re.findall(r'^  slot (\d+) ("(?:[^"\\]|\\.)*") (.*)$', main, re.MULTILINE)}
    bindings = dict(re.findall(r"^  const (\d+) (\d+)$", main, re.MULTILINE))
    seen = set()
    for outputs, op, inputs, rest in re.findall(r"^  ([\d_][\d_, ]*) = (\w+)\(([^)]*)\)(.*)$", main, re.MULTILINE):
        if op in seen or rest.endswith("{"):
            continue
        seen.add(op)
        read = [word for word in inputs.split(", ") if word]
        made = outputs.split(", ")
        number = {}
        lines, given, bound, held = [], [], [], []
        for slot in (*read, *made):
            if slot == "_" or slot in number:
                continue
            number[slot] = len(number)
            type_ = re.sub(r"\d+(?=[,\]])", lambda match: match[0] if int(match[0]) <= 8 else "?", slots[slot][1])
            constant = constants.get(bindings.get(slot, ""), "...")
            if slot in read and len(constant) < 200 and not constant.startswith(("...", "@")):
                type_ = slots[slot][1]
                bound.append(f"  const {number[slot]} {len(held)}")
                held.append(f"constant {len(held)} {constant}")
            elif slot in read:
                given.append(str(number[slot]))
            lines.append(f'  slot {number[slot]} "{number[slot]}" {type_}')
        renamed = [", ".join("_" if slot == "_" else str(number[slot]) for slot in of) for of in (made, read)]
        rest = re.sub(r' (after|for)\([^)]*\)| name "(?:[^"\\]|\\.)*"', "", rest)
        results = [slot for slot in made if slot != "_"]
        yield op, "\n".join([
            "program 1", *held, *(f'output "{i}"' for i in range(len(results))), "main {", *lines,
            f"  inputs({', '.join(given)})", *bound, f"  {renamed[0]} = {op}({renamed[1]}){rest}",
            f"  outputs({', '.join(str(number[slot]) for slot in results)})", "}", ""])


def program_file():
    """A small .lanner file with weights, and its three sections."""
    weights = numpy_helper.from_array(np.arange(72, dtype=np.float32).reshape(4, 2, 3, 3) / 64, "w")
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Conv", ["x", "w"], ["c"]), onnx.helper.make_node("Relu", ["c"], ["y"])], "graph",
        [value("x", onnx.TensorProto.FLOAT, [1, 2, 5, 5])], [value("y", onnx.TensorProto.FLOAT, None)], [weights])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.lanner"
        lanner.compile(model, min_subgraph=1, disable_rules=["all"], tune="off").save(path)
        content = path.read_bytes()
    sections = []
    for entry in range(64, 64 + 3 * 32, 32):
        offset, size = struct.unpack_from("<QQ", content, entry + 8)
        sections.append(content[offset : offset + size])
    return content, sections


def models():
    """The whole models of tests/ and models/, with rules and with oneDNN."""
    for path in sorted([*(ROOT / "tests" / "models").rglob("*.onnx.gz"), *(ROOT / "models").rglob("*.onnx")]):
        yield path.name.split(".")[0], gzip.open(path).read() if path.suffix == ".gz" else path.read_bytes()


def write(folder, seeds):
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if not old.name.startswith("finding-") and old.name not in seeds:
            old.unlink()
    for name, content in seeds.items():
        (folder / name).write_bytes(content)
    print(f"{folder}: {len(seeds)} files, {sum(map(len, seeds.values()))} bytes")


def selection(seeds):
    """Of {name: (what it has, content)} the smallest of each operator, and then one of each kind while there is room."""
    chosen, room = {}, MOST_PROGRAMS
    by_size = sorted(seeds.items(), key=lambda seed: len(seed[1][1]))
    for key in (lambda kind: kind[0][0] if kind else "", lambda kind: kind):
        seen = defaultdict(int)
        for name, (kind, content) in by_size:
            if seen[key(kind)] or len(content) > MOST_BYTES or room < len(content):
                continue
            seen[key(kind)] += 1
            if name not in chosen:
                chosen[name] = content
                room -= len(content)
    return chosen


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", type=Path, help="a folder for all cases")
    arguments = parser.parse_args()
    imports, programs = {}, {}
    for name, kind, model in cases():
        if len(model) > 2 * MOST_BYTES:
            continue
        imports[f"{name}.onnx"] = (kind, model)
        if text := program_text(model, **NATIVE):
            programs[f"{name}.txt"] = (kind, text.encode())
        # Again as oneDNN runs it, where it does.
        if (text := program_text(model, min_subgraph=1)) and "= Subgraph(" in text:
            programs[f"onednn-{name}.txt"] = ((("Subgraph", kind),), text.encode())
    for name, model in models():
        for op, text in excerpts(program_text(model) or "main {"):
            programs.setdefault(f"excerpt-{op}-{name}.txt", ((("excerpt", op),), text.encode()))
    content, (text, weights, report) = program_file()
    imports["report.json"] = ("report", report)
    programs["file.lanner"] = ("file", content)
    programs["sections"] = ("sections", b"\1" + text + b"\0" + weights + b"\0" + report)
    folder = arguments.all or ROOT / "fuzz" / "seeds"
    for target, seeds in (("import", imports), ("program", programs)):
        write(folder / target, {name: content for name, (_, content) in seeds.items()} if arguments.all else selection(seeds))


if __name__ == "__main__":
    main()
