from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from detector.analytics.places import NOBODY
from detector.api.control import UnknownVisitError
from support.suppressing import JPEG, SEEN, Suppressing
from support.visits import WALL

OTHER = replace(SEEN, box=(0.6, 0.25, 0.7, 0.8))


@pytest.fixture
def given(tmp_path: Path) -> Suppressing:
    made = Suppressing(tmp_path)
    made.visit("1-a")
    return made


def test_a_visit_is_marked_as_nobody_and_listed(given: Suppressing) -> None:
    document = given.suppressions.ask("1-a")
    assert given.suppressions.list() == [document]
    assert (document["id"], document["camera"], document["event_id"]) == ("1-a", "porch", "1-a")
    assert (document["reason"], document["asked"], document["matches"]) == (NOBODY, True, 1)
    assert (document["box"], document["since"]) == ([0.2, 0.25, 0.3, 0.8], WALL)
    assert given.suppressions.picture("1-a") == JPEG + b"1-a"


def test_it_survives_a_restart_and_other_settings(given: Suppressing, tmp_path: Path) -> None:
    document = given.suppressions.ask("1-a")
    given.history.close()
    later = Suppressing(tmp_path, saved=json.loads(json.dumps(given.saved)))
    assert later.suppressions.list() == [document]
    assert later.suppressions.picture("1-a") == JPEG + b"1-a"
    (place,) = later.loop.places()["porch"]
    assert place.looks == (SEEN.look,)


def test_the_picture_outlasts_the_visits(given: Suppressing, tmp_path: Path) -> None:
    given.suppressions.ask("1-a")
    (tmp_path / "snapshots" / "1-a.jpg").unlink()
    assert given.suppressions.picture("1-a") == JPEG + b"1-a"


def test_undo_removes_it_and_its_picture_and_a_second_undo_does_nothing(given: Suppressing) -> None:
    given.suppressions.ask("1-a")
    assert given.suppressions.undo("1-a")
    assert given.suppressions.list() == []
    assert list(given.pictures.iterdir()) == []
    assert not given.suppressions.undo("1-a")
    assert given.suppressions.picture("1-a") is None
    given.suppressions.ask("1-a")
    assert len(given.suppressions.list()) == 1, "it may be marked again"


@pytest.mark.parametrize("event_id", ["unknown", "", "../../etc/passwd", "1-a/..", "\x00"])
def test_an_unknown_visit_is_refused(given: Suppressing, event_id: str) -> None:
    with pytest.raises(UnknownVisitError, match="no such visit"):
        given.suppressions.ask(event_id)
    assert given.suppressions.list() == []


def test_a_visit_of_a_camera_that_is_off_or_without_an_area_is_refused(given: Suppressing) -> None:
    given.visit("2-b", camera="attic")
    with pytest.raises(UnknownVisitError, match="camera attic is switched off"):
        given.suppressions.ask("2-b")
    given.visit("3-c", seen=replace(SEEN, box=(0.2, 0.2, 0.2, 0.8)))
    with pytest.raises(UnknownVisitError, match="no area"):
        given.suppressions.ask("3-c")


def test_a_visit_of_before_looks_were_kept_counts_by_its_place(given: Suppressing) -> None:
    given.visit("2-b", seen=None)
    assert given.suppressions.ask("2-b")["box"] == [
        round(10 / 64, 4),
        round(12 / 48, 4),
        round(20 / 64, 4),
        round(40 / 48, 4),
    ]
    assert given.loop.places()["porch"][0].looks == ()


def test_what_the_history_shows_has_no_look(given: Suppressing) -> None:
    assert "appearance" not in str(given.history.event("1-a"))
    assert "appearance" in str(given.history.recorded("1-a"))


def test_over_mqtt_the_latest_visit_that_alerted_can_be_meant(given: Suppressing) -> None:
    refused: list[str] = []
    given.visit("2-b", seen=OTHER, start_wall=WALL + 10)
    given.visit("3-c", alerted=False, start_wall=WALL + 20)
    given.suppressions.ask_soon("porch", "latest", refused=refused.append)
    assert [one["id"] for one in given.suppressions.list()] == ["2-b"]
    given.suppressions.ask_soon("porch", "1-a", refused=refused.append)
    assert len(given.suppressions.list()) == 2
    assert refused == []


@pytest.mark.parametrize(("camera", "word"), [("porch", "9-z"), ("attic", "1-a"), ("attic", "LATEST")])
def test_over_mqtt_nonsense_is_refused(given: Suppressing, camera: str, word: str) -> None:
    refused: list[str] = []
    given.suppressions.ask_soon(camera, word, refused=refused.append)
    assert len(refused) == 1
    assert given.suppressions.list() == []


def test_pictures_of_expired_ones_are_removed_and_those_of_other_cameras_are_not(given: Suppressing) -> None:
    given.suppressions.ask("1-a")
    (given.pictures / "of-attic.7-g.jpg").write_bytes(JPEG)
    assert given.loop.unsuppress("1-a"), "as if it had expired"
    given.visit("2-b", seen=OTHER)
    given.suppressions.ask("2-b")
    assert sorted(path.name for path in given.pictures.iterdir()) == ["of-attic.7-g.jpg", "of-porch.2-b.jpg"]
