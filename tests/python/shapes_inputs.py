"""Inputs of the shipped shapes detector, made as its properties say."""

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "models" / "shapes"
sys.path.insert(0, str(FOLDER))

import evaluate  # noqa: E402
import shapes_data  # noqa: E402


def samples(count):
    """The first `count` validation pictures as model inputs."""
    return [{"image": evaluate.network_input(picture)} for picture, _, _ in shapes_data.validation_set()[:count]]
