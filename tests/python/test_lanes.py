"""Lanes: any number gives the same bits, requests that fail leave the session usable, and so do threads that take turns."""

import gzip
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

import lanner  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench" / "heads"))

import inputs as head_inputs  # noqa: E402

# Enough for what a session measures before it decides what runs beside what.
REQUESTS = 30


def head(name):
    data = (head_inputs.HEADS / f"{name}.onnx.gz").read_bytes()
    return gzip.decompress(data), head_inputs.busy(head_inputs.kind_of(name))


def same(a, b):
    return list(a) == list(b) and all(np.array_equal(a[name], b[name], equal_nan=True) for name in a)


@pytest.mark.parametrize("name", ["tf_ssd_dense_opset18", "tv_ssd_1917_opset18", "tv_retinanet_opset18"])
@pytest.mark.parametrize("rules", [[], ["batch-heads"]], ids=["batched", "as-exported"])
def test_any_number_of_lanes_gives_the_same_bits(name, rules):
    model, inputs = head(name)
    expected = lanner.compile(model, threads=1, lanes=1, disable_rules=rules).run(inputs)
    for threads, lanes in [(1, 2), (2, 1), (2, 2), (2, 4), (4, 8)]:
        compiled = lanner.compile(model, threads=threads, lanes=lanes, disable_rules=rules)
        for request in range(REQUESTS):
            assert same(compiled.run(inputs), expected), (threads, lanes, request)


def test_whole_detectors_with_lanes(model_path):
    import pictures

    for name in ("ssdlite320", "ssd_mobilenetv2"):
        path, sample = model_path(name), pictures.samples(name)[0]
        if name == "ssd_mobilenetv2":
            sample = pictures.pixels(sample)
        serial = lanner.compile(path, threads=2, lanes=1)
        (entry,) = serial.inputs
        inputs = {entry.name: sample}
        expected = serial.run(inputs)
        with_lanes = lanner.compile(path, threads=2, lanes=2)
        for _ in range(REQUESTS):
            assert same(with_lanes.run(inputs), expected)


def test_a_failing_request_leaves_the_session_usable():
    model, inputs = head("tf_ssd_busy_opset18")
    compiled = lanner.compile(model, threads=2, lanes=2, disable_rules=["batch-heads"])
    expected = compiled.run(inputs)
    for _ in range(REQUESTS):
        with pytest.raises(lanner.Error, match=r"\[input\.shape\]"):
            compiled.run({name: value[:, :-1] for name, value in inputs.items()})
        assert same(compiled.run(inputs), expected)


def test_threads_that_take_turns():
    model, inputs = head("tv_ssd_1917_opset18")
    compiled = lanner.compile(model, threads=2, lanes=2, sessions=2)
    expected = compiled.run(inputs)
    wrong = []

    def serve():
        for _ in range(REQUESTS):
            if not same(compiled.run(inputs), expected):
                wrong.append(1)

    for _ in range(2):
        callers = [threading.Thread(target=serve) for _ in range(4)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    assert not wrong


@pytest.mark.parametrize("lanes", [0, -1, 5000])
def test_a_nonsensical_number_of_lanes(lanes):
    model, _ = head("tv_ssd_1917_opset18")
    with pytest.raises(lanner.Error, match=r"\[option\.lanes\]"):
        lanner.compile(model, lanes=lanes)
