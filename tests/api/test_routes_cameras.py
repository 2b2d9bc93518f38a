from __future__ import annotations

import cv2
import numpy as np
import pytest

from support.api import RunningApi, StartApi
from support.control import MemoryControl, camera_status


def decode(jpeg: bytes) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture


def green(picture: np.ndarray) -> int:
    """Pixels of the box's colour."""
    blue, bright, red = (picture[..., n].astype(int) for n in range(3))
    return int(((bright > 180) & (blue < 130) & (red < 120)).sum())


def test_the_newest_picture_with_and_without_boxes(free: RunningApi) -> None:
    answer = free.client.get("/api/cameras/porch/latest.jpg")
    assert answer.headers["content-type"] == "image/jpeg"
    assert int(answer.headers["x-frame-seq"]) > 0
    assert green(decode(answer.content)) > 500
    plain = free.client.get("/api/cameras/porch/latest.jpg", params={"boxes": "false"})
    assert green(decode(plain.content)) == 0


def test_the_picture_is_made_small_but_never_larger(free: RunningApi) -> None:
    small = free.client.get("/api/cameras/porch/latest.jpg", params={"width": 300})
    assert decode(small.content).shape == (180, 320, 3), "rounded up to a step of 160"
    large = free.client.get("/api/cameras/porch/latest.jpg", params={"width": 4000})
    assert decode(large.content).shape == (360, 640, 3)


@pytest.mark.parametrize("query", ["width=0", "width=99999", "width=wide", "boxes=perhaps"])
def test_bad_picture_parameters(free: RunningApi, query: str) -> None:
    answer = free.client.get(f"/api/cameras/porch/latest.jpg?{query}")
    assert answer.status_code == 422
    assert answer.json()["key"] == query.partition("=")[0]


def test_a_picture_that_the_viewer_has_is_not_sent_again(window: StartApi) -> None:
    control = MemoryControl()
    control.frozen = True
    client = window(control=control).client
    first = client.get("/api/cameras/porch/latest.jpg")
    again = client.get("/api/cameras/porch/latest.jpg", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    control.frozen = False
    control.seq += 5
    control.cameras["drive"] = camera_status()
    other = client.get("/api/cameras/drive/latest.jpg", headers={"If-None-Match": first.headers["etag"]})
    assert other.status_code == 200


@pytest.mark.parametrize("name", ["cellar", "..", "porch%00", "PORCH", "%2e%2e%2fporch"])
@pytest.mark.parametrize("what", ["latest.jpg", "stream.mjpg"])
def test_unknown_cameras_are_404(free: RunningApi, name: str, what: str) -> None:
    connection = free.raw()
    connection.request("GET", f"/api/cameras/{name}/{what}")
    answer = connection.getresponse()
    assert answer.status == 404
    assert answer.read().startswith(b'{"error"')
    connection.close()


def test_before_the_first_picture_the_viewer_is_told_to_wait(window: StartApi) -> None:
    opened = window()
    opened.control.cameras["porch"]["frames"] = None
    for what in ("latest.jpg", "stream.mjpg"):
        answer = opened.client.get(f"/api/cameras/porch/{what}")
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert "porch" in answer.json()["error"]


def test_detection_is_switched(window: StartApi) -> None:
    opened = window()
    answer = opened.client.post("/api/cameras/porch/detect", json={"enabled": False})
    assert answer.json() == {"camera": "porch", "enabled": False}
    assert opened.control.cameras["porch"]["detect_enabled"] is False
    assert opened.control.cameras["drive"]["detect_enabled"] is True
    assert opened.client.post("/api/cameras/cellar/detect", json={"enabled": True}).status_code == 404


@pytest.mark.parametrize(
    ("body", "key"),
    [({}, "enabled"), ({"enabled": "secret-text"}, "enabled"), ({"enabled": 1}, "enabled"),
     ({"enabled": True, "enbled": "secret-text"}, "enbled"), (["secret-text"], "")],
)  # fmt: skip
def test_a_bad_switch_names_the_key_and_not_the_value(free: RunningApi, body: object, key: str) -> None:
    answer = free.client.post("/api/cameras/porch/detect", json=body)
    assert answer.status_code == 422
    assert answer.json()["key"] == key
    assert "secret-text" not in answer.text
    assert free.control.cameras["porch"]["detect_enabled"] is True


@pytest.mark.parametrize(
    ("command", "state"), [("DISARM", "disarmed"), ("ARM_HOME", "armed_home"), ("ARM_AWAY", "armed_away")]
)
def test_the_alarm_is_armed_and_disarmed(window: StartApi, command: str, state: str) -> None:
    opened = window()
    assert opened.client.post("/api/alarm", json={"command": command}).json() == {"state": state}
    assert opened.control.alarm == state


@pytest.mark.parametrize("content", [b'{"command": "disarm"}', b'{"command": null}', b'"DISARM"'])
def test_an_unknown_command_changes_nothing(free: RunningApi, content: bytes) -> None:
    answer = free.client.post("/api/alarm", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert free.control.alarm == "armed_away"


@pytest.mark.parametrize("content", [b"{", b"", b"[" * 100_000, b"\xff"])
def test_a_command_that_is_no_json_is_refused(free: RunningApi, content: bytes) -> None:
    answer = free.client.post("/api/alarm", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == (422 if content == b"" else 400)
    assert answer.json()["error"]


def test_the_alarms_audit_list_says_who_and_from_where(window: StartApi) -> None:
    opened = window()
    assert opened.client.post("/api/alarm", json={"command": "DISARM"}).status_code == 200
    (entry,) = opened.client.get("/api/alarm/audit").json()
    assert (entry["command"], entry["by"]) == ("DISARM", "HTTP from 127.0.0.1")
    assert window(token="correct-horse").client.get("/api/alarm/audit").status_code == 401
