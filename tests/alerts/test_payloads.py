"""Documents as a subscriber sees them, held against the published schemas."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from detector.alerts.payloads import (
    alert_payload,
    encode,
    event_payload,
    parse_timestamp,
    pixel_box,
    published,
    stamp_published,
    timestamp,
    unseen_event,
)
from detector.core.types import EventChange
from support.schemas import load_schema
from support.visits import WALL, alert, event, frame

ALERT_FIELDS = [
    "id",
    "seq",
    "event_id",
    "device",
    "camera",
    "zones",
    "score",
    "box",
    "frame_size",
    "repeat",
    "since_last",
    "clock_synced",
    "captured_at",
    "confirmed_at",
    "published_at",
    "latency_ms",
    "replayed",
    "snapshot",
    "snapshot_url",
    "clip",
    "clip_url",
]
ALERT = Draft202012Validator(load_schema("alert"))
EVENT = Draft202012Validator(load_schema("event"))
any_float = st.floats(allow_nan=True, allow_infinity=True)
boxes = st.tuples(any_float, any_float, any_float, any_float)


def sent_alert() -> dict[str, Any]:
    return published(alert_payload(alert(), device="front-yard", seq=5), wall=WALL + 0.2)


def changed(**after: Any) -> dict[str, Any]:
    kind: Any = after.pop("type", "update")
    change = EventChange(type=kind, before=event(), after=event(**after), frame=frame())
    return event_payload(change, device="front-yard")


def mutations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """`document` with each field, at every depth, missing, renamed or of another kind."""
    for name, value in document.items():
        without = {key: kept for key, kept in document.items() if key != name}
        yield without
        yield without | {name + "_": value}
        yield document | {name: {"no": "such thing"}}
        if isinstance(value, dict):
            for inner in mutations(value):
                yield document | {name: inner}


@pytest.mark.parametrize("name", ["alert", "event"])
def test_the_schemas_are_schemas(name: Any) -> None:
    Draft202012Validator.check_schema(load_schema(name))


def test_an_alert_has_the_contracts_fields_and_values() -> None:
    document = sent_alert()
    assert list(document) == ALERT_FIELDS
    assert document == {
        "id": "5f0c3b1e-0000-5000-8000-000000000001",
        "seq": 5,
        "event_id": "1790000000.250000-abc123",
        "device": "front-yard",
        "camera": "porch",
        "zones": ["garden"],
        "score": 0.8765,
        "box": [10, 13, 20, 40],
        "frame_size": [64, 48],
        "repeat": 0,
        "since_last": {"people": 0, "events": []},
        "clock_synced": True,
        "captured_at": "2026-09-21T14:13:20.250Z",
        "confirmed_at": "2026-09-21T14:13:20.375Z",
        "published_at": "2026-09-21T14:13:20.450Z",
        "latency_ms": {"capture_to_confirm": 125.0, "confirm_to_publish": 75.0, "total": 200.0},
        "replayed": False,
        "snapshot": "/api/events/1790000000.250000-abc123/snapshot.jpg",
        "snapshot_url": None,
        "clip": None,
        "clip_url": None,
    }
    ALERT.validate(document)


def test_every_mutation_of_an_alert_is_refused() -> None:
    bad = [one for one in mutations(sent_alert()) if ALERT.is_valid(one)]
    assert bad == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("score", 1.01),
        ("score", -0.1),
        ("seq", 1.5),
        ("seq", -1),
        ("box", [1, 2, 3]),
        ("box", [1, 2, 3, -4]),
        ("box", [1.5, 2, 3, 4]),
        ("frame_size", [0, 48]),
        ("captured_at", "2026-09-21T14:13:20Z"),
        ("captured_at", "2026-09-21T14:13:20.250+00:00"),
        ("published_at", None),
        ("replayed", 0),
        ("snapshot", "/etc/passwd"),
        ("snapshot_url", "/api/events/a/snapshot.jpg"),
        ("snapshot_url", f"ftp://h/api/events/a/snapshot.jpg?expires=1&signature={'0' * 32}"),
        ("snapshot_url", f"/api/events/a/snapshot.jpg?expires=x&signature={'0' * 32}"),
        ("clip", "/etc/passwd"),
        ("clip", True),
        ("clip_url", "/api/events/a/clip.mp4"),
        ("clip_url", f"/api/events/a/snapshot.jpg?expires=1&signature={'0' * 32}"),
        ("zones", ["garden", "garden"]),
        ("camera", "Front door"),
    ],
)
def test_wrong_values_in_an_alert_are_refused(field: str, value: Any) -> None:
    assert not ALERT.is_valid(sent_alert() | {field: value})


def test_a_stored_alert_is_finished_when_it_is_sent() -> None:
    stored = alert_payload(alert(), device="d", seq=1)
    assert stored["published_at"] is None
    assert not ALERT.is_valid(stored)
    text = encode(stored)
    late = json.loads(stamp_published(text, wall=WALL + 3600.125, replayed=True))
    assert list(late) == ALERT_FIELDS
    assert late == published(stored, wall=WALL + 3600.125, replayed=True)
    assert late["replayed"] is True
    assert late["latency_ms"] == {"capture_to_confirm": 125.0, "confirm_to_publish": 3_600_000.0, "total": 3_600_125.0}
    ALERT.validate(late)
    again = json.loads(stamp_published(encode(late), wall=WALL + 0.125, replayed=False))
    assert again["latency_ms"]["total"] == 125.0


def test_an_alert_names_its_clip_once_it_exists_and_where_it_will_be() -> None:
    stored = alert_payload(alert(), device="d", seq=1, with_clip=True)
    path = stored["clip"]

    def signed(text: str) -> str:
        return f"https://yard.example{text}?expires=1&signature={'0' * 32}"

    live = json.loads(stamp_published(encode(stored), wall=WALL + 1, replayed=False, snapshot_url=signed))
    assert (live["clip"], live["clip_url"]) == (None, signed(path))
    late = json.loads(
        stamp_published(
            encode(stored), wall=WALL + 90, replayed=True, snapshot_url=signed, clip_exists=lambda one: one == path
        )
    )
    assert (late["clip"], late["clip_url"]) == (path, signed(path))
    ALERT.validate(live)
    ALERT.validate(late)
    none = json.loads(stamp_published(encode(alert_payload(alert(), device="d", seq=1)), wall=WALL, replayed=False))
    assert none["clip"] is none["clip_url"] is None


def test_an_alert_that_an_earlier_version_stored_is_sent_too() -> None:
    stored = alert_payload(alert(), device="d", seq=1)
    del stored["clip"], stored["clip_url"]
    ALERT.validate(json.loads(stamp_published(encode(stored), wall=WALL + 1, replayed=True)))


@given(zone=st.text(), wall=st.floats(min_value=0, max_value=4e9))
def test_a_stamp_is_written_where_it_belongs_whatever_the_document_says(zone: str, wall: float) -> None:
    stored = alert_payload(alert(zones=(zone, ',"confirmed_at":"x"')), device=',"confirmed_at":', seq=1)
    stamped = stamp_published(encode(stored), wall=wall, replayed=True)
    assert json.loads(stamped) == published(stored, wall=wall, replayed=True)


@pytest.mark.parametrize(
    "text", [b"{}", b'{"a":1,"confirmed_at":3}', b'{"a":1,"confirmed_at":"2026-09-21T14:13:20Z"}', b""]
)
def test_a_stamp_on_what_is_no_alert_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"not an alert|not found"):
        stamp_published(text, wall=WALL, replayed=False)


def test_a_visit_known_by_its_alert_alone_looks_like_any_other() -> None:
    found = unseen_event(sent_alert())
    EVENT.validate({"type": "new", "before": found, "after": found})
    assert (found["id"], found["start_time"]) == ("1790000000.250000-abc123", WALL)


def test_a_clock_set_back_gives_no_negative_latency() -> None:
    document = published(alert_payload(alert(confirmed_mono=99.0), device="d", seq=1), wall=WALL - 50)
    assert document["latency_ms"] == {"capture_to_confirm": 0.0, "confirm_to_publish": 0.0, "total": 0.0}
    ALERT.validate(document)


@given(box=boxes, score=any_float, confirmed=any_float, wall=any_float)
def test_whatever_comes_in_the_alert_is_valid(
    box: tuple[float, float, float, float], score: float, confirmed: float, wall: float
) -> None:
    made = alert(box=box, score=score, confirmed_mono=confirmed)
    document = json.loads(stamp_published(encode(alert_payload(made, device="d", seq=1)), wall=wall, replayed=False))
    ALERT.validate(document)
    x1, y1, x2, y2 = document["box"]
    assert 0 <= x1 <= x2 <= 64
    assert 0 <= y1 <= y2 <= 48


def test_an_events_fields_are_frigates() -> None:
    document = changed(box=(20.0, 40.0, 10.2, -3.0), top_score=0.7)
    EVENT.validate(document)
    after = document["after"]
    assert (after["box"], after["area"], after["ratio"]) == ([10, 0, 20, 40], 400, 0.25)
    assert (after["score"], after["top_score"]) == (0.8, 0.8)  # the top is never below what is seen now
    assert (after["region"], after["frame_size"]) == ([0, 0, 64, 48], [64, 48])
    assert (after["start_time"], after["frame_time"], after["end_time"]) == (WALL, WALL + 1, None)
    assert (after["current_zones"], after["entered_zones"]) == (["garden"], ["garden", "path"])
    assert (after["label"], after["device"], after["active"]) == ("person", "front-yard", True)
    assert document["before"]["box"] == [10, 12, 20, 40]


@pytest.mark.parametrize(
    ("values", "active"),
    [({}, True), ({"stationary": True}, False), ({"type": "end", "end_wall": WALL + 9}, False)],
)
def test_active_means_moving_and_present(values: dict[str, Any], *, active: bool) -> None:
    document = changed(**values)
    EVENT.validate(document)
    assert document["after"]["active"] is active


def test_a_box_without_height_has_no_ratio() -> None:
    document = changed(box=(3.0, 9.0, 8.0, 9.0))
    EVENT.validate(document)
    assert (document["after"]["ratio"], document["after"]["area"]) == (0.0, 0)


def test_every_mutation_of_an_event_is_refused() -> None:
    bad = [one for one in mutations(changed()) if EVENT.is_valid(one)]
    assert bad == []


def test_the_type_and_the_end_time_agree() -> None:
    assert not EVENT.is_valid(changed(type="end"))
    assert not EVENT.is_valid(changed(end_wall=WALL))


@given(box=boxes, score=any_float, top=any_float, wall=any_float)
def test_whatever_comes_in_the_event_is_valid(
    box: tuple[float, float, float, float], score: float, top: float, wall: float
) -> None:
    document = changed(box=box, score=score, top_score=top, frame_wall=wall, start_wall=wall)
    EVENT.validate(json.loads(encode(document)))


@given(boxes)
def test_a_pixel_box_is_ordered_and_inside(box: tuple[float, float, float, float]) -> None:
    x1, y1, x2, y2 = pixel_box(box, (640, 480))
    assert 0 <= x1 <= x2 <= 640
    assert 0 <= y1 <= y2 <= 480


@given(st.floats(min_value=0, max_value=4e9))
def test_timestamps_keep_milliseconds(wall: float) -> None:
    assert parse_timestamp(timestamp(wall)) == pytest.approx(wall, abs=0.000501)


@pytest.mark.parametrize(
    ("wall", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1.9996, "1970-01-01T00:00:02.000Z"),
        (-5.0, "1970-01-01T00:00:00.000Z"),
        (math.nan, "1970-01-01T00:00:00.000Z"),
        (1e30, "9999-12-31T23:59:59.000Z"),
    ],
)
def test_timestamps_at_the_edges(wall: float, text: str) -> None:
    assert timestamp(wall) == text


def test_encoding_is_compact_and_refuses_what_json_cannot_say() -> None:
    assert encode({"b": [1, 2.5], "a": "Tür"}) == '{"b":[1,2.5],"a":"Tür"}'.encode()
    with pytest.raises(ValueError, match="JSON"):
        encode({"x": math.nan})
