"""Fixtures shared by the Python tests."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "models"))


@pytest.fixture(scope="session")
def model_path():
    """model_path(name, quiet=False): the file of a model fixture, rebuilt into build/models/ when it is not up to date."""
    pytest.importorskip("onnx")
    import rebuild

    def path(name, *, quiet=False):
        return rebuild.rebuild(name, ROOT / "build" / "models" / f"{name}{'-quiet' if quiet else ''}.onnx", quiet=quiet)

    return path
