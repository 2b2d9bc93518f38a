"""Models and pictures for the graph room's tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from detector.capture.factory import file_source
from detector.core.types import ArrayImage, Image

MODELS = ("yolox_tiny_humanart", "yolox_nano", "yolov10n", "yolov8n", "yolo11n")


@pytest.fixture(scope="session")
def model_file(shared: Path) -> Callable[[str], Path]:
    return lambda name: shared / "models" / f"{name}.onnx"


@pytest.fixture(scope="session")
def model(model_file: Callable[[str], Path]) -> Callable[[str], onnx.ModelProto]:
    return lambda name: onnx.load(str(model_file(name)))


@pytest.fixture(scope="session")
def photos(shared: Path) -> list[Image]:
    """Every fourth of the COCO pictures, most with persons."""
    files = sorted((shared / "media" / "coco" / "images").iterdir())[::4]
    return [ArrayImage(np.asarray(cv2.imread(str(file)), np.uint8)) for file in files]


@pytest.fixture(scope="session")
def street(shared: Path) -> list[Image]:
    """Three frames of vtest, 768x576, 2 to 8 persons in each."""
    source = file_source(shared / "media" / "video" / "vtest.avi")
    source.open()
    frames = [source.read().image for _ in range(21)]
    source.close()
    return [ArrayImage(frame.bgr()) for frame in frames[::10]]


@pytest.fixture
def noise() -> list[Image]:
    """Pictures for networks with random weights, which see persons everywhere."""
    random = np.random.default_rng(1)
    return [ArrayImage(random.integers(0, 256, (96, 96, 3), np.uint8)) for _ in range(3)]
