from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detector.analytics.visibility import Standing
from detector.core.types import ArrayImage, Frame, Track
from detector.service.live_view import LiveScene
from detector.service.person_samples import PersonSamples
from support.visits import WALL, StillClock

DAY = 86_400.0


class Walked:
    """Somebody of `tall` px walks through a picture of 640 x 480, a second a step."""

    def __init__(self, folder: Path, *, keep_days: float = 14.0) -> None:
        self.clock = StillClock(wall=WALL)
        self.file = folder / "self_test" / "porch.npz"
        self.samples = PersonSamples(self.file, clock=self.clock, keep_days=keep_days)

    def step(self, x: float, *, tall: float = 120.0, score: float = 0.8, hits: int = 9, late: bool = False) -> None:
        pixels = np.full((480, 640, 3), 90, np.uint8)
        box = (x, 400.0 - tall, x + tall / 3, 400.0)
        pixels[round(box[1]) : 400, round(box[0]) : round(box[2])] = 200
        mono = self.clock.now_mono = self.clock.now_mono + 1.0
        frame = Frame(camera="porch", seq=0, captured_mono=mono, captured_wall=WALL, image=ArrayImage(pixels))
        track = Track(id=1, box=box, score=score, first_mono=0.0, last_mono=mono - late, hits=hits, matched=not late)
        self.samples.observe(LiveScene(frame=frame, people=(track,), moving=True))


def test_who_walks_becomes_the_known_person_and_shows_where_people_stand(tmp_path: Path) -> None:
    walked = Walked(tmp_path)
    for x in (100.0, 140.0, 180.0):
        walked.step(x)
    person = walked.samples.person()
    assert person is not None
    assert person.pixels.shape == (120, 40, 3)
    assert walked.samples.standing() == Standing(x=200 / 640, foot=400 / 480, height=120 / 480)


@pytest.mark.parametrize(
    "how", [{"score": 0.55}, {"hits": 2}, {"tall": 30.0}, {"late": True}], ids=["unsure", "new", "tiny", "predicted"]
)
def test_who_is_not_certain_does_not(tmp_path: Path, how: dict[str, float]) -> None:
    walked = Walked(tmp_path)
    for x in (100.0, 160.0, 220.0):
        walked.step(x, **how)  # type: ignore[arg-type]
    assert walked.samples.person() is None


def test_a_coat_or_somebody_cut_off_by_the_edge_does_not(tmp_path: Path) -> None:
    walked = Walked(tmp_path)
    for _ in range(20):
        walked.step(100.0)
    for x in (100.0, 50.0, 0.0):
        walked.step(x, tall=140.0) if x else walked.step(0.0)
    walked = Walked(tmp_path / "edge")
    for x in (601.0, 2.0):
        walked.step(x)
    assert walked.samples.person() is None


def test_the_known_person_survives_a_restart_and_is_forgotten_with_the_visits(tmp_path: Path) -> None:
    walked = Walked(tmp_path)
    for x in (100.0, 180.0):
        walked.step(x)
    assert walked.file.stat().st_mode & 0o077 == 0
    later = Walked(tmp_path)
    first, second = walked.samples.person(), later.samples.person()
    assert first is not None
    assert second is not None
    assert (first.pixels == second.pixels).all()
    assert second.background == pytest.approx(first.background)
    assert second.contrast == pytest.approx(first.contrast)
    assert later.samples.standing() == walked.samples.standing()
    later.clock.now_wall = WALL + 15 * DAY
    assert later.samples.person() is None
    assert not later.file.exists()


def test_a_younger_one_takes_its_place_after_a_day(tmp_path: Path) -> None:
    walked = Walked(tmp_path)
    for x in (100.0, 180.0, 100.0):
        walked.step(x)
    walked.step(100.0, tall=150.0)
    before = walked.samples.person()
    walked.clock.now_wall += DAY + 1
    walked.step(200.0, tall=150.0)
    after = walked.samples.person()
    assert before is not None
    assert after is not None
    assert (len(before.pixels), len(after.pixels)) == (120, 150)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_a_damaged_file_is_reported_and_not_used(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "self_test").mkdir()
    (tmp_path / "self_test" / "porch.npz").write_bytes(content)
    assert Walked(tmp_path).samples.person() is None
    assert "porch.npz" in caplog.text


def test_a_file_of_another_form_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "self_test").mkdir()
    np.savez(
        tmp_path / "self_test" / "porch.npz",
        pixels=np.zeros((4, 4), np.uint8),
        mask=np.zeros((4, 4), np.uint8),
        figures=np.zeros(4),
        places=np.zeros((0, 3)),
    )
    assert Walked(tmp_path).samples.person() is None
    assert "another form" in caplog.text
