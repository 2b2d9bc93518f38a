"""What a camera can see, tried with the real model on pictures of the sample clip."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from detector.analytics.visibility import Visibility
from detector.config.model_settings import Model
from detector.config.schema import Camera
from detector.inference.input_sizes import InputSize
from detector.inference.multi_size import AnyDetector
from detector.models.autotune.visibility import CameraVisibility, visible
from detector.models.loading import made, open_file, resolve, shaped_loader
from support import sample

pytestmark = pytest.mark.slow

CAMERA = Camera.model_validate({"source": "a.mp4"})


def open_model(size: InputSize | None) -> AnyDetector:
    model = Model(backend="onnxruntime", threads=1)
    resolved = resolve(model)
    return shaped_loader(model, resolved)() if size is None else open_file(model, resolved, made(resolved, size))


def folder(path: Path, *numbers: int, width: int = 640, height: int = 272) -> Path:
    path.mkdir()
    for number, pixels in zip(numbers, sample.frames(numbers), strict=True):
        cv2.imwrite(str(path / f"{number}.png"), cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA))
    return path


@pytest.mark.timeout(300)
def test_the_smallest_person_that_is_found_is_told_with_what_a_larger_input_gains(tmp_path: Path) -> None:
    sample.model()
    seen = visible([folder(tmp_path / "a", 30, 110, 60)], CAMERA, open_model)
    assert seen is not None
    assert seen.height == 272
    assert seen.visibility.smallest is not None
    assert 0.06 <= seen.visibility.smallest <= seen.visibility.usual
    assert seen.larger is not None
    assert seen.larger.smallest is not None
    assert seen.size is not None
    assert seen.cost is not None
    first, second = seen.lines()
    assert first.startswith(f"people from {round(seen.visibility.smallest * 272)} px tall on are found")
    assert second.startswith(f"with an input of {seen.size[0]}x{seen.size[1]} from ")


@pytest.mark.timeout(300)
def test_no_larger_input_is_tried_than_the_stream(tmp_path: Path) -> None:
    sample.model()
    seen = visible([folder(tmp_path / "a", 30, 60, width=320, height=136)], CAMERA, open_model)
    assert seen is not None
    assert (seen.larger, len(seen.lines())) == (None, 1)


def test_pictures_of_nobody_cannot_tell(tmp_path: Path) -> None:
    sample.model()
    assert visible([folder(tmp_path / "a", 60, 170)], CAMERA, open_model) is None


def test_a_larger_input_that_sees_nobody_is_not_told() -> None:
    nobody = Visibility(seen=False, usual=0.3, smallest=None, reason="the picture is dark")
    seen = CameraVisibility(visibility=nobody, height=720, larger=nobody, size=(640, 384), cost=2.0)
    assert seen.lines() == ["people of no size are found: the picture is dark"]
