"""The model fixtures of tests/models: rebuilt exactly, valid, of a real export's size, and really detecting."""

import collections
import subprocess
import sys
import zlib
from types import SimpleNamespace

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

import pictures  # noqa: E402
import rebuild  # noqa: E402
from detections import assert_same  # noqa: E402

MAX_COMMITTED_BYTES = 1_000_000
MIN_NODES = 1500
MIN_CANDIDATES, MAX_CANDIDATES = 1000, 4000
MIN_DETECTIONS = 50
ROUNDING_PX = 1e-3  # of boxes clipped to the resized picture and scaled back
MAX_ROUNDING_OF_SCORES = 5e-5  # half of what implementations may differ by

UNIT_CHECKSUM = 3981760493
PICTURE_CHECKSUMS = [
    1138105689, 3698458439, 2101418785,
    2602227523, 2038933669, 3689241330,
    496071394, 825407088, 540446159,
    3449335448, 915113956, 1408002923,
    2746394933, 3465352586, 669016048,
]


def all_nodes(graph):
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                yield from all_nodes(inner)


def constant(graph, name):
    """The value of a Constant node."""
    (node,) = [node for node in graph.node if name in node.output]
    assert node.op_type == "Constant"
    return onnx.numpy_helper.to_array(node.attribute[0].t)


def score_threshold(graph):
    """The constant that the class scores have to exceed."""
    (threshold,) = {float(constant(graph, node.input[1])) for node in graph.node if node.op_type == "Greater"}
    return np.float32(threshold)


def open_session(model, *, optimise=True):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module", params=rebuild.TORCHVISION)
def fixture(request, model_path):
    """A rebuilt torchvision model and a session of it that also gives the class scores of every box."""
    path = model_path(request.param)
    model = onnx.load(path)
    threshold = score_threshold(model.graph)
    (softmax,) = [node for node in model.graph.node if node.op_type == "Softmax"]
    model.graph.output.append(onnx.ValueInfoProto(name=softmax.output[0]))
    session = open_session(model.SerializeToString())

    def run(picture):
        *detections, scores = session.run(None, {"image": picture})
        names = [output.name for output in session.get_outputs()[:-1]]
        return dict(zip(names, detections, strict=True)), scores.reshape(-1, rebuild.CLASS_COUNT)[:, 1:]

    return SimpleNamespace(name=request.param, path=path, model=model, threshold=threshold, run=run)


def test_generated_numbers_never_change():
    numbers = rebuild.unit(7, (3, 5, 1001))
    assert numbers.dtype == np.float32 and numbers.shape == (3, 5, 1001)
    assert zlib.crc32(numbers.astype("<f4").tobytes()) == UNIT_CHECKSUM


def test_pictures_never_change():
    checksums = [zlib.crc32(picture.astype("<f4").tobytes()) for name in rebuild.NAMES for picture in pictures.samples(name)]
    assert checksums == PICTURE_CHECKSUMS


def test_committed_files_are_small():
    assert all((rebuild.FOLDER / f"{name}.onnx.gz").stat().st_size <= MAX_COMMITTED_BYTES for name in rebuild.NAMES)


def test_model_is_valid_and_as_large_as_a_real_export(fixture):
    onnx.checker.check_model(str(fixture.path))
    nodes = list(all_nodes(fixture.model.graph))
    assert len(nodes) >= MIN_NODES
    assert not any(node.doc_string for node in nodes)
    assert {"If", "NonMaxSuppression", "TopK", "NonZero"} <= {node.op_type for node in nodes}


def test_samples_have_many_candidates_and_detections_without_ties(fixture):
    for picture in pictures.samples(fixture.name):
        detections, scores = fixture.run(picture)
        assert MIN_CANDIDATES <= np.count_nonzero(scores > fixture.threshold) <= MAX_CANDIDATES
        count = len(detections["scores"])
        assert count >= MIN_DETECTIONS
        assert len(np.unique(detections["scores"])) == count
        assert len(np.unique(detections["labels"])) >= 10
        assert detections["boxes"].shape == (count, 4)
        height, width = picture.shape[1:]
        left, top, right, bottom = detections["boxes"].T
        assert (0 <= left).all() and (left < right).all() and (right <= width + ROUNDING_PX).all()
        assert (0 <= top).all() and (top < bottom).all() and (bottom <= height + ROUNDING_PX).all()


def test_model_is_well_conditioned(fixture):
    """Another order of the sums, which is what the optimisations make of them, hardly changes the detections."""
    picture = pictures.samples(fixture.name)[0]
    session = open_session(fixture.path, optimise=False)
    names = [output.name for output in session.get_outputs()]
    plain = dict(zip(names, session.run(None, {"image": picture}), strict=True))
    optimised, _ = fixture.run(picture)
    assert_same(optimised, plain, max(picture.shape[1:]), MAX_ROUNDING_OF_SCORES)


def test_faster_rcnn_takes_other_picture_sizes(fixture):
    if fixture.name != "fasterrcnn":
        pytest.skip("the size is fixed")
    detections, _ = fixture.run(pictures.picture(9, 400, 500))
    assert len(detections["scores"]) >= MIN_DETECTIONS


