"""What these tests stand on: PyTorch, checkpoints and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detector.capture.pictures import folder_pictures
from detector.core.types import ArrayImage, Image
from support import scenes


@pytest.fixture(scope="session")
def torch() -> Any:
    """PyTorch on one thread, or the reason why not."""
    pytest.importorskip("torch_pruning", reason="needs the extra optimize (make test-optimize)")
    module = pytest.importorskip("torch", reason="needs the extra optimize (make test-optimize)")
    module.set_num_threads(1)
    return module


@pytest.fixture(scope="session")
def checkpoint(shared: Path) -> Path:
    """YOLOv10-Nano with real weights."""
    return shared / "models" / "yolov10n.pt"


@pytest.fixture(scope="session")
def streets(shared: Path) -> list[Image]:
    """Three photos, most with persons."""
    return list(folder_pictures(shared / "media" / "images", count=3))


@pytest.fixture(scope="session")
def noises() -> list[Image]:
    """For networks with random weights, which are sure of nothing anywhere."""
    random = np.random.default_rng(1)
    return [ArrayImage(random.integers(0, 256, (96, 160, 3), np.uint8)) for _ in range(2)]


@pytest.fixture(scope="session")
def square_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 12 pictures, nobody in them."""
    folder = tmp_path_factory.mktemp("squares")
    for number in range(12):
        cv2.imwrite(str(folder / f"{number:02d}.png"), scenes.square_at(20 * number, number=number))
    return folder
