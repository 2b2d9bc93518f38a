"""The self-test over a running inference loop: real frames, the real model where it is at hand."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.core.clock import SYSTEM_CLOCK
from detector.core.errors import ModelError
from detector.core.types import ArrayImage, Frame, Image, Pixels
from detector.service.self_test import SELF_TEST_STATE, SelfTest
from support import sample
from support.inference import RunningInference, end_to_end_model
from support.service import make_store
from support.visits import StillClock

pytestmark = pytest.mark.slow

SOURCE = "rtsp://127.0.0.1:1/none"


@dataclass
class SelfTested:
    """Camera `a` of a running loop under self-test; `saved` is what is kept over a restart."""

    shop: RunningInference
    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    saved: dict[str, Any] = field(default_factory=dict)
    clip: Iterable[Image] = ()

    def __post_init__(self) -> None:
        document = {"cameras": {"a": {"source": SOURCE}}, "self_test": self.settings}
        self.clock = StillClock(mono=SYSTEM_CLOCK.mono(), wall=SYSTEM_CLOCK.wall())
        self.self_test = SelfTest(
            store=make_store(document),
            channel=self.shop.loop.channel,
            probes=self.shop.probes,
            folder=self.folder,
            clock=self.clock,
            saved=self.saved.get(SELF_TEST_STATE),
            save=self.saved.__setitem__,
            sample=lambda: self.clip,
        )

    def show(self, pixels: Pixels) -> None:
        """Give the camera a picture and wait until it is the newest one."""
        channel = self.shop.channel()
        deadline = time.monotonic() + 20
        while (scene := channel.view.scene()) is None or scene.frame.image.bgr() is not pixels:
            assert time.monotonic() < deadline, "the picture was not shown"
            now = SYSTEM_CLOCK.mono()
            self.shop.frames.put(
                Frame(camera="a", seq=0, captured_mono=now, captured_wall=self.clock.wall(), image=ArrayImage(pixels))
            )
            time.sleep(0.1)
        self.clock.now_mono = SYSTEM_CLOCK.mono()


@pytest.fixture(scope="module")
def street() -> Iterator[RunningInference]:
    with RunningInference(sample.model(), source=SOURCE, tamper={"enabled": False}) as shop:
        shop.model.wait_loaded(60)
        yield shop


@pytest.fixture
def clip() -> list[Image]:
    return [ArrayImage(pixels) for pixels in sample.frames(sample.WITH_PERSON[:1])]


def empty_street() -> Pixels:
    (pixels,) = sample.frames([150])
    return pixels


def fogged(pixels: Pixels, left: float) -> Pixels:
    return (pixels * left + 180 * (1 - left)).astype(np.uint8)


BAD: dict[str, tuple[Callable[[Pixels], Pixels], str]] = {
    "black": (np.zeros_like, "the picture is dark"),
    "night": (lambda pixels: (pixels * 0.02).astype(np.uint8), "the picture is dark"),
    "fog": (lambda pixels: fogged(pixels, 0.02), "the picture has almost no contrast"),
    "cover": (lambda pixels: np.full_like(pixels, 70), "the picture has almost no contrast"),
}


@pytest.mark.timeout(180)
def test_a_good_picture_shows_people_and_a_bad_one_is_a_problem(
    street: RunningInference, clip: list[Image], tmp_path: Path
) -> None:
    tested = SelfTested(street, tmp_path, clip=clip)
    good = empty_street()
    tested.show(good)
    result = tested.self_test.test("a")
    assert result is not None
    assert result.visibility.seen
    assert result.visibility.smallest is not None
    assert result.visibility.smallest <= 0.34
    assert not result.own
    assert tested.self_test.problems() == []
    for change, reason in BAD.values():
        tested.show(np.ascontiguousarray(change(good)))
        result = tested.self_test.test("a")
        assert result is not None
        assert (result.visibility.seen, result.visibility.smallest) == (False, None)
        (problem,) = tested.self_test.problems()
        assert problem.startswith(
            "camera a would not see a person of the usual height there, 34% of the picture's, now: "
        )
        assert reason in problem
        assert problem.endswith("no size is found")
    tested.show(np.ascontiguousarray(good))
    tested.self_test.test("a")
    assert tested.self_test.problems() == []
    assert (street.findings.alerts, street.findings.changes) == ([], []), "nothing is alerted or recorded"


def test_the_results_of_each_hour_are_kept_over_a_restart(
    street: RunningInference, clip: list[Image], tmp_path: Path
) -> None:
    tested = SelfTested(street, tmp_path, clip=clip)
    tested.clock.now_wall = datetime(2026, 3, 3, 4, 30).astimezone().timestamp()
    assert tested.self_test.status("a") is None
    tested.show(np.zeros((272, 640, 3), np.uint8))
    tested.self_test.test("a")
    tested.clock.now_wall += 8 * 3600
    tested.show(empty_street())
    tested.self_test.test("a")
    status = tested.self_test.status("a")
    assert status is not None
    assert {hour: one["seen"] for hour, one in status["hours"].items()} == {"4": False, "12": True}
    assert (status["seen"], status["own_person"]) == (True, False)
    assert status["text"].startswith(f"people from {round(status['smallest'] * 272)} px tall on are found")
    assert status["hours"]["4"]["text"] == "people of no size are found: the picture is dark"
    later = SelfTested(street, tmp_path, saved=json.loads(json.dumps(tested.saved)))
    assert later.self_test.status("a") == status
    assert later.self_test.problems() == [], "old results are no problem of now"


@pytest.mark.parametrize("saved", [{"a": 3}, {"a": {"4": "?"}}, {"a": {"4": {}}}, {}])
def test_what_was_kept_in_another_form_is_not_used(tmp_path: Path, saved: dict[str, Any]) -> None:
    shop = RunningInference(end_to_end_model(tmp_path / "m.onnx", []), source=SOURCE)
    assert SelfTested(shop, tmp_path, saved={SELF_TEST_STATE: saved}).self_test.status("a") is None


class NoClip:
    def __iter__(self) -> Iterator[Image]:
        raise ModelError("the sample clip cannot be downloaded")


def test_without_a_known_person_or_a_picture_there_is_no_result(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with RunningInference(end_to_end_model(tmp_path / "m.onnx", []), source=SOURCE, motion={"enabled": False}) as shop:
        shop.model.wait_loaded(20)
        tested = SelfTested(shop, tmp_path, clip=NoClip())
        assert tested.self_test.test("a") is None, "no picture yet"
        tested.show(np.full((64, 64, 3), 90, np.uint8))
        assert tested.self_test.test("a") is None
        assert "no self-test: the sample clip cannot be downloaded" in caplog.text
        tested.clip = [ArrayImage(np.full((64, 64, 3), 90, np.uint8))]
        assert tested.self_test.test("a") is None
        assert "nobody was found in the sample clip" in caplog.text
        tested.clock.now_mono += 60
        assert tested.self_test.test("a") is None, "the picture is old"
    assert (tested.saved, tested.self_test.problems()) == ({}, [])


def test_it_runs_at_its_time_and_every_so_often_and_soon_again_after_a_failure(
    street: RunningInference, clip: list[Image], tmp_path: Path
) -> None:
    tested = SelfTested(street, tmp_path, {"at": "04:30", "every_h": 2}, clip=clip)
    good, black = empty_street(), np.zeros((272, 640, 3), np.uint8)
    day = datetime(2026, 3, 3).astimezone()
    tested.clock.now_wall = (day + timedelta(hours=4)).timestamp()
    tested.self_test._due_since = tested.self_test._latest_due(tested.clock.wall())
    runs = list[str]()
    for minute in range(4 * 60 + 10, 9 * 60, 10):
        tested.clock.now_wall = (day + timedelta(minutes=minute, seconds=1)).timestamp()
        tested.show((black if 6 * 60 + 20 <= minute < 6 * 60 + 45 else good).copy())
        before = tested.self_test._last.get("a")
        tested.self_test._test_due(threading.Event())
        after = tested.self_test._last.get("a")
        if after is not None and after is not before:
            runs.append(f"{minute // 60}:{minute % 60:02} {'seen' if after.visibility.seen else 'not'}")
    assert runs == ["4:30 seen", "6:30 not", "6:40 not", "6:50 seen", "8:30 seen"]


def test_a_file_is_not_tested_and_another_camera_only_while_it_is_enabled(tmp_path: Path) -> None:
    shop = RunningInference(end_to_end_model(tmp_path / "m.onnx", []), source=SOURCE)
    cameras = {"a": {"source": SOURCE}, "b": {"source": "b.mp4"}, "c": {"source": SOURCE, "enabled": False}}
    tested = SelfTested(shop, tmp_path)
    tested.self_test._store = make_store({"cameras": cameras})
    assert tested.self_test._tested_cameras() == ("a",)
