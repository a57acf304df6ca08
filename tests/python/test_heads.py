"""The head fixtures against ONNX Runtime: the same detections in the same order, from ordinary and from awkward inputs.

Order, classes and counts must be equal. Boxes and scores may differ by what rounding does: exp, sigmoid and softmax are
other approximations here and there, right to about one unit in the last place. Inputs are seeded, so that no two scores of
kept boxes and no overlap and threshold are closer than that, unless they are equal on purpose.
"""

import functools
import gzip
import sys
from pathlib import Path

import numpy as np
import pytest

onnxruntime = pytest.importorskip("onnxruntime")

onnx = pytest.importorskip("onnx")

import lanner  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench" / "heads"))

import inputs as head_inputs  # noqa: E402

busy, dense = functools.cache(head_inputs.busy), functools.cache(head_inputs.dense)
NAMES = sorted(path.name.removesuffix(".onnx.gz") for path in head_inputs.HEADS.glob("*.onnx.gz"))
ROUNDING = 2e-6  # of scores, and of boxes relative to the picture
PICTURE_SIDES = {"tf": 1, "tv_ssd": 300, "tv": 256}
DENSE_THRESHOLD = 1e-8  # the TensorFlow Object Detection API's default
MAX_COMMITTED_BYTES = 300_000
NOTHING = -30.0  # a logit below every threshold
STEP = 0.5  # of rounded logits
LEVEL_SIDES = (32, 16, 8, 4, 2)  # cells along a side of each level of a pyramid
HEAD_RULES = ["batch-heads", "skip-concat", "gather-single", "fuse-class-activation", "read-scores-in-place",
              "fuse-columns"]


def logits_of(inputs):
    (name,) = [name for name in inputs if name.endswith("logits")]
    return name, inputs[name].copy()


def has_background(kind):
    return kind.startswith(("tf", "tv_ssd"))


def some_classes_without_candidates(kind):
    """Of a dense input: the first class, the last, and two in between."""
    inputs = dense(kind)
    name, logits = logits_of(inputs)
    first = int(has_background(kind))
    logits[..., [first, first + 3, first + 4, -1]] = NOTHING
    return inputs | {name: logits}


def one_class_with_candidates(kind):
    inputs = busy(kind)
    name, logits = logits_of(inputs)
    others = np.full_like(logits, NOTHING)
    others[..., 2] = logits[..., 2]
    if kind.startswith("tv_ssd"):
        others[..., 0] = logits[..., 0]
    return inputs | {name: others}


def nothing_above_threshold(kind):
    inputs = busy(kind)
    name, logits = logits_of(inputs)
    logits[...] = NOTHING
    if has_background(kind):
        logits[..., 0] = -NOTHING
    return inputs | {name: logits}


def one_candidate(kind):
    inputs = nothing_above_threshold(kind)
    name, logits = logits_of(inputs)
    logits[0, 700, 5] = -NOTHING
    return inputs | {name: logits}


def all_scores_equal(kind):
    inputs = busy(kind)
    name, logits = logits_of(inputs)
    logits[...] = 1
    if kind.startswith("tv_ssd"):
        logits[..., 0] = -3
    return inputs | {name: logits}


def many_scores_equal(kind):
    inputs = busy(kind)
    name, logits = logits_of(inputs)
    return inputs | {name: np.round(logits / STEP) * np.float32(STEP)}


def identical_boxes(kind):
    """Every anchor with the same deltas as its neighbours, so that boxes of the same size and place coincide."""
    inputs = busy(kind)
    (name,) = [name for name in inputs if "box" in name]
    boxes = np.zeros_like(inputs[name])
    return inputs | {name: boxes}


CASES = [busy, dense, some_classes_without_candidates, one_class_with_candidates,
         nothing_above_threshold, one_candidate, all_scores_equal, many_scores_equal, identical_boxes]


RECOGNISED = ["batch-class-nms", "batch-class-topk", "fuse-class-topk", "group-nms", "join-picked-rows"]
ROLLED = [name for name in NAMES if name.startswith(("tf_", "tv_ssd")) and not name.endswith("batched")]


def model_of(name):
    return gzip.decompress((head_inputs.HEADS / f"{name}.onnx.gz").read_bytes())


