"""Frigate's paths as its Home Assistant integration asks for them: a base address, and `/api/...` behind it."""

from __future__ import annotations

import base64
import json
import time

import pytest

from detector.config import document as config_file
from detector.service.frigate_config import frigate_config
from support.api import RunningApi, StartApi
from support.control import MemoryControl, event

PATHS = (
    "version", "config", "stats", "events", "events/summary", "events/{id}", "events/{id}/snapshot.jpg",
    "events/{id}/thumbnail.jpg", "porch/latest.jpg",
)  # fmt: skip


@pytest.fixture
def opened(window: StartApi) -> RunningApi:
    control = MemoryControl("porch", "drive")
    cameras = {name: {"source": "x"} for name in control.cameras}
    config = config_file.validate({"cameras": cameras, "mqtt": {"topic_prefix": "frigate"}})
    control.frigate = frigate_config(config, control.cameras)
    control.history = [
        event(0, start=5000.0, camera="porch", entered_zones=["garden"]),
        event(1, start=4000.0, camera="drive", entered_zones=[], end_time=None),
        event(2, start=3000.0, camera="porch", entered_zones=["path"], has_snapshot=False),
    ]
    return window(control=control)


def starts(opened: RunningApi, query: str) -> list[float]:
    answer = opened.client.get(f"/frigate/api/events?{query}")
    assert answer.status_code == 200, answer.text
    return [one["start_time"] for one in answer.json()]


def test_every_path_answers_and_none_while_it_is_off(opened: RunningApi, window: StartApi) -> None:
    found = opened.control.history[0]["id"]
    off = window(control=MemoryControl("porch"))
    for path in PATHS:
        address = "/frigate/api/" + path.format(id=found)
        assert opened.client.get(address).status_code == 200, address
        answer = off.client.get(address)
        assert answer.status_code == 404, address
        assert "mqtt.topic_prefix: frigate" in answer.json()["error"]


def test_they_need_the_token_and_take_it_as_a_password(window: StartApi) -> None:
    control = MemoryControl("porch")
    control.frigate = {}
    locked = window(token="correct-horse", control=control)
    assert locked.client.get("/frigate/api/config").status_code == 401
    assert locked.client.get("/frigate/api/config", auth=("frigate", "correct-horse")).status_code == 200


def test_the_version_is_plain_text_that_compares(opened: RunningApi) -> None:
    answer = opened.client.get("/frigate/api/version")
    assert answer.headers["content-type"].startswith("text/plain")
    assert tuple(map(int, answer.text.split("-")[0].split("."))) >= (0, 13)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [5000.0, 4000.0, 3000.0]),
        ("limit=2", [5000.0, 4000.0]),
        ("camera=drive", [4000.0]),
        ("cameras=porch,drive", [5000.0, 4000.0, 3000.0]),
        ("cameras=all&labels=all&zones=all", [5000.0, 4000.0, 3000.0]),
        ("camera=nowhere", []),
        ("label=car", []),
        ("labels=car,person", [5000.0, 4000.0, 3000.0]),
        ("zone=garden", [5000.0]),
        ("zones=path,garden", [5000.0, 3000.0]),
        ("after=3500", [5000.0, 4000.0]),
        ("before=4500&after=3500", [4000.0]),
        ("has_snapshot=1", [5000.0, 4000.0]),
        ("has_snapshot=0", [3000.0]),
        ("has_clip=1", []),
        ("in_progress=1", [4000.0]),
        ("in_progress=0&limit=1", [5000.0]),
        ("include_thumbnails=0&unknown=1", [5000.0, 4000.0, 3000.0]),
    ],
)
def test_events_are_filtered_as_frigate_filters_them(opened: RunningApi, query: str, expected: list[float]) -> None:
    assert starts(opened, query) == expected


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "after=-1", "has_clip=2", "before=nan"])
def test_nonsense_is_refused_by_name(opened: RunningApi, query: str) -> None:
    answer = opened.client.get(f"/frigate/api/events?{query}")
    assert answer.status_code == 422
    assert answer.json()["key"].split(".")[-1] == query.partition("=")[0]


