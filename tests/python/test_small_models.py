"""What every exporter writes, in small configurations (tests/models/small.py): compiled and run, against ONNX Runtime."""

import functools

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

import lanner  # noqa: E402
import rebuild  # noqa: E402
import small  # noqa: E402
from detections import IN_PLACE, KINDS, assert_kind_agrees  # noqa: E402

MAX_COMMITTED_BYTES = 300_000
MIN_MODELS = 12
MIN_BOXES = 10
MIN_SPREAD = 5e-3
MAX_ROUNDING_OF_SCORES = 5e-5  # half of what implementations may differ by


def onnx_runtime(data, inputs, *, optimise=True):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return [dict(zip(names, session.run(None, sample), strict=True)) for sample in inputs]


@functools.cache
def reference(name):
    """The file's bytes, the sample inputs, and ONNX Runtime's outputs for each."""
    proto = rebuild.load(f"small/{name}")
    data, inputs = proto.SerializeToString(), small.inputs_of(small.MODELS[name], proto)
    return data, inputs, onnx_runtime(data, inputs)


def test_every_file_has_a_row_and_is_small():
    files = {path.name.removesuffix(".onnx.gz"): path.stat().st_size for path in (rebuild.FOLDER / "small").glob("*.gz")}
    assert files.keys() == small.MODELS.keys() and len(files) >= MIN_MODELS
    assert max(files.values()) <= MAX_COMMITTED_BYTES
    assert {model.exporter for model in small.MODELS.values()} == set(small.EXPORTERS)


@pytest.mark.parametrize("name", small.MODELS)
def test_the_reference_says_something(name):
    """The file is valid and without the exporter's notes; what it detects differs from place to place and from picture to
    picture, but hardly with the order of sums, which is what ONNX Runtime's optimisations change."""
    data, inputs, expected = reference(name)
    model = onnx.load_model_from_string(data)
    onnx.checker.check_model(model)
    assert not model.metadata_props and not any(node.doc_string or node.metadata_props for node in model.graph.node)
    kind = small.MODELS[name].result
    first, second = (KINDS[kind](outputs) for outputs in expected)
    for found in (first, second):
        assert len(found["boxes"]) >= MIN_BOXES
        assert (found["boxes"].std(0) > MIN_SPREAD).all() and found["scores"].std(0).max() > MIN_SPREAD
        assert kind in IN_PLACE or len(np.unique(found["scores"])) == len(found["scores"])
    assert np.abs(first["boxes"].mean(0) - second["boxes"].mean(0)).max() > MIN_SPREAD
    for sample, plain, optimised in zip(inputs, onnx_runtime(data, inputs, optimise=False), expected, strict=True):
        (picture,) = sample.values()
        assert_kind_agrees(kind, plain, optimised, max(picture.shape), MAX_ROUNDING_OF_SCORES)


@pytest.mark.parametrize("rules", ["all", "none"])
@pytest.mark.parametrize("name", small.MODELS)
def test_agrees_with_onnx_runtime(name, rules):
    model = small.MODELS[name]
    data, inputs, expected = reference(name)
    options = {"threads": 2, "disable_rules": ["all"] if rules == "none" else []}
    if model.fails:
        with pytest.raises(lanner.Error, match=model.fails):
            lanner.compile(data, **options)
        return
    compiled = lanner.compile(data, **options)
    for sample, theirs in zip(inputs, expected, strict=True):
        (picture,) = sample.values()
        assert_kind_agrees(model.result, compiled.run(sample), theirs, max(picture.shape))