@functools.cache
def reference(name):
    """A fixture in ONNX Runtime, as a function from inputs to outputs by name."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model_of(name), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(None, inputs), strict=True))


def count_of(outputs):
    return int(outputs["num_detections"][0]) if "num_detections" in outputs else len(outputs["scores"])


@pytest.fixture(scope="module", params=NAMES)
def head(request):
    """The kind of a fixture, and the model in Lanner and in ONNX Runtime as functions."""
    model = lanner.compile(model_of(request.param), threads=2)
    return head_inputs.kind_of(request.param), model.run, reference(request.param)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_the_same_detections_in_the_same_order(head, case):
    kind, run, reference_run = head
    inputs = case(kind)
    ours, theirs = run(inputs), reference_run(inputs)
    assert list(ours) == list(theirs)
    side = next(side for prefix, side in PICTURE_SIDES.items() if kind.startswith(prefix))
    for name, expected in theirs.items():
        assert ours[name].dtype == expected.dtype and ours[name].shape == expected.shape, name
        if name.endswith("boxes"):
            np.testing.assert_allclose(ours[name], expected, rtol=0, atol=ROUNDING * side, err_msg=name)
        elif name.endswith("scores"):
            np.testing.assert_allclose(ours[name], expected, rtol=0, atol=ROUNDING, err_msg=name)
        else:
            np.testing.assert_array_equal(ours[name], expected, err_msg=name)


def with_levels(name):
    """A pyramid's fixture as it is in a whole model: an input for each level, joined first. With a function for inputs."""
    model = onnx.load_model_from_string(model_of(name))
    names = {}
    joined = list(model.graph.input)
    del model.graph.input[:]
    for value in joined:
        _, anchors, columns = (dim.dim_value for dim in value.type.tensor_type.shape.dim)
        sizes = [anchors // sum(side * side for side in LEVEL_SIDES) * side * side for side in LEVEL_SIDES]
        assert sum(sizes) == anchors
        names[value.name] = [(f"{value.name}_{side}", size) for side, size in zip(LEVEL_SIDES, sizes, strict=True)]
        model.graph.input.extend(
            onnx.helper.make_tensor_value_info(level, onnx.TensorProto.FLOAT, [1, size, columns])
            for level, size in names[value.name])
        parts = [level for level, _ in names[value.name]]
        model.graph.node.insert(0, onnx.helper.make_node("Concat", parts, [value.name], axis=1))

    def split(inputs):
        levels = {}
        for key, parts in names.items():
            ends = np.cumsum([size for _, size in parts])
            cut = np.split(inputs[key], ends[:-1], axis=1)
            levels |= {level: np.ascontiguousarray(part) for (level, _), part in zip(parts, cut, strict=True)}
        return levels

    return model.SerializeToString(), split


@pytest.mark.parametrize("name", [name for name in NAMES if "retinanet" in name or "fcos" in name])
def test_levels_of_a_pyramid(name):
    model, split = with_levels(name)
    fast, plain = lanner.compile(model, threads=2), lanner.compile(model, threads=2, disable_rules=HEAD_RULES)
    operators = [row["operator"] for row in fast.explain().rows]
    assert len(operators) < 120 and "Split" not in operators and "NonZero" not in operators
    assert len(plain.explain().rows) > 300
    for case in CASES:
        inputs = split(case(head_inputs.kind_of(name)))
        ours, expected = fast.run(inputs), plain.run(inputs)
        for key in expected:
            np.testing.assert_array_equal(ours[key], expected[key], err_msg=f"{key} of {case.__name__}")


def fired(model, rule):
    (row,) = [row for row in model.explain().rules if row["rule"] == rule]
    return bool(row["fired"])


@pytest.mark.parametrize("name", NAMES)
def test_rolled_siblings_compute_the_same_on_any_lanes(name, tmp_path):
    kind = head_inputs.kind_of(name)
    unrolled = lanner.compile(model_of(name), threads=1, disable_rules=[*RECOGNISED, "roll-siblings"])
    rolled = lanner.compile(model_of(name), threads=1, disable_rules=RECOGNISED)
    assert fired(rolled, "roll-siblings") == (name in ROLLED)
    if name not in ROLLED:
        return
    assert len(rolled.explain().rows) < len(unrolled.explain().rows) / 2
    rolled.save(tmp_path / "rolled.lanner")
    models = [lanner.load(tmp_path / "rolled.lanner", threads=min(lanes, 2), lanes=lanes) for lanes in (1, 2, 4, 8)]
    for case in CASES:
        inputs = case(kind)
        expected = unrolled.run(inputs)
        for model in models:
            for _ in range(2):  # the first request does not use lanes
                ours = model.run(inputs)
                for output, array in expected.items():
                    assert ours[output].dtype == array.dtype
                    np.testing.assert_array_equal(ours[output], array, err_msg=f"{case.__name__} {output}")


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("opset18")])
def test_inputs_are_what_they_are_called(name):
    kind, run = head_inputs.kind_of(name), reference(name)
    assert count_of(run(busy(kind))) >= 100
    assert count_of(run(one_candidate(kind))) == (100 if kind == "tf_v5" else 1)  # tf_v5 pads every class
    if kind != "tf_v5":
        assert count_of(run(nothing_above_threshold(kind))) == 0
    lone = run(one_class_with_candidates(kind))
    labels, scores = lone.get("labels", lone.get("detection_classes")), lone.get("scores", lone.get("detection_scores"))
    assert len(np.unique(labels[scores > 0])) == 1


@pytest.mark.parametrize("kind", head_inputs.HEAD_KINDS)
def test_as_many_candidates_as_a_trained_detector_has(kind):
    head = head_inputs.HEAD_KINDS[kind]
    _, logits = head_inputs.busy_predictions(head)
    passing = head.scores(logits) > head.threshold
    assert abs(passing.sum() - head_inputs.CANDIDATES) < 10
    assert passing.any(axis=0).mean() > 0.4 and passing.sum(axis=0).max() > 250
    if head.threshold == head_inputs.TF_BUSY:
        assert (head.scores(logits) > DENSE_THRESHOLD).all()
    else:
        _, logits = head_inputs.dense_predictions(head)
        assert (head.scores(logits) > head.threshold).mean() > 0.9


@pytest.mark.parametrize("load", ["busy", "dense"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_the_head_batched_by_hand_is_the_same_head(load, case):
    inputs = case("tf_ssd")
    unrolled, batched = (reference(f"tf_ssd_{load}_{form}")(inputs) for form in ("opset18", "batched"))
    for name in unrolled:
        np.testing.assert_array_equal(batched[name], unrolled[name], err_msg=name)


@pytest.mark.parametrize("name", NAMES)
def test_fixtures_are_small_and_listed(name):
    path = head_inputs.HEADS / f"{name}.onnx.gz"
    assert path.stat().st_size <= MAX_COMMITTED_BYTES
    model = onnx.load_model_from_string(model_of(name))
    onnx.checker.check_model(model, full_check=True)
    (row,) = [line for line in (head_inputs.HEADS / "README.md").read_text().splitlines() if f"`{path.name}`" in line]
    assert f" {path.stat().st_size} " in row