def test_a_single_event_and_its_picture(opened: RunningApi) -> None:
    found = opened.control.history[0]["id"]
    assert opened.client.get(f"/frigate/api/events/{found}").json()["data"]["type"] == "object"
    assert opened.client.get(f"/frigate/api/events/{found}/snapshot.jpg").content[:2] == b"\xff\xd8"
    assert opened.client.get("/frigate/api/events/nothing/snapshot.jpg").status_code == 404
    assert opened.client.get(f"/frigate/api/events/{found}/clip.mp4").status_code == 404


def test_the_newest_picture_at_a_height(opened: RunningApi) -> None:
    answer = opened.client.get("/frigate/api/porch/latest.jpg?h=180&bbox=1&quality=70")
    assert answer.content[:2] == b"\xff\xd8"
    assert len(answer.content) < len(opened.client.get("/frigate/api/porch/latest.jpg").content)
    assert opened.client.get("/frigate/api/nowhere/latest.jpg").status_code == 404


def test_the_stats_and_the_summary_are_what_the_integration_reads(opened: RunningApi) -> None:
    stats = opened.client.get("/frigate/api/stats").json()
    assert float(stats["detection_fps"]) == pytest.approx(19.6)
    assert all(isinstance(one["inference_speed"], float) for one in stats["detectors"].values())
    assert {"camera_fps", "detection_fps", "process_fps", "skipped_fps"} <= stats["cameras"]["porch"].keys()
    summary = opened.client.get("/frigate/api/events/summary?has_snapshot=1").json()
    assert sum(one["count"] for one in summary) == 2
    assert {"camera", "day", "label", "zones", "count"} <= summary[0].keys()


def test_a_login_gives_what_the_integration_sends_from_then_on(window: StartApi) -> None:
    """It takes the cookie's value, reads when it ends (without checking it) and sends it as bearer token."""
    control = MemoryControl("porch")
    control.frigate = {}
    locked = window(token="correct-horse", control=control)
    login = "/frigate/api/login"
    assert locked.client.post(login, json={"user": "admin", "password": "wrong-horse"}).status_code == 401
    answer = locked.client.post(login, json={"user": "admin", "password": "correct-horse"})
    assert answer.status_code == 200
    name, _, token = answer.headers["set-cookie"].split(";")[0].partition("=")
    assert name == "frigate_token"
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["exp"] > time.time() + 3600
    locked.client.cookies.clear()
    bearer = {"Authorization": f"Bearer {token}"}
    assert locked.client.get("/frigate/api/config", headers=bearer).status_code == 200
    assert locked.client.get("/frigate/api/config").status_code == 401
    assert "correct-horse" not in token


def test_wrong_logins_are_counted_with_the_other_wrong_tokens(window: StartApi) -> None:
    control = MemoryControl("porch")
    control.frigate = {}
    locked = window(token="correct-horse", control=control)
    wrong = {"user": "admin", "password": "wrong-horse"}
    assert [locked.client.post("/frigate/api/login", json=wrong).status_code for _ in range(6)] == [*[401] * 5, 429]


def test_there_is_no_login_while_it_is_off(window: StartApi) -> None:
    off = window(token="correct-horse", control=MemoryControl("porch"))
    assert off.client.post("/frigate/api/login", json={"password": "correct-horse"}).status_code == 404


def test_what_the_card_asks_of_every_camera_and_is_not_here(opened: RunningApi) -> None:
    assert opened.client.get("/frigate/api/porch/ptz/info").json() == {"name": "porch", "features": [], "presets": []}
    for path in ("recordings?after=1&before=2", "recordings/summary?timezone=utc"):
        assert opened.client.get(f"/frigate/api/porch/{path}").json() == []
        assert opened.client.get(f"/frigate/api/nowhere/{path}").status_code == 404
