from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from bench.sections.visits import SECTION
from bench.store import Store
from bench.visit_conditions import CONDITIONS, under
from bench.visit_empty import empty_pictures
from bench.visit_parts import VisitScene
from bench.visit_plots import curves
from bench.visit_report import _met, missed_targets, summarise, target_rows
from bench.visit_results import VisitResults, program_key
from bench.visit_scenes import EMPTY_S, LAYOUTS, visit_heights, visit_scenes
from bench.visit_tally import FoundVisit, SceneResult, VisitTally
from bench.visit_warps import Fisheye, Inset, Overhead, posts
from bench.visits import VisitConfig, _WholePictures, main, measure
from detector.analytics.pipeline import PipelineOutcome
from detector.core.types import ArrayImage, Box, Event, EventChange, Frame, Track
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
    tally = VisitTally(scene())
    tally.add(6, outcome(PERSON, matched=False))
    tally.add(7, outcome((40.0, 10.0, 50.0, 40.0)))
    tally.add(9, outcome(PERSON))
    assert tally.visits() == (FoundVisit(height_px=30.0, found_after_s=0.4),)
    assert tally.false_visits == 0, "the same track, on the person in the end"


def test_a_track_on_nobody_is_a_false_visit_where_everybody_is_marked() -> None:
    for marked, expected in ((True, 1), (False, None)):
        tally = VisitTally(scene(marked=marked))
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
    assert len(empty) == 2 * 8 * 3, "each kind of change in each light, to choose by and to judge by"
    for one in empty:
        first, later = islice(one.pictures(), 0, 8, 7)
        assert first.shape == later.shape == (720, 1280, 3)
        assert (first != later).any()
        assert one.marked
        assert one.truth() == {}
    assert len(empty) * EMPTY_S >= 2 * 3600, "the whole form lasts two hours"


def test_the_parts_share_no_picture_and_no_scene(shared: Path) -> None:
    choose, judge = (set(empty_pictures(shared, part)) for part in ("choose", "judge"))
    assert choose
    assert judge
    assert not choose & judge


def test_the_whole_form_shows_every_size_layout_and_condition(shared: Path) -> None:
    scenes = [one for one in visit_scenes(shared, quick=False) if one.part == "judge"]
    names = {one.name for one in scenes}
    for clip in ("vtest", "one-by-one"):
        assert {f"{clip} {share}% in 1280x720" for share in (100, 50, 33, 25, 18)} <= names
    assert {name.rpartition(" in ")[2] for name in names if " in " in name} == {"480x270", "1280x720", "1920x1080"}
    assert {"day", "empty", *CONDITIONS, *LAYOUTS} == {one.condition for one in scenes}
    assert len({(one.name, one.condition) for one in scenes}) == len(scenes), "a result is kept by these"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_people_are_marked_where_each_layout_shows_them(shared: Path, layout: str) -> None:
    """What moves between two pictures lies in the marked boxes, for the most part."""
    made = next(one for one in visit_scenes(shared, quick=True) if one.condition == layout)
    pictures = [picture.astype(np.int16) for picture in islice(made.pictures(), 0, 41, 20)]
    height, width = pictures[0].shape[:2]
    boxes = np.array([box for number in (0, 40) for _, box in made.truth()[number]])
    assert len(boxes)
    assert (boxes[:, :2] >= -1).all()
    assert (boxes[:, 2:] <= (width + 1, height + 1)).all()
    rows, columns = np.nonzero(np.abs(pictures[0] - pictures[2]).max(axis=2) > 60)
    inside = (
        (columns[:, None] >= boxes[:, 0] - 3)
        & (columns[:, None] <= boxes[:, 2] + 3)
        & (rows[:, None] >= boxes[:, 1] - 3)
        & (rows[:, None] <= boxes[:, 3] + 3)
    ).any(axis=1)
    assert len(rows) > 20
    assert inside.mean() > 0.8


@pytest.mark.parametrize("warp", [Fisheye((640, 360)), Overhead((640, 360))])
def test_a_warp_takes_a_box_where_it_takes_the_pixels(warp: Fisheye | Overhead) -> None:
    boxes: list[Box] = [(300.0, 150.0, 340.0, 230.0), (100.0, 60.0, 130.0, 120.0), (560.0, 200.0, 590.0, 260.0)]
    for box in boxes:
        picture = np.zeros((360, 640, 3), np.uint8)
        picture[round(box[1]) : round(box[3]), round(box[0]) : round(box[2])] = 255
        rows, columns = np.nonzero(warp.picture(picture)[:, :, 0] > 127)
        seen = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        moved = warp.box(box)
        assert np.abs(np.array(moved) - seen).max() <= 2.0
        assert np.abs(np.array(moved) - box).max() > 4.0


