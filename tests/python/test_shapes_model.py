"""The shipped detector models/shapes: its file, its data and its precision."""

import collections
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "models" / "shapes"
sys.path.insert(0, str(FOLDER))

import evaluate  # noqa: E402
import shapes_data  # noqa: E402

CHECKSUMS = [1542363395, 2991634000, 1540597324]
MAX_FILE_BYTES = 10_000_000
MIN_PRECISION = 0.75
MAX_DIFFERENCE = 0.001
MAX_LOSS_IN_BF16 = 0.002


@pytest.fixture(scope="module")
def pictures():
    return shapes_data.validation_set()


@pytest.fixture(scope="module")
def reference(pictures):
    """mAP and number of detections with ONNX Runtime."""
    pytest.importorskip("onnxruntime")
    return evaluate.evaluate(evaluate.onnxruntime_detector(evaluate.MODEL), pictures)


@pytest.fixture(scope="module")
def model():
    return pytest.importorskip("onnx").load(evaluate.MODEL)


def test_post_processing_is_unrolled_per_class(model):
    counts = collections.Counter(node.op_type for node in model.graph.node)
    assert counts["NonMaxSuppression"] == len(shapes_data.CLASSES) == 90
    assert counts["NonZero"] == 90
    assert [output.name for output in model.graph.output] == ["boxes", "scores", "labels"]


def test_file_is_small_and_has_no_doc_strings(model):
    assert evaluate.MODEL.stat().st_size <= MAX_FILE_BYTES
    assert not any(node.doc_string for node in model.graph.node)


def test_properties_describe_input_and_outputs(model):
    properties = {entry.key: entry.value for entry in model.metadata_props}
    numbers = {key: [float(x) for x in properties[f"lanner.detect.{key}"].split(",")] for key in ("scale", "mean", "std")}
    assert numbers == {"scale": [shapes_data.SCALE], "mean": list(shapes_data.MEAN), "std": list(shapes_data.STD)}
    assert tuple(properties["lanner.detect.classes"].split(",")) == shapes_data.CLASSES
    words = {"layout": "NCHW", "resize": "stretch", "box_format": "xyxy", "normalized": "true"}
    words |= {name: name for name in ("boxes", "scores", "labels")}
    assert {key: properties[f"lanner.detect.{key}"] for key in words} == words


def test_pictures_are_the_same_everywhere():
    """The checksums were made once; a change of the generator's output makes the documented mAP meaningless."""
    checksums = []
    for seed, index in ((shapes_data.TRAINING_SEED, 0), (shapes_data.VALIDATION_SEED, 0), (shapes_data.VALIDATION_SEED, 199)):
        picture, boxes, labels = shapes_data.generate(seed, index)
        assert (picture.dtype, boxes.dtype, labels.dtype) == (np.uint8, np.float32, np.int64)
        assert picture.shape == (shapes_data.SIZE_PX, shapes_data.SIZE_PX, 3)
        checksums.append(zlib.crc32(picture.tobytes() + boxes.astype("<f4").tobytes() + labels.astype("<i8").tobytes()))
    assert checksums == CHECKSUMS


def test_every_class_occurs_in_validation(pictures):
    assert set(np.concatenate([labels for _, _, labels in pictures])) == set(range(len(shapes_data.CLASSES)))


@pytest.mark.parametrize("size", [shapes_data.MIN_SIZE_PX, 97, 480])
def test_a_scene_can_be_drawn_at_any_size(size):
    picture, boxes, labels = shapes_data.generate(shapes_data.VALIDATION_SEED, 5, size)
    assert picture.shape == (size, size, 3)
    assert len(boxes) == len(labels)
    assert ((0 <= boxes) & (boxes <= size)).all()


def test_average_precision_of_known_curves():
    assert evaluate.average_precision([], 3) == 0
    assert evaluate.average_precision([True, True], 2) == 1
    assert evaluate.average_precision([True, False, True, False], 4) == pytest.approx((1 + 2 / 3) / 4)
    assert evaluate.average_precision([False, True, True], 2) == pytest.approx(2 / 3)


def test_precision_of_known_detections():
    box, far = np.float32([[0, 0, 10, 10]]), np.float32([[50, 50, 60, 60]])
    truths = [(box, np.array([3])), (far, np.array([7]))]

    def precision(*detections):
        detections = [(boxes, np.float32(scores), np.array(labels)) for boxes, scores, labels in detections]
        return evaluate.mean_average_precision(detections, truths)

    empty = (np.zeros((0, 4), np.float32), [], [])
    assert precision((box, [0.9], [3]), (far, [0.8], [7])) == 1
    assert precision((box, [0.9], [3]), empty) == 0.5
    assert precision((box, [0.9], [4]), (far, [0.8], [7])) == 0.5
    assert precision((far, [0.9], [3]), (far, [0.8], [7])) == 0.5
    doubled = (np.concatenate([box, box]), [0.9, 0.8], [3, 3])
    assert precision(doubled, (far, [0.8], [7])) == 1
    missed_first = (np.concatenate([far, box]), [0.9, 0.8], [3, 3])
    assert precision(missed_first, (far, [0.8], [7])) == 0.75


def test_precision_with_onnxruntime(reference):
    precision, _ = reference
    assert precision >= MIN_PRECISION


def test_precision_with_lanner_equals_onnxruntime(reference, pictures):
    pytest.importorskip("lanner")
    precision, count = evaluate.evaluate(evaluate.lanner_detector(evaluate.MODEL), pictures)
    assert precision == pytest.approx(reference[0], abs=MAX_DIFFERENCE)
    assert count == pytest.approx(reference[1], rel=0.01)


def test_precision_with_bf16_is_nearly_the_same(reference, pictures):
    lanner = pytest.importorskip("lanner")
    model = lanner.compile(evaluate.MODEL, precision="bf16")
    assert any(row.get("precision") == "bf16" for row in model.explain().rows)

    def detect(image):
        outputs = model.run({"image": image})
        return outputs["boxes"], outputs["scores"], outputs["labels"]

    precision, _ = evaluate.evaluate(detect, pictures)
    assert precision >= reference[0] - MAX_LOSS_IN_BF16


def test_example_picture_is_understood():
    pytest.importorskip("onnxruntime")
    image_module = pytest.importorskip("PIL.Image")
    image = image_module.open(FOLDER / "example.png").convert("RGB")
    picture, true_boxes, true_labels = shapes_data.generate(shapes_data.EXAMPLE_SEED, shapes_data.EXAMPLE_INDEX, image.width)
    assert np.array_equal(picture, np.asarray(image))
    resized = np.asarray(image.resize((shapes_data.SIZE_PX, shapes_data.SIZE_PX), image_module.Resampling.BILINEAR))
    boxes, scores, labels = evaluate.onnxruntime_detector(evaluate.MODEL)(evaluate.network_input(resized))
    sure = scores >= 0.5
    assert sorted(labels[sure]) == sorted(true_labels)
    for box, label in zip(boxes[sure] * image.width, labels[sure]):
        assert evaluate.iou(box, true_boxes[true_labels == label]).max() >= evaluate.MIN_IOU
