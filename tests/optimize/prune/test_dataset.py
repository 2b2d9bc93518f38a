"""Pictures to learn from: placed as detection places them, boxes moved with them, faults counted."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from detector.core.errors import DetectorError, ModelError
from detector.core.types import ArrayImage
from detector.inference.preprocess import Letterbox
from detector.inference.spec import InputSpec
from detector.optimize.prune.dataset import FEWEST, Dataset

ULTRALYTICS = InputSpec(color="rgb", scale=1.0 / 255.0)


def folder(path: Path, count: int = FEWEST) -> Path:
    for number in range(count):
        random = np.random.default_rng(number)
        pixels = cv2.resize(random.integers(0, 256, (12, 16, 3), np.uint8), (320, 240))
        cv2.imwrite(str(path / f"{number}.png"), pixels)
    return path


def annotated(path: Path, names: list[str], box: list[float]) -> Path:
    document = {
        "images": [{"id": n, "file_name": name, "width": 320, "height": 240} for n, name in enumerate(names)],
        "annotations": [{"id": 1, "image_id": 0, "category_id": 1, "bbox": box, "area": 1.0, "iscrowd": 0}],
        "categories": [{"id": 1, "name": "person"}],
    }
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


@pytest.mark.parametrize("size", [(160, 160), (96, 128), (320, 192)])
def test_plain_pictures_lie_where_detection_puts_them(size: tuple[int, int], tmp_path: Path) -> None:
    data = Dataset(folder=folder(tmp_path), size=size)
    wanted, _ = Letterbox(width=size[0], height=size[1], spec=ULTRALYTICS)(ArrayImage(cv2.imread(str(data.paths[0]))))  # type: ignore[arg-type]
    found = data.plain(0).picture
    assert found.dtype == np.float32
    assert found.shape == (3, size[1], size[0])
    assert np.abs(found - wanted[0]).mean() < 0.02


def test_boxes_move_with_the_picture(tmp_path: Path) -> None:
    box = [120.0, 80.0, 60.0, 100.0]
    for number in range(FEWEST):
        pixels = np.zeros((240, 320, 3), np.uint8)
        pixels[80:180, 120:180] = 255
        cv2.imwrite(str(tmp_path / f"{number}.png"), pixels)
    data = Dataset(folder=tmp_path, size=(160, 128), annotations=annotated(tmp_path / "a.json", ["0.png"], box))
    assert data.annotated == 1
    assert data.plain(1).boxes is None
    whole = 0
    for seed in range(30):
        sample = data.varied(0, np.random.default_rng(seed))
        assert sample.boxes is not None
        bright = sample.picture.min(0) > 0.6
        if len(sample.boxes) == 1 and bright.any():
            rows, columns = np.nonzero(bright)
            found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert np.abs(sample.boxes[0] - found).max() < 1.6
            whole += 1
    assert whole > 20


def test_a_step_is_a_function_of_its_number(tmp_path: Path) -> None:
    data = Dataset(folder=folder(tmp_path), size=(64, 64))
    one, again, later = (data.batch(step, 4, seed=1) for step in (3, 3, 4))
    assert all(np.array_equal(a.picture, b.picture) for a, b in zip(one, again, strict=True))
    assert not any(np.array_equal(a.picture, b.picture) for a, b in zip(one, later, strict=True))
    assert not np.array_equal(one[0].picture, data.batch(3, 4, seed=2)[0].picture)


def test_faults_come_with_their_count(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"0 pictures in .*: at least {FEWEST}"):
        Dataset(folder=tmp_path, size=(64, 64))
    folder(tmp_path)
    (tmp_path / "3.png").write_bytes(b"no picture")
    (tmp_path / "5.png").write_bytes(b"")
    with pytest.raises(ModelError, match=r"2 of 8 pictures in .* cannot be read, 3.png first"):
        Dataset(folder=tmp_path, size=(64, 64))


def test_annotations_that_miss_pictures_are_refused(tmp_path: Path) -> None:
    folder(tmp_path)
    path = annotated(tmp_path / "a.json", ["0.png", "gone.png", "lost.png"], [1, 1, 9, 9])
    with pytest.raises(DetectorError, match=r"2 of 3 annotated pictures are not in .*, gone.png first"):
        Dataset(folder=tmp_path, size=(64, 64), annotations=path)