def test_an_inset_is_cut_off_at_the_pictures_edge_and_so_are_its_people() -> None:
    inset, whole = Inset(-50, 10, (100, 60), (200, 100)), np.zeros((100, 200, 3), np.uint8)
    inset.put(np.full((60, 100, 3), 255, np.uint8), whole)
    assert whole[10:70, :50].all()
    assert whole.sum() == 50 * 60 * 3 * 255
    assert inset.box((20.0, 0.0, 70.0, 40.0), 0.5) is None, "outside"
    assert inset.box((90.0, 0.0, 120.0, 40.0), 1.0) == (40.0, 10.0, 70.0, 50.0)
    assert inset.box((40.0, 0.0, 60.0, 40.0), 1.0) == (0.0, 10.0, 10.0, 50.0)
    posts(whole, inset, width=4)
    assert (whole[20, 24:26] < 255).all(), "a post in front of what shows"


def opened(box: Box, key: int) -> PipelineOutcome:
    event = Event(
        id=f"e{key}", camera="c", track_id=key, frame_wall=0.0, start_wall=0.0, end_wall=None, score=0.9, top_score=0.9,
        box=box, frame_size=(128, 72), current_zones=(), entered_zones=(), stationary=False, has_snapshot=False,
        suppressed=None,
    )  # fmt: skip
    track = Track(id=key, box=box, score=0.9, first_mono=0.0, last_mono=0.0, hits=3, matched=True)
    frame = Frame(
        image=ArrayImage(np.zeros((72, 128, 3), np.uint8)), camera="c", seq=0, captured_mono=0.0, captured_wall=0.0
    )
    return PipelineOutcome(tracks=(track,), changes=(EventChange(type="new", before=event, after=event, frame=frame),))


def test_a_second_event_of_one_person_is_a_split_visit() -> None:
    tally = VisitTally(scene())
    tally.add(7, opened(PERSON, 1))
    assert tally.split == 0
    tally.add(12, opened(PERSON, 2))
    assert (tally.split, tally.merged, tally.false_visits) == (1, 0, 0)


def test_a_track_that_goes_from_one_person_to_another_merges_their_visits() -> None:
    other: Box = (60.0, 10.0, 70.0, 40.0)
    two = replace(scene(), truth=lambda: {number: [(1, PERSON), (2, other)] for number in range(20)})
    tally = VisitTally(two)
    for number in range(5):
        tally.add(number, outcome(PERSON))
        tally.add(10 + number, outcome(other))
    assert (tally.merged, tally.split) == (1, 0)


def test_a_result_is_kept_until_program_scene_or_settings_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DETECTOR_CACHE", str(tmp_path))
    result, ours = made_result(visits=(FoundVisit(height_px=14.0, found_after_s=0.3),)), VisitResults("program")
    ours.keep(scene(), {"settings": {}}, result)
    assert ours.read(scene(), {"settings": {}}, "b") == replace(result, config="b")
    assert ours.read(scene(), {"settings": {"detect_fps": "4"}}, "b") is None
    assert ours.read(replace(scene(), name="other"), {"settings": {}}, "b") is None
    assert VisitResults("another").read(scene(), {"settings": {}}, "b") is None
    (kept,) = tmp_path.rglob("*.json")
    kept.write_text("{", encoding="utf-8")
    assert ours.read(scene(), {"settings": {}}, "b") is None, "a damaged file is measured again"


