"""Fixtures shared by the Python tests."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "models"))


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory):
    """What tuning measures in the tests is not kept for the user."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["LANNER_CACHE_DIR"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def model_path():
    """model_path(name, quiet=False, score_threshold=None): the file of a model fixture, rebuilt into build/models/ when it
    is not up to date."""
    pytest.importorskip("onnx")
    import rebuild

    def path(name, *, quiet=False, score_threshold=None):
        variant = "-quiet" if quiet else "" if score_threshold is None else f"-{score_threshold}"
        file = ROOT / "build" / "models" / f"{name}{variant}.onnx"
        return rebuild.rebuild(name, file, quiet=quiet, score_threshold=score_threshold)

    return path
