"""Comparing detections: same count and classes, scores within 1e-4 by default, boxes within 1e-3 of the picture's size."""

import numpy as np

MAX_SCORE_DIFFERENCE = 1e-4
MAX_BOX_DIFFERENCE = 1e-3  # of the picture's larger side


def assert_same(ours, theirs, picture_size, max_score_difference=MAX_SCORE_DIFFERENCE):
    """Pairs every detection of `theirs` with one of `ours`; both map boxes [n,4], scores [n] and labels [n]."""
    assert list(ours) == list(theirs), "the outputs' names or order differ"
    for name in theirs:
        assert ours[name].dtype == theirs[name].dtype and ours[name].ndim == theirs[name].ndim, name
    assert len(ours["scores"]) == len(theirs["scores"]), "the number of detections differs"
    free = np.ones(len(ours["scores"]), bool)
    for box, score, label in zip(theirs["boxes"], theirs["scores"], theirs["labels"], strict=True):
        fits = (
            free
            & (ours["labels"] == label)
            & (np.abs(ours["scores"] - score) <= max_score_difference)
            & (np.abs(ours["boxes"] - box).max(axis=1, initial=0) <= MAX_BOX_DIFFERENCE * picture_size)
        )
        assert fits.any(), f"no detection of class {label} with score {score:.5f} at {box}"
        free[np.flatnonzero(fits)[0]] = False
