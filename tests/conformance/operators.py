"""Writes docs/operators.md: what of each operator ONNX's own suite has shown to work, and on which backends.

    python tests/conformance/operators.py           writes the page
    python tests/conformance/operators.py --check   fails where the page is not what it would write

Every case whose model is one node runs in both forms. The page names the element types of the inputs and outputs of those
that pass. So it claims nothing that was not run, and less than is there: an operator takes more types than the suite has
cases for.
"""

import argparse
import collections
import sys
import warnings

import cases
import lanner.backend
import onnx
from onnx.backend.test.loader import load_model_tests

PAGE = cases.FOLDER.parents[1] / "docs" / "operators.md"
HEAD = """# Operators

What ONNX's own test suite (of the package `onnx` {version}) has shown to work: for each operator the cases that pass,
those that do not, and the element types of the passing cases. `native` are Lanner's own kernels or, without one, those
of the operators by which ONNX defines it; `onednn` says that oneDNN, too, ran some of them. Operators take more types than
the suite has cases for. Written by `tests/conformance/operators.py`.

| operator | pass | fail | element types | backends |
| --- | --- | --- | --- | --- |
"""


def element_types(kind: onnx.TypeProto) -> set[str]:
    which = kind.WhichOneof("value")
    if which == "tensor_type":
        return {onnx.TensorProto.DataType.Name(kind.tensor_type.elem_type).lower()}
    if which in ("sequence_type", "optional_type"):
        name = which.partition("_")[0]
        return {f"{name} of {inner}" for inner in element_types(getattr(kind, which).elem_type)}
    return set()


def passes(form: str, name: str) -> bool:
    try:
        cases.functions(form)[name]()
    except (lanner.Error, AssertionError):
        return False
    return True


def backends_of(model: onnx.ModelProto) -> set[str]:
    return {row["backend"] for row in lanner.compile(model, **cases.FORMS["full"]).explain().rows}


def page() -> str:
    types = collections.defaultdict(set)
    backends = collections.defaultdict(set)
    counts = collections.Counter()
    for case in load_model_tests(kind="node"):
        graph = case.model.graph
        if len(graph.node) != 1:
            continue
        node = graph.node[0]
        operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        works = all(passes(form, case.name) for form in cases.FORMS)
        counts[operator, works] += 1
        if works:
            backends[operator] |= {"native"} | backends_of(case.model)
            for value in (*graph.input, *graph.output):
                types[operator] |= element_types(value.type)
    lines = []
    for operator in sorted({operator for operator, _ in counts}, key=str.lower):
        cells = [operator, counts[operator, True], counts[operator, False] or "", ", ".join(sorted(types[operator])),
                 ", ".join(sorted(backends[operator]))]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return HEAD.format(version=onnx.__version__) + "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    text = page()
    if not arguments.check:
        PAGE.write_text(text)
    elif PAGE.read_text() != text:
        sys.exit("docs/operators.md is not up to date: run tests/conformance/operators.py")


if __name__ == "__main__":
    main()
