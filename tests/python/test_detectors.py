"""Whole detectors against ONNX Runtime: the same detections, whatever rules and backends are in use."""

import functools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

onnxruntime = pytest.importorskip("onnxruntime")

import lanner  # noqa: E402
import pictures  # noqa: E402
import shapes_inputs  # noqa: E402
from detections import assert_same, padded_of, rows_of  # noqa: E402

SHAPES_MODEL = Path(__file__).resolve().parents[2] / "models" / "shapes" / "shapes.onnx"
TORCHVISION = ("ssdlite320", "ssd300", "fasterrcnn")
DETECTORS = ("shapes", *TORCHVISION)
RULES = [rule["rule"] for rule in lanner.compile(SHAPES_MODEL, threads=1).explain().rules]


@pytest.fixture(scope="session")
def reference():
    """reference(path, inputs): ONNX Runtime's outputs by name; sessions are kept."""
    sessions = {}

    def run(path, inputs):
        if path not in sessions:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 2
            sessions[path] = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        names = [output.name for output in sessions[path].get_outputs()]
        return dict(zip(names, sessions[path].run(None, inputs), strict=True))

    return run


@functools.cache
def rules_that_fire(path):
    return {rule["rule"] for rule in lanner.compile(path, threads=1).explain().rules if rule["fired"]}


def compile_without(path, rule):
    """The model compiled without a rule, or without any. A rule that finds nothing in the model need not be left out."""
    if rule != "all" and rule not in rules_that_fire(path):
        pytest.skip("the rule does not fire on this model")
    return lanner.compile(path, threads=2, disable_rules=[rule])


@pytest.fixture
def detector(request, model_path):
    """The path and sample inputs of a detector."""
    if request.param == "shapes":
        return SHAPES_MODEL, shapes_inputs.samples(3)
    return model_path(request.param), [{"image": picture} for picture in pictures.samples(request.param)]


def size_of(path, inputs):
    """What the boxes' coordinates run to: the shapes model gives them in 0..1, torchvision in pixels."""
    return 1 if path == SHAPES_MODEL else max(inputs["image"].shape[-2:])


@pytest.mark.parametrize("detector", DETECTORS, indirect=True)
def test_detects_what_onnx_runtime_detects(detector, reference):
    path, samples = detector
    model = lanner.compile(path, threads=2)
    for inputs in samples:
        theirs = reference(path, inputs)
        assert len(theirs["scores"]) > 0
        assert_same(model.run(inputs), theirs, size_of(path, inputs))


@pytest.mark.parametrize("detector", DETECTORS, indirect=True)
def test_a_saved_program_gives_the_same_bits(detector, tmp_path):
    path, samples = detector
    compiled = lanner.compile(path, threads=2)
    compiled.save(tmp_path / "model.lanner")
    loaded = lanner.load(tmp_path / "model.lanner", threads=2)
    assert loaded.inputs == compiled.inputs and loaded.outputs == compiled.outputs
    assert loaded.properties == compiled.properties
    for name, value in compiled.run(samples[0]).items():
        np.testing.assert_array_equal(loaded.run(samples[0])[name], value)


@pytest.mark.parametrize("detector", ["shapes", "ssdlite320"], indirect=True)
@pytest.mark.parametrize("rule", ["all", *RULES])
def test_detects_the_same_without_a_rule(detector, rule, reference):
    path, samples = detector
    ours = compile_without(path, rule).run(samples[0])
    assert_same(ours, reference(path, samples[0]), size_of(path, samples[0]))


@pytest.mark.parametrize("rule", ["all", *RULES])
@pytest.mark.parametrize("name", ["ssd300", "fasterrcnn"])
def test_large_detectors_detect_the_same_without_a_rule(name, rule, model_path, reference):
    path = model_path(name)
    # Faster R-CNN takes any size: a small one keeps this quick.
    inputs = {"image": pictures.picture(1, 256, 320) if name == "fasterrcnn" else pictures.samples(name)[0]}
    ours = compile_without(path, rule).run(inputs)
    assert_same(ours, reference(path, inputs), size_of(path, inputs))


@pytest.mark.parametrize("detector", ["shapes", "ssdlite320"], indirect=True)
def test_native_kernels_alone_detect_the_same(detector, reference):
    path, samples = detector
    model = lanner.compile(path, threads=2, deny=["@onednn"])
    assert {row["backend"] for row in model.explain().rows} == {"native"}
    assert_same(model.run(samples[0]), reference(path, samples[0]), size_of(path, samples[0]))