def test_what_was_measured_before_is_reported_without_measuring(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DETECTOR_CACHE", str(tmp_path))
    monkeypatch.setenv("DETECTOR_MODELS", str(shared / "models"))
    arguments = ["--shared", str(shared), "--quick", "--configs", "default", "--kept"]
    assert main(arguments) == 1
    assert "nothing was measured before" in capsys.readouterr().err
    street = next(one for one in visit_scenes(shared, quick=True) if one.part == "judge")
    result = replace(made_result(visits=()), scene=street.name, condition=street.condition)
    VisitResults(program_key()).keep(street, {"settings": {}, "size": None}, result)
    assert main([*arguments, "--json", str(tmp_path / "out.json")]) == 0
    (row,) = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["summary"]
    assert (row["config"], row["scenes"], row["false_visits"]) == ("default", 1, 2)


def test_missed_targets_are_named_with_their_figures() -> None:
    missed = FoundVisit(height_px=14.0, found_after_s=None)
    (row,) = summarise([made_result(visits=(missed, replace(missed, height_px=80.0, found_after_s=0.2)))])
    assert missed_targets(row) == [
        "visits found, dusk, infrared, blurred, compressed, people of 12-16 px: 0 of 1 (0%), wanted 60%",
        "false visits where everybody is marked: 2 in 30 min, wanted 0.1 an hour",
    ]
    for false_visits, media_s, met in ((0, 1800.0, None), (0, 40000.0, True), (1, 40000.0, True), (1, 1800.0, False)):
        result = replace(made_result(visits=()), false_visits=false_visits, media_s=media_s)
        (row,) = summarise([result])
        assert target_rows(row)[-1].met is met, "minutes without a false visit do not show that there is none in hours"


def test_a_scene_is_measured_by_the_products_own_pipeline(shared: Path) -> None:
    detector = load_detector(path=shared / "models" / "yolox_nano.onnx", name="nano", threads=2)
    street = next(one for one in visit_scenes(shared, quick=True) if one.name == "vtest 50% in 1280x720")
    short = replace(street, pictures=lambda: islice(street.pictures(), 15))
    result = measure(_WholePictures(detector), short, VisitConfig(name="own"))
    detector.close()
    assert (result.config, result.media_s) == ("own", 1.5)
    assert 5 <= result.whole_runs <= 15
    assert result.false_visits is None


def made_result(*, visits: tuple[FoundVisit, ...]) -> SceneResult:
    return SceneResult(
        config="a",
        scene="s",
        part="judge",
        condition="dusk",
        visits=visits,
        false_visits=2,
        media_s=1800.0,
        split=1,
        merged=2,
        whole_runs=7,
        window_runs=3,
        model_s=1.5,
        cpu_s=0.5,
    )


def test_the_summary_counts_visits_by_height_and_condition() -> None:
    visits = (FoundVisit(height_px=14.0, found_after_s=None), FoundVisit(height_px=30.0, found_after_s=0.5))
    (row,) = summarise([made_result(visits=visits)])
    assert row["by_height"] == row["poor"] == {"12-16": (0, 1), "24-36": (1, 1)}
    assert row["clear"] == {}
    assert row["by_condition"] == {"dusk": (1, 2)}
    assert (row["median_s"], row["false_visits"], row["false_hours"], row["window_runs"]) == (0.5, 2, 0.5, 3)
    assert (row["split"], row["merged"], row["model_s"], row["cpu_s"]) == (1, 2, 1.5, 0.5)


def test_the_curves_have_a_point_for_each_height_with_visits_and_no_other() -> None:
    visits = (FoundVisit(height_px=14.0, found_after_s=None), FoundVisit(height_px=30.0, found_after_s=0.5))
    rows = summarise([made_result(visits=visits), replace(made_result(visits=visits[:1]), config="b<c")])
    drawn = ET.fromstring(curves(rows))
    circles = drawn.findall("{http://www.w3.org/2000/svg}circle")
    assert len(circles) == 2 + 1 + 2 + 2, "heights of both, their costs, the key"
    assert curves(rows) == curves(rows)
    assert [line.get("points") for line in drawn.iter("{http://www.w3.org/2000/svg}polyline")] == [
        "404.5,220.0 521.5,40.0",
        "404.5,220.0",
    ]


def test_the_results_page_shows_what_was_missed_and_writes_the_curves(tmp_path: Path) -> None:
    figures = {"summary": summarise([made_result(visits=(FoundVisit(height_px=14.0, found_after_s=None),))])}
    store = Store(tmp_path)
    store.put(SECTION, figures)
    store.render([SECTION])
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "people of 12-16 px | 60% | 0 of 1 (0%) | missed |" in page
    assert "people of 24 or more px | 90% | nobody of this height | too little to say |" in page
    assert "(visits.svg)" in page
    assert (tmp_path / "visits.svg").read_text(encoding="utf-8") == curves(figures["summary"])


@pytest.mark.parametrize(
    ("found", "there", "met"), [(19, 19, None), (20, 20, True), (19, 20, True), (18, 20, False), (0, 0, None)]
)
def test_a_few_visits_that_are_all_found_do_not_show_a_share(found: int, there: int, met: bool | None) -> None:
    assert _met(found, there, 0.95) is met
