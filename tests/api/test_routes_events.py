from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detector.api.control import Document
from support.api import RunningApi, StartApi
from support.control import MemoryControl, event


def test_the_history_is_listed_newest_first(free: RunningApi) -> None:
    answer = free.client.get("/api/events")
    assert answer.json() == free.control.history


def test_filters(window: StartApi) -> None:
    opened = window()
    opened.control.history = [
        event(n, start=1_700_000_000.0 - n, camera="porch" if n % 2 else "drive") for n in range(6)
    ]

    def ids(**query: Any) -> list[str]:
        return [found["id"] for found in opened.client.get("/api/events", params=query).json()]

    every = [found["id"] for found in opened.control.history]
    assert ids(camera="porch") == every[1::2]
    assert ids(limit=2) == every[:2]
    assert ids(after=1_699_999_997.5) == every[:3]
    moment = datetime.fromtimestamp(1_699_999_997.5, timezone.utc)
    assert ids(after=moment.isoformat()) == every[:3]
    assert ids(after=moment.replace(tzinfo=None).isoformat()) == every[:3], "no zone is UTC"
    assert ids(camera="gone") == []


@pytest.mark.parametrize(
    ("query", "key"),
    [("limit=0", "limit"), ("limit=1001", "limit"), ("limit=many", "limit"), ("after=soon", "after"),
     ("after=nan", "after"), ("camera=../etc", "camera"), ("camera=UP", "camera"), ("camera=", "camera")],
)  # fmt: skip
def test_a_bad_filter_is_named_and_not_echoed(free: RunningApi, query: str, key: str) -> None:
    answer = free.client.get(f"/api/events?{query}")
    assert answer.status_code == 422
    assert answer.json()["key"] == key
    assert "etc" not in answer.text


def test_one_event_and_its_picture(free: RunningApi) -> None:
    known = free.control.history[0]
    assert free.client.get(f"/api/events/{known['id']}").json() == known
    answer = free.client.get(f"/api/events/{known['id']}/snapshot.jpg")
    assert answer.headers["content-type"] == "image/jpeg"
    picture = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (360, 640, 3)


class Asked(MemoryControl):
    """Remembers which events it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def event(self, event_id: str) -> Document | None:
        self.asked.append(event_id)
        return super().event(event_id)


@pytest.mark.parametrize(
    "name",
    ["nobody", "..", "%2e%2e", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "..%2f..%2fapi", "a%00b", "a%20b", "-rf", ".hidden",
     "a..b", "x" * 129, "%ff", "'%20or%201=1"],
)  # fmt: skip
def test_unknown_and_hostile_ids_are_404_and_never_reach_the_service(window: StartApi, name: str) -> None:
    control = Asked()
    opened = window(control=control)
    for path in (f"/api/events/{name}", f"/api/events/{name}/snapshot.jpg"):
        # http.client sends the path as it is; httpx would tidy it up.
        connection = opened.raw()
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        assert answer.status == 404
        assert body.startswith(b'{"error"')
    assert set(control.asked) <= {"nobody"}


@pytest.fixture
def film(window: StartApi, tmp_path: Path) -> tuple[RunningApi, str, bytes]:
    """A server with one clip, its path, and its content."""
    control = MemoryControl()
    name, content = control.history[0]["id"], bytes(range(256)) * 40
    control.clips[name] = tmp_path / "clip.mp4"
    control.clips[name].write_bytes(content)
    return window(control=control), f"/api/events/{name}/clip.mp4", content


@pytest.mark.parametrize(
    ("asked", "first", "last"), [("bytes=0-0", 0, 0), ("bytes=-5", 10_235, 10_239), ("bytes=10000-", 10_000, 10_239),
                                 ("bytes=5-999999", 5, 10_239)],
)  # fmt: skip
def test_a_part_of_a_clip(film: tuple[RunningApi, str, bytes], asked: str, first: int, last: int) -> None:
    running, path, content = film
    answer = running.client.get(path, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (206, content[first : last + 1])
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(content)}"
    assert answer.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    "asked", ["bytes=5-2", "bytes=99999-", "bytes=x-y", "lines=1-2", "bytes=", "bytes=" + ",".join(["0-"] * 1500),
              "bytes=" + ",".join(f"{k}-{k}" for k in range(0, 3000, 2))],
)  # fmt: skip
def test_odd_ranges_of_a_clip_are_answered_at_once_and_the_server_lives(
    film: tuple[RunningApi, str, bytes], asked: str
) -> None:
    running, path, content = film
    answer = running.client.get(path, headers={"Range": asked})
    assert answer.status_code in (200, 206, 400, 416, 431)
    assert len(answer.content) < 60 * len(content), "a small question gets no huge answer"
    assert running.client.get(path).content == content
