"""Confirmation by evidence, through the replay's own pipeline."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from detector.capture.source import CapturedImage
from detector.config import document
from detector.config.schema import Config
from detector.core.errors import EndOfStreamError
from detector.core.types import ArrayImage, Detections, Frame
from detector.service.replay import Line, replay
from support.evidence import made_curves

EVIDENCE: dict[str, Any] = {"confirm": "evidence"}


def config(**alert: Any) -> Config:
    porch = {"source": "clip.mp4", "alert": {"cooldown_s": 0, **alert}}
    return document.validate({"device": {"id": "yard"}, "cameras": {"porch": porch}})


class Walk:
    """Six seconds of a bright figure that walks from left to right from the second second on."""

    def __init__(self) -> None:
        self._number = iter(range(60))

    def read(self) -> CapturedImage:
        number = next(self._number, None)
        if number is None:
            raise EndOfStreamError("clip.mp4: end of file")
        pixels = np.full((240, 320, 3), 90, np.uint8)
        if number >= 20:
            x = 5 * (number - 20) + 20
            pixels[80:180, x : x + 34] = 255
        return CapturedImage(image=ArrayImage(pixels), media_s=number / 10)


class WeaklySeen:
    """A detector of what is bright, with the scores given in turn."""

    input_size = (160, 120)

    def __init__(self, scores: Sequence[float]) -> None:
        self._scores, self._count = scores, 0

    def detect(self, frame: Frame) -> Detections:
        rows, columns = np.nonzero(frame.image.luma() >= 200)
        boxes = [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]] if rows.size else []
        score = self._scores[self._count % len(self._scores)]
        self._count += len(boxes)
        return Detections(
            frame=frame,
            boxes=np.array(boxes, np.float32).reshape(-1, 4),
            scores=np.full(len(boxes), score, np.float32),
            infer_ms=3.0,
        )


def run(settings: Config, *scores: float, curves: bool = True, explain: bool = False) -> list[Line]:
    return list(
        replay(
            config=settings,
            camera="porch",
            source=Walk(),
            detector=WeaklySeen(scores),
            curves=made_curves() if curves else None,
            explain=explain,
        )
    )


def alerts(lines: Sequence[Line]) -> list[dict[str, Any]]:
    return [line["payload"] for line in lines if line["topic"] == "alerts"]


def explained(lines: Sequence[Line]) -> Iterator[dict[str, Any]]:
    return (line["payload"] for line in lines if line["topic"] == "explain")


def test_many_weak_looks_confirm_whom_the_frames_rule_never_would() -> None:
    assert alerts(run(config(), 0.4)) == []
    (alert,) = alerts(run(config(**EVIDENCE), 0.4))
    assert alert["score"] == pytest.approx(0.4, abs=1e-3)


def test_sure_looks_confirm_no_later_than_the_frames_rule() -> None:
    (by_frames,), (by_evidence,) = alerts(run(config(), 0.85)), alerts(run(config(**EVIDENCE), 0.85))
    assert by_evidence["captured_at"] <= by_frames["captured_at"]


def test_scores_of_nobody_confirm_nobody() -> None:
    assert alerts(run(config(**EVIDENCE), 0.2)) == []


@pytest.mark.parametrize(("floor", "count"), [({"min_score": 0.5}, 0), ({"min_score": 0.35}, 1), ({}, 1)])
def test_a_score_that_is_set_is_a_floor(floor: dict[str, Any], count: int) -> None:
    assert len(alerts(run(config(**EVIDENCE, **floor), 0.4))) == count


def test_frames_that_are_set_are_a_floor() -> None:
    (usual,), (later,) = alerts(run(config(**EVIDENCE), 0.85)), alerts(run(config(**EVIDENCE, min_frames=10), 0.85))
    assert later["captured_at"] > usual["captured_at"]


def test_without_a_models_curves_the_frames_decide() -> None:
    assert run(config(**EVIDENCE), 0.85, curves=False) == run(config(), 0.85, curves=False)
    assert run(config(**EVIDENCE), 0.4, curves=False) == run(config(), 0.4, curves=False)


def test_curves_change_nothing_where_the_frames_decide() -> None:
    assert run(config(), 0.85, 0.4, 0.2) == run(config(), 0.85, 0.4, 0.2, curves=False)


def test_the_sum_is_explained_look_by_look_until_it_reaches_the_bar() -> None:
    lines = run(config(**EVIDENCE), 0.4, explain=True)
    looks = list(explained(lines))
    sums = [look["sum"] for look in looks]
    assert sums == sorted(sums)
    assert sums[-1] >= looks[-1]["bar"] > sums[-2]
    assert {look["track_id"] for look in looks} == {1}
    assert {(look["score"], look["dark"]) for look in looks} == {(0.4, False)}
    new = next(line for line in lines if line["topic"] == "events")
    assert lines.index(new) == len(looks), "right after the look that confirmed"
    assert new["payload"]["after"]["frame_time"] == looks[-1]["t"]


def test_the_same_clip_gives_the_same_bytes() -> None:
    first, again = (run(config(**EVIDENCE), 0.4, 0.1, 0.6, 0.3, explain=True) for _ in range(2))
    assert json.dumps(first) == json.dumps(again)
