from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import yaml

from bench.evidence import _Recorded, main, summary
from bench.evidence_looks import TrackLooks, confirmed_by_frames, highest_sums, record
from bench.results import _measured
from bench.sections.evidence import SECTION
from bench.visit_scenes import visit_scenes
from detector.analytics.evidence import EvidenceLook
from detector.inference.factory import load_detector
from support.evidence import made_curves

ENGINES = Path(__file__).resolve().parents[2] / "engines"
TARGET = {"model": "yolox-tiny-person"}


def looked_at(key: int, *scores: float, person: bool | None = True, dark: bool = False) -> TrackLooks:
    """A track that walks to the right, 40 px tall in the picture, 15 in the model's input."""
    looks = tuple(
        EvidenceLook(
            track_id=key,
            mono=k / 10,
            box=(100.0 * key + 8.0 * k, 100.0, 100.0 * key + 8.0 * k + 16.0, 140.0),
            score=score,
            height=15.0,
            dark=dark,
            total=0.0,
            bar=math.inf,
        )
        for k, score in enumerate(scores)
    )
    return TrackLooks(person=person, size=(1280, 720), looks=looks)


def test_looks_are_counted_by_light_height_and_score_where_it_is_known_whose_they_are() -> None:
    tracks = [
        looked_at(1, 0.85, 0.85, 0.0),
        looked_at(2, 0.15, 0.35, person=False, dark=True),
        looked_at(3, 0.9, person=None),
    ]
    document = summary([_Recorded(scene="a", tracks=tracks)])
    assert document["bright"][2] == [[1, 0], *[[0, 0]] * 6, [2, 0]]
    assert document["dark"][2] == [[0, 0], [0, 1], [0, 1], *[[0, 0]] * 5]
    assert document["tracks"]["all"] == {"people": 1, "nobody": 1}


def test_only_a_tracks_first_seconds_count() -> None:
    document = summary([_Recorded(scene="a", tracks=[looked_at(1, *[0.85] * 100)])])
    assert document["bright"][2][7] == [31, 0]


def test_the_bar_lets_no_more_of_nobody_through_than_the_frames_rule() -> None:
    people = [looked_at(key, *[0.45] * 20) for key in range(1, 6)]
    nobody = [looked_at(key, *[0.45] * 8, person=False) for key in range(1, 4)]
    document = summary([_Recorded(scene="a", tracks=people), _Recorded(scene="b", tracks=nobody)])
    assert document["bar"] >= round(math.log(100), 2)
    assert document["tracks"]["frames"] == {"people": 0, "nobody": 0}
    assert document["tracks"]["evidence"]["nobody"] == 0


def test_the_frames_rule_is_three_of_six_with_the_last_among_them() -> None:
    assert confirmed_by_frames(looked_at(1, 0.5, 0.1, 0.5, 0.1, 0.1, 0.5))
    assert not confirmed_by_frames(looked_at(1, 0.5, 0.1, 0.5, 0.1, 0.1, 0.1, 0.5))
    assert not confirmed_by_frames(looked_at(1, *[0.49] * 50))


def test_sums_are_the_products_own() -> None:
    sure, weak = looked_at(1, *[0.85] * 10), looked_at(2, *[0.15] * 10, person=False)
    highest = highest_sums([sure, weak], made_curves())
    assert highest[sure] >= math.log(100) > highest[weak]


def test_a_record_is_what_it_was_read_from() -> None:
    track = looked_at(1, 0.85, 0.0)
    again = TrackLooks.read(track.document())
    assert (again.person, again.size, again.looks) == (track.person, track.size, track.looks)


def test_a_scenes_looks_know_whether_they_are_at_people(shared: Path) -> None:
    detector = load_detector(path=shared / "models" / "yolox_nano.onnx", name="nano", threads=2)
    street = next(one for one in visit_scenes(shared, quick=True) if one.name == "vtest 50% in 1280x720")
    tracks = record(replace(street, pictures=lambda: islice(street.pictures(), 15)), detector)
    detector.close()
    assert any(track.person for track in tracks)
    assert not any(track.person is False for track in tracks), "not everybody is marked"
    assert all(look.bar == math.inf for track in tracks for look in track.looks)


def test_the_counts_go_into_the_registry_and_stay_when_it_is_written_again() -> None:
    figures = {**summary([_Recorded(scene="a", tracks=[looked_at(1, 0.85)])]), **TARGET}
    text = (ENGINES / "models.yaml").read_text(encoding="utf-8")
    models = {
        "environment": {"machine": "here"},
        "figures": {
            name: {"accuracy": {"ap50": 0.5, "ap": 0.4}, "speed": {"stages": {"infer": {"p50": 3.0}}}}
            for name in yaml.safe_load(text)["models"]
        },
    }
    written = yaml.safe_load(_measured(text, models, {"figures": figures}))["models"]
    assert written["yolox-tiny-person"]["measured"]["evidence"]["bar"] == figures["bar"]
    assert "evidence" not in written["yolov10n"]["measured"]


def test_the_page_shows_precision_by_height_and_both_rules() -> None:
    tracks = [looked_at(1, *[0.85] * 4), looked_at(2, 0.85, 0.15, person=False)]
    page = "\n".join(SECTION.render(summary([_Recorded(scene="a", tracks=tracks)])))
    assert "| bright, 12-20 |  | 0.00 (1) |" in page
    assert "0.80 (5) |" in page
    assert "three frames of 0.5 1 of 1 people, 0 of 1 that are nobody" in page


def test_without_clips_or_records_it_says_what_to_do(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--shared", str(tmp_path)]) == 1
    assert "give --shared or set DETECTOR_SHARED" in capsys.readouterr().err
    monkeypatch.setenv("DETECTOR_CACHE", str(tmp_path))
    monkeypatch.setenv("DETECTOR_MODELS", str(shared / "models"))
    assert main(["--shared", str(shared), "--kept"]) == 1
    assert "nothing was looked at before" in capsys.readouterr().err
