from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from bench.visit_conditions import CONDITIONS, under
from bench.visit_scenes import VisitScene, visit_heights, visit_scenes
from bench.visits import FoundVisit, SceneResult, VisitConfig, _Sightings, _WholePictures, main, measure, summarise
from detector.analytics.pipeline import PipelineOutcome
from detector.core.types import Box, Track
from detector.inference.factory import load_detector

PERSON: Box = (10.0, 10.0, 20.0, 40.0)


def scene(*, marked: bool = True, frames: int = 20) -> VisitScene:
    grey = np.full((72, 128, 3), 90, np.uint8)
    return VisitScene(
        name="made",
        part="choose",
        condition="day",
        pictures=lambda: iter([grey] * frames),
        truth=lambda: {number: [(1, PERSON)] for number in range(5, frames)},
        marked=marked,
    )


def outcome(*boxes: Box, matched: bool = True) -> PipelineOutcome:
    return PipelineOutcome(
        tracks=tuple(
            Track(id=k, box=box, score=0.9, first_mono=0.0, last_mono=0.0, hits=3, matched=matched)
            for k, box in enumerate(boxes)
        )
    )


def test_a_visit_is_found_by_the_first_track_on_the_person() -> None:
    tally = _Sightings(scene())
    tally.add(6, outcome(PERSON, matched=False))
    tally.add(7, outcome((40.0, 10.0, 50.0, 40.0)))
    tally.add(9, outcome(PERSON))
    assert tally.visits() == (FoundVisit(height_px=30.0, found_after_s=0.4),)
    assert tally.false_visits == 0, "the same track, on the person in the end"


def test_a_track_on_nobody_is_a_false_visit_where_everybody_is_marked() -> None:
    for marked, expected in ((True, 1), (False, None)):
        tally = _Sightings(scene(marked=marked))
        tally.add(7, outcome((60.0, 10.0, 70.0, 40.0)))
        assert tally.false_visits == expected
        assert tally.visits() == (FoundVisit(height_px=30.0, found_after_s=None),)


def test_who_is_there_for_an_instant_is_no_visit() -> None:
    assert visit_heights(scene(frames=12)) == {}
    assert visit_heights(scene()) == {1: (5, 30.0)}


def test_a_config_is_a_cameras_keys_and_a_size() -> None:
    config = VisitConfig.parse("mine:motion.crops_per_s=5,detect_fps=4,size=640x384")
    assert (config.name, config.size) == ("mine", (640, 384))
    assert (config.camera().motion.crops_per_s, config.camera().detect_fps) == (5.0, 4.0)
    assert VisitConfig.parse("default").size is None


def test_unknown_keys_are_one_line(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("a:motion.crops=5", "a:size=large", "a:crops"):
        with pytest.raises(SystemExit):
            main(["--shared", str(shared), "--configs", text])
        assert "write NAME or NAME:KEY=VALUE" in capsys.readouterr().err


@pytest.mark.parametrize("condition", ["day", *CONDITIONS])
def test_conditions_change_pictures_always_the_same_way_and_lose_none(condition: str) -> None:
    pictures = [np.random.default_rng(k).integers(0, 255, (96, 128, 3)).astype(np.uint8) for k in range(6)]
    first, again = (list(under(condition, lambda: iter(pictures), 3)) for _ in range(2))
    assert len(first) == 6
    for before, after, same in zip(pictures, first, again, strict=True):
        assert after.shape == before.shape
        assert (after == same).all()
        assert (after != before).any()


def test_people_are_marked_where_they_were_set(shared: Path) -> None:
    """The picture differs from its background where the marked people are, and there alone."""
    made = next(one for one in visit_scenes(shared, quick=True) if one.name == "vtest 33% in 1280x720")
    assert {one.part for one in visit_scenes(shared, quick=True)} == {"choose", "judge"}
    pictures = [picture.astype(np.int16) for picture in islice(made.pictures(), 0, 41, 20)]
    moved = np.abs(pictures[0] - pictures[2]).max(axis=2) > 60
    rows, columns = np.nonzero(moved)
    boxes = np.array([box for number in (0, 40) for _, box in made.truth()[number]])
    inside = (
        (columns[:, None] >= boxes[:, 0] - 2)
        & (columns[:, None] <= boxes[:, 2] + 2)
        & (rows[:, None] >= boxes[:, 1] - 2)
        & (rows[:, None] <= boxes[:, 3] + 2)
    ).any(axis=1)
    assert moved.sum() > 100
    assert inside.mean() > 0.9


def test_scenes_without_people_have_pictures_that_change(shared: Path) -> None:
    empty = [one for one in visit_scenes(shared, quick=True) if one.condition == "empty"]
    assert len(empty) == 10
    for one in empty:
        first, later = islice(one.pictures(), 0, 8, 7)
        assert first.shape == later.shape == (720, 1280, 3)
        assert (first != later).any()
        assert one.marked
        assert one.truth() == {}


def test_a_scene_is_measured_by_the_products_own_pipeline(shared: Path) -> None:
    detector = load_detector(path=shared / "models" / "yolox_nano.onnx", name="nano", threads=2)
    street = next(one for one in visit_scenes(shared, quick=True) if one.name == "vtest 50% in 1280x720")
    short = replace(street, pictures=lambda: islice(street.pictures(), 15))
    result = measure(_WholePictures(detector), short, VisitConfig(name="own"))
    detector.close()
    assert (result.config, result.media_s) == ("own", 1.5)
    assert 5 <= result.whole_runs <= 15
    assert result.false_visits is None


def test_the_summary_counts_visits_by_height_and_condition() -> None:
    visits = (FoundVisit(height_px=14.0, found_after_s=None), FoundVisit(height_px=30.0, found_after_s=0.5))
    one = SceneResult(
        config="a",
        scene="s",
        part="judge",
        condition="dusk",
        visits=visits,
        false_visits=2,
        media_s=1800.0,
        whole_runs=7,
        window_runs=3,
    )
    (row,) = summarise([one])
    assert row["by_height"] == {"12-16": (0, 1), "24-36": (1, 1)}
    assert row["by_condition"] == {"dusk": (1, 2)}
    assert (row["median_s"], row["false_visits"], row["false_hours"], row["window_runs"]) == (0.5, 2, 0.5, 3)
