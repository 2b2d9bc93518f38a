"""What these tests stand on: PyTorch, and the real network where the shared data is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import pytest

from support import scenes


@pytest.fixture(scope="session")
def torch() -> Any:
    """PyTorch on one thread, or the reason why not."""
    pytest.importorskip("torch_pruning", reason="needs the extra optimize (make test-optimize)")
    module = pytest.importorskip("torch", reason="needs the extra optimize (make test-optimize)")
    module.set_num_threads(1)
    return module


@pytest.fixture(scope="session")
def checkpoint(torch: Any, shared: Path) -> Path:
    """YOLOv10n with real weights."""
    return shared / "models" / "yolov10n.pt"


@pytest.fixture(scope="session")
def room_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 12 pictures, nobody in them."""
    folder = tmp_path_factory.mktemp("rooms")
    for number in range(12):
        cv2.imwrite(str(folder / f"{number:02d}.png"), scenes.room(20 * number, number=number))
    return folder
