"""Comparing detections: same count and classes, scores within 1e-4 by default, boxes within 1e-3 of the picture's size.
What else a model says of a box may differ by 1e-4, absolutely or relatively."""

import numpy as np

MAX_SCORE_DIFFERENCE = 1e-4
MAX_BOX_DIFFERENCE = 1e-3  # of the picture's larger side
MAX_VALUE_DIFFERENCE = 1e-4
MORE = {"masks", "keypoints", "keypoints_scores"}  # what some detectors say of each box as well


def assert_same(ours, theirs, picture_size, max_score_difference=MAX_SCORE_DIFFERENCE):
    """Pairs every detection of `theirs` with one of `ours`; both map boxes [n,4], scores [n] and labels [n]. Returns the
    rows of `ours` in the order of `theirs`."""
    assert list(ours) == list(theirs), "the outputs' names or order differ"
    for name in theirs:
        assert ours[name].dtype == theirs[name].dtype and ours[name].ndim == theirs[name].ndim, name
    assert len(ours["scores"]) == len(theirs["scores"]), "the number of detections differs"
    free, rows = np.ones(len(ours["scores"]), bool), []
    for box, score, label in zip(theirs["boxes"], theirs["scores"], theirs["labels"], strict=True):
        fits = (
            free
            & (ours["labels"] == label)
            & (np.abs(ours["scores"] - score) <= max_score_difference)
            & (np.abs(ours["boxes"] - box).max(axis=1, initial=0) <= MAX_BOX_DIFFERENCE * picture_size)
        )
        assert fits.any(), f"no detection of class {label} with score {score:.5f} at {box}"
        rows.append(np.flatnonzero(fits)[0])
        free[rows[-1]] = False
    return rows


def rows_of(outputs):
    """Padded rows of x1, y1, x2, y2, score and label."""
    (rows,) = outputs.values()
    rows = rows[0, rows[0, :, 4] > 0]
    return {"boxes": rows[:, :4], "scores": rows[:, 4], "labels": rows[:, 5]}


def lists_of(outputs):
    """Boxes, scores and labels, perhaps in a batch of one that is padded up to `count`."""
    found = {name: outputs[name] for name in ("boxes", "scores", "labels")}
    if found["scores"].ndim == 2:
        count = int(outputs["count"][0]) if "count" in outputs else None
        found = {name: value[0, :count] for name, value in found.items()}
    return found


def padded_of(outputs):
    """The detections of a padded result of the TensorFlow Object Detection API."""
    count = int(outputs["num_detections"][0])
    return {name: outputs[f"detection_{key}"][0, :count] for name, key in
            (("boxes", "boxes"), ("scores", "scores"), ("labels", "classes"))}


def columns_of(outputs):
    """What a YOLO says without NMS: a column for each anchor, of a box in pixels and the score of each class."""
    (columns,) = outputs.values()
    return {"boxes": columns[0, :4].T, "scores": columns[0, 4:].T}


def queries_of(outputs):
    """What a transformer says: for each query a logit of each class, and a box in 0..1."""
    return {"boxes": outputs["pred_boxes"][0], "scores": 1 / (1 + np.exp(-outputs["logits"][0]))}


KINDS = {"rows": rows_of, "lists": lists_of, "padded": padded_of, "columns": columns_of, "queries": queries_of}
IN_PLACE = ("columns", "queries")  # nothing is selected, so that a row is the same box in every runtime


def assert_kind_agrees(kind, ours, theirs, picture_size, max_score_difference=MAX_SCORE_DIFFERENCE):
    """Compares the outputs of a model of tests/models/small.py with a reference's."""
    assert list(ours) == list(theirs), "the outputs' names or order differ"
    for name in theirs:
        assert ours[name].dtype == theirs[name].dtype and ours[name].ndim == theirs[name].ndim, name
    mine, expected = KINDS[kind](ours), KINDS[kind](theirs)
    if kind not in IN_PLACE:
        rows = assert_same(mine, expected, picture_size, max_score_difference)
        for name in MORE & theirs.keys():
            np.testing.assert_allclose(ours[name][rows], theirs[name], MAX_VALUE_DIFFERENCE, MAX_VALUE_DIFFERENCE, err_msg=name)
        return
    size = 1 if kind == "queries" else picture_size
    np.testing.assert_allclose(mine["boxes"], expected["boxes"], 0, MAX_BOX_DIFFERENCE * size)
    np.testing.assert_allclose(mine["scores"], expected["scores"], 0, max_score_difference)
