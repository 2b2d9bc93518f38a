"""Pictures and clips of a user: whose visits they show, how they are spread, and what cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest

from detector.config.schema import Camera
from detector.core.errors import SourceError, UsageError
from detector.core.progress import quiet
from detector.core.types import Detections, Floats, Frame, Image
from detector.inference.multi_size import MultiSizeDetector
from detector.models.autotune.recordings import Recording, watch
from detector.models.autotune.samples import SampleQuota
from support import scenes

NEED = SampleQuota(pictures=6, pictures_each=6)
AWAY = [None] * 30  # longer than the tracker is patient


class BrightSquareDetector:
    """Finds the bright square of `scenes.square_at`."""

    base = (320, 320)

    def detect_image(self, image: Image) -> tuple[Floats, Floats, float]:
        rows, columns = np.nonzero(image.bgr()[:, :, 1] >= 225)
        boxes = [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]] if rows.size else []
        return np.array(boxes, np.float32).reshape(-1, 4), np.full(len(boxes), 0.9, np.float32), 1.0

    def detect(self, frame: Frame) -> Detections:
        boxes, scores, infer_ms = self.detect_image(frame.image)
        return Detections(frame=frame, boxes=boxes, scores=scores, infer_ms=infer_ms)


def seen(*paths: Path, need: SampleQuota = NEED, **settings: Any) -> Recording:
    return watch(
        paths,
        name="porch",
        camera=Camera.model_validate({"source": "clip.mp4", **settings}),
        detector=cast("MultiSizeDetector", BrightSquareDetector()),
        cameras=1,
        need=need,
        progress=quiet,
    )


def stills(folder: Path, places: list[int | None]) -> Path:
    folder.mkdir()
    for number, at in enumerate(places):
        cv2.imwrite(str(folder / f"{number:03}.png"), scenes.square_at(at, number=number))
    return folder


def walks(path: Path, count: int) -> Path:
    """So many times somebody walks past, with nobody in between."""
    return scenes.clip(path, [*AWAY[:5], *((list(range(20, 260, 12)) + AWAY) * count)])


def test_a_clip_shows_the_visits_that_the_service_would_count(tmp_path: Path) -> None:
    found = seen(walks(tmp_path / "walks.mp4", 2))
    assert found.visits == 2
    assert len(found.peopled) == NEED.each(1)
    assert 1 <= len(found.empty) <= NEED.empty(1)
    assert found.size == (320, 240)
    assert found.peopled[0].visits != found.peopled[-1].visits, "spread over the whole clip"


def test_who_stands_still_is_one_picture_and_one_visit(tmp_path: Path) -> None:
    found = seen(stills(tmp_path / "same", [100] * 12))
    assert (len(found.peopled), found.visits, found.looked) == (1, 1, 12)


def test_a_step_is_the_same_visit_and_somewhere_else_is_another(tmp_path: Path) -> None:
    assert seen(stills(tmp_path / "steps", list(range(20, 90, 8)))).visits == 1
    assert seen(stills(tmp_path / "jump", [20, 280])).visits == 2
    assert seen(stills(tmp_path / "again", [20, *[None] * 8, 20])).visits == 2


def test_visits_of_several_paths_add_up(tmp_path: Path) -> None:
    one, other = stills(tmp_path / "one", [20, 40]), stills(tmp_path / "other", [60, 80])
    assert seen(one).visits == seen(other).visits == 1
    assert seen(one, other, tmp_path / "one" / "001.png").visits == 3


def test_many_pictures_are_thinned_evenly(tmp_path: Path) -> None:
    found = seen(stills(tmp_path / "many", [20 + 5 * (index % 50) for index in range(50)]))
    assert len(found.peopled) == NEED.each(1)
    columns = [int(np.argmax(sight.image.luma()[150])) for sight in found.peopled]
    assert len(set(columns)) == len(columns)
    assert found.looked == 50


def test_pictures_of_another_aspect_than_most_are_not_the_cameras(tmp_path: Path) -> None:
    folder = stills(tmp_path / "mixed", [20, 150, 280])
    cv2.imwrite(str(folder / "999.png"), np.ascontiguousarray(np.rot90(scenes.square_at(100))))
    found = seen(folder)
    assert found.size == (320, 240)
    assert [(sight.image.width, sight.image.height) for sight in found.peopled] == [(320, 240)] * 3


def test_nobody_there_is_no_visit(tmp_path: Path) -> None:
    found = seen(stills(tmp_path / "empty", [None, None]))
    assert (found.peopled, found.visits) == ((), 0)
    assert len(found.empty) == 1


def test_what_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    text = tmp_path / "notes.txt"
    text.write_text("no clip")
    for path, error, words in (
        (tmp_path / "gone", UsageError, "no such file or folder"),
        (tmp_path / "empty", UsageError, "no pictures"),
        (broken, SourceError, "is not a picture that can be read"),
        (text, SourceError, "notes.txt"),
    ):
        with pytest.raises(error, match=words):
            seen(path)
