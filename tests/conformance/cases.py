"""The cases of onnx.backend.test and the lists of those that fail: what the tests and triage.py share.

All cases of the kinds node, simple, pytorch-converted and pytorch-operator run, with the suite's own data, comparison
and tolerances, in three forms: `native`, on native kernels without any rewrite rule, `full`, with all rules and with
oneDNN wherever it takes an operator, and `open`, the same without the sizes of inputs and outputs, so that all of them are
only known when the data come. The kind "real", whole networks, runs in the second form alone, which is fast enough for
them; the package has them with constants as weights, so nothing is downloaded.
"""

import atexit
import fnmatch
import functools
import os
import re
import shutil
import tempfile
import typing
import warnings
from pathlib import Path

import lanner.backend
import onnx
from onnx.backend.test.runner import Runner

FOLDER = Path(__file__).resolve().parent
FORMS = {
    "native": {"disable_rules": ["all"], "deny": ["@onednn"], "threads": 1},
    "full": {"min_subgraph": 1, "threads": 2},
    "open": {"min_subgraph": 1, "threads": 2},
}


class WholeRunner(Runner):
    @classmethod
    def assert_similar_outputs(cls, ref_outputs, outputs, rtol, atol, model_dir=None):
        """The suite compares the tensors of a sequence row by row, which fails for scalars: here one by one."""
        assert len(ref_outputs) == len(outputs)
        for reference, output in zip(ref_outputs, outputs, strict=True):
            assert isinstance(reference, (list, tuple)) == isinstance(output, (list, tuple))
            if isinstance(reference, (list, tuple)):
                cls.assert_similar_outputs(reference, output, rtol, atol, model_dir)
            else:
                super().assert_similar_outputs([reference], [output], rtol, atol, model_dir)


def assert_similar(expected, results, *, rtol: float, atol: float):
    """As the suite compares: raises AssertionError."""
    WholeRunner.assert_similar_outputs(expected, results, rtol, atol)


def without_sizes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with inputs and outputs of any size, but of the rank that they have."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for info in (*result.graph.input, *result.graph.output):
        _forget_sizes(info.type)
    return result


def _forget_sizes(kind: onnx.TypeProto):
    which = kind.WhichOneof("value")
    if which in ("sequence_type", "optional_type"):
        _forget_sizes(getattr(kind, which).elem_type)
    elif which == "tensor_type":
        for dim in kind.tensor_type.shape.dim:
            dim.Clear()


@functools.cache
def node_cases() -> list:
    """The suite's node cases, each with its model, data and tolerances."""
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of making the data
        return load_model_tests(kind="node")


def nodes_of(graph: onnx.GraphProto):
    """All nodes of a graph and of the graphs inside."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from nodes_of(inner)


@functools.cache
def functions(form: str) -> dict[str, typing.Callable[[], None]]:
    """What runs each case, by the case's name; raises lanner.Error, or AssertionError for wrong results."""
    class Backend(lanner.backend.LannerBackend):
        @classmethod
        def prepare(cls, model, device="CPU", **options):
            return super().prepare(without_sizes(model) if form == "open" else model, device, **FORMS[form], **options)

        @classmethod
        def is_compatible(cls, model, device="CPU", **options):
            return True  # the suite skips other cases; here they have to be listed

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of making the data
        suite = WholeRunner(Backend).test_cases
    cases = {}
    kinds = ["Node", "Simple", "PyTorchConverted", "PyTorchOperator"]
    if form == "full":
        kinds.append("Real")
        _keep_real_models_apart()
    for kind in kinds:
        test = suite[f"OnnxBackend{kind}ModelTest"]
        for name in dir(test):
            if name.startswith("test_") and name.endswith("_cpu"):
                cases[name.removesuffix("_cpu")] = functools.partial(getattr(test, name), None)
    return cases


@functools.cache
def _keep_real_models_apart():
    """Whole networks are written to a folder before they run: one of the tests' own, not the user's."""
    folder = tempfile.mkdtemp(prefix="lanner-conformance-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["ONNX_MODELS"] = folder


class Entry(typing.NamedTuple):
    """A line `GLOB[@FORM] reason` of a list: cases of that form, or of all forms."""

    pattern: str
    form: str
    reason: str

    def covers(self, form: str, name: str) -> bool:
        return self.form in ("", form) and fnmatch.fnmatchcase(name, self.pattern)


def read_list(name: str) -> list[Entry]:
    entries = []
    for number, line in enumerate((FOLDER / name).read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        match = re.fullmatch(r"(test_[^@\s]+)(?:@(\w+))?\s+(\S.*)", line)
        if match is None or match[2] not in (None, *FORMS):
            raise ValueError(f"{name}:{number}: a line is 'GLOB[@FORM] reason', with a form of {', '.join(FORMS)}")
        entries.append(Entry(match[1], match[2] or "", match[3]))
    return entries


def passes(name: str) -> bool:
    """Whether a case of known sizes is in no list."""
    entries = read_list("unsupported.txt") + read_list("expected_failures.txt")
    return not any(find(entries, form, name) for form in ("native", "full"))


def find(entries: list[Entry], form: str, name: str) -> Entry | None:
    return next((entry for entry in entries if entry.covers(form, name)), None)