@pytest.mark.parametrize("name", TORCHVISION)
def test_no_detection_at_all(name, model_path, reference):
    path = model_path(name, quiet=True)
    inputs = {"image": pictures.samples(name)[0]}
    outputs = lanner.compile(path, threads=2).run(inputs)
    assert outputs["boxes"].shape == (0, 4) and outputs["scores"].shape == (0,) and outputs["labels"].shape == (0,)
    assert_same(outputs, reference(path, inputs), 1)


@pytest.mark.parametrize("name", ["fasterrcnn", "ssd_mobilenetv2"])
def test_the_picture_is_prepared_in_one_pass(name, model_path):
    assert "fuse-preprocessing" in rules_that_fire(model_path(name))


@pytest.mark.parametrize("score_threshold", [None, 1e-8])
def test_tensorflow_ssd_detects_what_onnx_runtime_detects(score_threshold, model_path, reference):
    path = model_path("ssd_mobilenetv2", score_threshold=score_threshold)
    model = lanner.compile(path, threads=2)
    for picture in pictures.samples("ssd_mobilenetv2"):
        inputs = {"input_tensor": pictures.pixels(picture)}
        ours, theirs = model.run(inputs), reference(path, inputs)
        assert list(ours) == list(theirs)
        assert_same(padded_of(ours), padded_of(theirs), 1)


@pytest.mark.parametrize("rule", ["all", *RULES])
def test_tensorflow_ssd_detects_the_same_without_a_rule(rule, model_path, reference):
    path = model_path("ssd_mobilenetv2")
    inputs = {"input_tensor": pictures.pixels(pictures.samples("ssd_mobilenetv2")[0])}
    ours = compile_without(path, rule).run(inputs)
    assert_same(padded_of(ours), padded_of(reference(path, inputs)), 1)


def test_no_detection_at_all_in_tensorflow_ssd(model_path):
    model = lanner.compile(model_path("ssd_mobilenetv2", quiet=True), threads=2)
    outputs = model.run({"input_tensor": pictures.pixels(pictures.samples("ssd_mobilenetv2")[0])})
    assert outputs["num_detections"][0] == 0 and not outputs["detection_scores"].any()
    assert outputs["detection_boxes"].shape == (1, 100, 4)


def test_yolo_detects_what_onnx_runtime_detects(model_path, reference):
    path = model_path("yolov8n")
    model = lanner.compile(path, threads=2)
    for picture in pictures.samples("yolov8n"):
        inputs = {"images": picture[None]}
        ours, theirs = model.run(inputs), reference(path, inputs)
        assert ours["output0"].shape == (1, 300, 6)
        assert_same(rows_of(ours), rows_of(theirs), 640)


@pytest.mark.parametrize("rule", ["all", *RULES])
def test_yolo_detects_the_same_without_a_rule(rule, model_path, reference):
    path = model_path("yolov8n")
    inputs = {"images": pictures.samples("yolov8n")[0][None]}
    ours = compile_without(path, rule).run(inputs)
    assert_same(rows_of(ours), rows_of(reference(path, inputs)), 640)


def test_yolo_detects_nothing(model_path):
    model = lanner.compile(model_path("yolov8n", quiet=True), threads=2)
    outputs = model.run({"images": pictures.samples("yolov8n")[0][None]})
    assert outputs["output0"].shape == (1, 300, 6) and not outputs["output0"].any()


def test_no_shape_in_an_empty_picture(reference):
    inputs = {"image": np.zeros_like(shapes_inputs.samples(1)[0]["image"])}
    assert_same(lanner.compile(SHAPES_MODEL, threads=2).run(inputs), reference(SHAPES_MODEL, inputs), 1)


def test_faster_rcnn_takes_other_sizes_than_its_export(model_path, reference):
    model = lanner.compile(model_path("fasterrcnn"), threads=2)
    assert model.inputs[0].shape == (3, None, None)
    for height, width in [(320, 256), (256, 384), (320, 256)]:
        inputs = {"image": pictures.picture(2, height, width)}
        assert_same(model.run(inputs), reference(model_path("fasterrcnn"), inputs), max(height, width))


@pytest.mark.parametrize("detector", ["shapes", "ssdlite320"], indirect=True)
def test_threads_and_sessions_do_not_change_results(detector):
    path, samples = detector
    expected = [lanner.compile(path, threads=1).run(inputs) for inputs in samples]
    for threads, sessions in [(1, 3), (2, 2), (3, 1)]:
        model = lanner.compile(path, threads=threads, sessions=sessions)
        with ThreadPoolExecutor(4) as callers:
            results = list(callers.map(model.run, samples * 4))
        for inputs_index, outputs in enumerate(results):
            for name, value in expected[inputs_index % len(samples)].items():
                np.testing.assert_array_equal(outputs[name], value)