def test_ssdlite_detects_nothing_in_a_blank_picture(fixture):
    if fixture.name != "ssdlite320":
        pytest.skip("the others find a little in it")
    detections, _ = fixture.run(pictures.blank(fixture.name))
    assert [len(values) for values in detections.values()] == [0, 0, 0]


@pytest.mark.parametrize("name", rebuild.TORCHVISION)
def test_quiet_model_detects_nothing(name, model_path):
    session = open_session(model_path(name, quiet=True))
    for picture in [pictures.samples(name)[0], pictures.blank(name)]:
        assert [len(output) for output in session.run(None, {"image": picture})] == [0, 0, 0]


@pytest.fixture(scope="module")
def tensorflow_model():
    """The TensorFlow model, with a second output: the class scores of every anchor."""
    model = rebuild.load("ssd_mobilenetv2")
    (sigmoid,) = [node for node in model.graph.node if node.op_type == "Sigmoid"]
    model.graph.output.append(onnx.ValueInfoProto(name=sigmoid.output[0]))
    return model


def tensorflow_detections(model, picture, **options):
    """Boxes, scores and labels of the detections, and the other output."""
    session = open_session(model.SerializeToString(), **options)
    boxes, labels, scores, count, *others = session.run(None, {"input_tensor": pictures.pixels(picture)})
    count = int(count[0])
    assert not any(values[0, count:].any() for values in (boxes, scores))
    return {"boxes": boxes[0, :count], "scores": scores[0, :count], "labels": labels[0, :count]}, *others


def test_tensorflow_model_is_valid_and_unrolled(tensorflow_model):
    onnx.checker.check_model(rebuild.load("ssd_mobilenetv2"), full_check=True)
    counts = collections.Counter(node.op_type for node in tensorflow_model.graph.node)
    assert counts["NonMaxSuppression"] == 90 and counts["NonZero"] == 91 and counts.total() >= MIN_NODES


def test_tensorflow_model_has_many_candidates_and_detections_without_ties(tensorflow_model):
    threshold = onnx.numpy_helper.to_array(rebuild.score_threshold_of(tensorflow_model))
    for picture in pictures.samples("ssd_mobilenetv2"):
        detections, scores = tensorflow_detections(tensorflow_model, picture)
        scores = scores.reshape(-1, rebuild.CLASS_COUNT)[:, 1:]
        assert MIN_CANDIDATES <= np.count_nonzero(scores > threshold) <= MAX_CANDIDATES
        count = len(detections["scores"])
        assert count >= MIN_DETECTIONS and len(np.unique(detections["scores"])) == count
        assert len(np.unique(detections["labels"])) >= 10
        top, left, bottom, right = detections["boxes"].T
        assert (0 <= top).all() and (top < bottom).all() and (bottom <= 1).all()
        assert (0 <= left).all() and (left < right).all() and (right <= 1).all()


def test_tensorflow_model_is_well_conditioned(tensorflow_model):
    picture = pictures.samples("ssd_mobilenetv2")[0]
    optimised, _ = tensorflow_detections(tensorflow_model, picture)
    plain, _ = tensorflow_detections(tensorflow_model, picture, optimise=False)
    assert_same(optimised, plain, 1, MAX_ROUNDING_OF_SCORES)


def test_tensorflow_model_takes_another_score_threshold():
    picture = pictures.samples("ssd_mobilenetv2")[0]
    usual, sparse, quiet = (
        tensorflow_detections(rebuild.load("ssd_mobilenetv2", **change), picture)[0]["scores"]
        for change in ({}, {"score_threshold": 0.95}, {"quiet": True})
    )
    assert 0 < len(sparse) < len(usual) and len(quiet) == 0
    np.testing.assert_array_equal(sparse, usual[: len(sparse)])
    assert sparse.min() > 0.95 >= usual[len(sparse)]


def yolo_detections(session, picture):
    """Boxes, scores and labels of a YOLO's padded rows, the columns x1, y1, x2, y2, score and label."""
    (rows,) = session.run(None, {"images": picture[None]})
    rows = rows[0, rows[0, :, 4] > 0]
    return {"boxes": rows[:, :4], "scores": rows[:, 4], "labels": rows[:, 5]}


def test_yolo_is_valid_detects_and_is_well_conditioned(model_path):
    path = str(model_path("yolov8n"))
    onnx.checker.check_model(path, full_check=True)
    optimised, plain = open_session(path), open_session(path, optimise=False)
    for picture in pictures.samples("yolov8n"):
        detections = yolo_detections(optimised, picture)
        assert MIN_DETECTIONS <= len(detections["scores"]) < 300 and len(np.unique(detections["labels"])) >= 10
        assert_same(detections, yolo_detections(plain, picture), 640, MAX_ROUNDING_OF_SCORES)


def test_command_rebuilds_only_what_is_out_of_date(tmp_path):
    path = tmp_path / "models" / "ssdlite320.onnx"
    command = [sys.executable, rebuild.__file__, "ssdlite320", "-o", path]
    subprocess.run(command, check=True)
    data = path.read_bytes()
    assert data == rebuild.load("ssdlite320").SerializeToString()

    path.write_bytes(b"kept")
    subprocess.run(command, check=True)
    assert path.read_bytes() == b"kept"

    path.with_name(path.name + ".key").write_text("made from something else")
    subprocess.run(command, check=True)
    assert path.read_bytes() == data
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["ssdlite320.onnx", "ssdlite320.onnx.key"]
