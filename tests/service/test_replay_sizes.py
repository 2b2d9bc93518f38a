"""Streams of unusual and of changing picture sizes, with the real model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import pytest

from detector.capture.source import CapturedImage
from detector.config import document
from detector.config.model_settings import Model
from detector.core.errors import EndOfStreamError
from detector.core.types import ArrayImage, Pixels
from detector.inference.multi_size import AnyDetector
from detector.models.loading import resolve, shaped_loader
from detector.service.replay import Line, replay
from support import sample

pytestmark = pytest.mark.slow

SEEN = (30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40)
"""Frames of the sample clip with the cyclist."""


class Shown:
    """A source of pictures, ten a second."""

    def __init__(self, pictures: Sequence[Pixels]) -> None:
        self._pictures = iter(enumerate(pictures))

    def read(self) -> CapturedImage:
        number, pixels = next(self._pictures, (0, None))
        if pixels is None:
            raise EndOfStreamError("clip.mp4: end of file")
        return CapturedImage(image=ArrayImage(pixels), media_s=number / 10)


@pytest.fixture(scope="module")
def detector() -> Iterator[AnyDetector]:
    model = Model(backend="onnxruntime", threads=1)
    sample.model()
    opened = shaped_loader(model, resolve(model))()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def cyclist() -> list[Pixels]:
    return sample.frames(SEEN)


def sized(pictures: Sequence[Pixels], width: int, height: int) -> list[Pixels]:
    return [np.asarray(cv2.resize(one, (width, height), interpolation=cv2.INTER_AREA), np.uint8) for one in pictures]


def run(pictures: Sequence[Pixels], detector: AnyDetector) -> list[Line]:
    config = document.validate(
        {"device": {"id": "yard"}, "cameras": {"porch": {"source": "clip.mp4", "alert": {"cooldown_s": 0}}}}
    )
    return list(replay(config=config, camera="porch", source=Shown(pictures), detector=detector))


def alerted(lines: Sequence[Line]) -> list[tuple[int, ...]]:
    return [tuple(line["payload"]["frame_size"]) for line in lines if line["topic"] == "alerts"]


@pytest.mark.parametrize("size", [(320, 136), (200, 85)])
def test_a_stream_smaller_than_any_input_size_is_enlarged_and_people_are_found(
    detector: AnyDetector, cyclist: list[Pixels], size: tuple[int, int]
) -> None:
    assert size[0] < detector.input_size[0]
    lines = run(sized(cyclist, *size), detector)
    assert alerted(lines) == [size]
    (x1, y1, x2, y2) = next(line["payload"]["box"] for line in lines if line["topic"] == "alerts")
    assert 0 <= x1 < x2 <= size[0]
    assert 0 <= y1 < y2 <= size[1]


def test_a_stream_of_a_few_pixels_finds_nobody_and_stops_nothing(detector: AnyDetector, cyclist: list[Pixels]) -> None:
    assert run(sized(cyclist, 24, 10), detector) == []


def test_a_camera_whose_picture_size_changes_is_looked_at_in_its_new_size(
    detector: AnyDetector, cyclist: list[Pixels]
) -> None:
    empty = sample.frames([60])
    for first, second in (((640, 272), (320, 136)), ((320, 136), (640, 272))):
        pictures = [*sized(cyclist, *first), *sized(empty * 40, *first), *sized(cyclist, *second)]
        assert alerted(run(pictures, detector)) == [first, second]
