from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from support.api import RunningApi, StartApi
from support.control import MemoryControl, event

DAY = {"after": "1000000", "before": "1086400"}


def filled(count: int) -> MemoryControl:
    """`count` visits in one day, the newest first, and one of the next day."""
    control = MemoryControl()
    control.history = [
        event(n, start=1_000_100.0 + n * 60, alerts=[{"id": "a"}] if n % 2 else []) for n in range(count)
    ][::-1]
    control.history.insert(0, event(999, start=1_090_000.0))
    return control


def archive(opened: RunningApi, **more: str) -> zipfile.ZipFile:
    answer = opened.client.get("/api/events/export.zip", params={**DAY, **more})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"].startswith('attachment; filename="visits-19')
    return zipfile.ZipFile(io.BytesIO(answer.content))


def test_pages_are_turned_by_the_last_id_and_filters_choose(window: StartApi) -> None:
    opened = window(control=filled(7))

    def asked(**params: Any) -> list[str]:
        found = opened.client.get("/api/events", params={**DAY, **params}).json()
        return [visit["id"] for visit in found]

    everything = asked()
    assert len(everything) == 7
    first = asked(limit=3)
    assert first + asked(limit=100, before_id=first[-1]) == everything
    assert asked(alerted=True) == everything[1::2]
    assert asked(alerted=False) == everything[::2]
    assert asked(zone="shed") == []
    assert opened.client.get("/api/events", params={"before_id": "../x"}).status_code == 404


def test_a_visit_is_deleted_once_and_not_while_it_goes_on(window: StartApi) -> None:
    control = filled(2)
    control.history[0]["end_time"] = None
    opened = window(control=control)
    now, over = control.history[0]["id"], control.history[1]["id"]
    assert opened.client.delete(f"/api/events/{over}").status_code == 204
    assert opened.client.get(f"/api/events/{over}").status_code == 404
    assert opened.client.delete(f"/api/events/{over}").status_code == 404
    going = opened.client.delete(f"/api/events/{now}")
    assert (going.status_code, "not over yet" in going.json()["error"]) == (409, True)


def test_a_day_is_exported_whole_with_pictures_and_clips(window: StartApi, tmp_path: Path) -> None:
    control = filled(450)
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(bytes(range(256)) * 4096)
    with_clip, gone = control.history[5]["id"], control.history[6]["id"]
    control.clips = {with_clip: clip, gone: tmp_path / "removed.mp4"}
    found = archive(window(control=control))
    assert found.testzip() is None
    names = found.namelist()
    documents = [json.loads(found.read(name)) for name in names if name.endswith(".json")]
    assert [document["id"] for document in documents] == [visit["id"] for visit in control.history[1:]]
    assert sum(name.endswith(".jpg") for name in names) == 450
    (clip_name,) = [name for name in names if name.endswith(".mp4")]
    assert clip_name.endswith(f"_porch_{with_clip}.mp4")
    assert found.read(clip_name) == clip.read_bytes()


def test_an_export_takes_the_filters(window: StartApi) -> None:
    found = archive(window(control=filled(6)), alerted="true", camera="porch")
    assert sum(name.endswith(".json") for name in found.namelist()) == 3
    assert archive(window(control=filled(6)), camera="drive").namelist() == []


def test_an_export_needs_its_bounds_and_the_token(window: StartApi) -> None:
    opened = window(token="correct-horse")
    assert opened.client.get("/api/events/export.zip", params=DAY).status_code == 401
    signed = {"Authorization": "Bearer correct-horse"}
    assert opened.client.get("/api/events/export.zip", headers=signed).status_code == 422
    assert opened.client.delete("/api/events/x").status_code == 401
