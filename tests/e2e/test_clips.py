"""Clips by the real service: of files, of RTSP cameras, of a second stream; played, asked for in parts, killed."""

from __future__ import annotations

import io
import json
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import jsonschema
import pytest

from support.browser import Browser, needs_browser
from support.clip_server import ClipServer
from support.mjpeg_server import MjpegServer
from support.mosquitto import Mosquitto, RecordingSubscriber
from support.program import Program
from support.rtsp_server import RtspServer, why_not
from support.schemas import load_schema

# Coding the H.265 clip alone takes half a minute on a busy machine.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
CLIP = {"enabled": True, "pre_s": 2, "post_s": 3}


def config(model: Path, broker: Mosquitto, source: str, **camera: Any) -> dict[str, Any]:
    settings = {"source": source, "alert": {"cooldown_s": 600}, "clip": CLIP, **camera}
    return {
        "device": {"id": "test"},
        "model": {"name": str(model)},
        "cameras": {"door": settings},
        "mqtt": {"broker": f"mqtt://127.0.0.1:{broker.port}"},
    }


def first_alert(subscriber: RecordingSubscriber) -> dict[str, Any]:
    heard = subscriber.wait_for(lambda all_heard: any(h.topic == "detector/alerts" for h in all_heard))
    alert: dict[str, Any] = json.loads(next(h.payload for h in heard if h.topic == "detector/alerts"))
    jsonschema.validate(alert, load_schema("alert"))
    return alert


def wait_clip(program: Program, event_id: str) -> dict[str, Any]:
    def event() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(program.get(f"/api/events/{event_id}")[1])
        return found

    program.wait_for(lambda: event().get("has_clip"), "the clip")
    return event()


def probe(data: bytes) -> tuple[str, tuple[int, int], float, int]:
    """(codec, size, seconds, pictures), by decoding all of it."""
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        assert stream.duration is not None
        assert stream.time_base is not None
        context = stream.codec_context
        size = (context.width, context.height)
        return context.name, size, float(stream.duration * stream.time_base), sum(1 for _ in container.decode(stream))


def test_an_alert_has_a_clip_in_the_api_in_parts_and_by_a_signed_address(
    tmp_path: Path, model: Path, clip: Path, broker: Mosquitto
) -> None:
    subscriber = RecordingSubscriber(broker.port)
    token = {"api": {"token": "a-token-of-the-tests"}}
    with Program(tmp_path / "run", {**config(model, broker, str(clip), loop=True), **token}) as program:
        alert = first_alert(subscriber)
        assert alert["clip"] is None, "not before it exists"
        path = f"/api/events/{alert['event_id']}/clip.mp4"
        assert alert["clip_url"].startswith(f"{path}?expires=")
        assert program.get(path)[0] == 401
        login = {"X-API-Key": "a-token-of-the-tests"}
        assert program.get(path, headers=login)[0] in (200, 404), "404 while it is being written"
        heard = subscriber.wait_for(lambda all_heard: any(h.topic == "detector/clips" for h in all_heard))
        ready = json.loads(next(h.payload for h in heard if h.topic == "detector/clips"))
        jsonschema.validate(ready, load_schema("clip"))
        assert (ready["event_id"], ready["clip"]) == (alert["event_id"], path)
        event = json.loads(program.get(f"/api/events/{alert['event_id']}", headers=login)[1])
        assert (event["has_clip"], event["clip"], event["alerts"][0]["clip"]) == (True, path, path)
        code, whole = program.get(path, headers=login)
        assert code == 200
        codec, size, seconds, pictures = probe(whole)
        assert (codec, size) == ("h264", (640, 272))
        assert 4.5 <= seconds <= 5.5 + 10.0, "from the last key frame on"
        assert pictures >= 4.5 * 25
        assert seconds == pytest.approx(ready["duration_s"], abs=0.2)
        code, part = program.get(path, headers={**login, "Range": "bytes=100-299"})
        assert (code, part) == (206, whole[100:300])
        assert program.get(path, headers={**login, "Range": f"bytes={len(whole)}-"})[0] == 416
        assert program.get(path, headers=login, method="HEAD") == (200, b"")
        assert program.get(alert["clip_url"]) == (200, whole), "needs no token"
        assert program.get(alert["clip_url"][:-1] + "x")[0] == 403
        assert program.get(alert["clip_url"].replace("clip.mp4", "snapshot.jpg"))[0] == 403
        clips = json.loads(program.get("/api/status", headers=login)[1])["clips"]
        assert clips["written"] >= 1
        assert clips["failed"] == 0
        assert clips["bytes"] >= len(whole)
        assert clips["recording"]["door"]["codec"] == "h264"
        assert program.stop() == 0
        file = tmp_path / "run" / "data" / "clips" / f"{alert['event_id']}.mp4"
        assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_of_an_rtsp_camera_and_of_its_second_larger_stream(
    tmp_path: Path, model: Path, clip: Path, broker: Mosquitto
) -> None:
    subscriber = RecordingSubscriber(broker.port)
    with ClipServer(clip) as small, RtspServer(width=960, height=540, user="cam", password="p@ss-word9") as large:
        both = config(model, broker, small.url, record_source=large.url)
        with Program(tmp_path / "run", both) as program:
            alert = first_alert(subscriber)
            event = wait_clip(program, alert["event_id"])
            codec, size, seconds, _ = probe(program.get(event["clip"])[1])
            assert (codec, size) == ("h264", (960, 540))
            assert 3.0 <= seconds <= 7.0
            assert program.status()["clips"]["recording"]["door"]["second_stream"]
            large.kill()
            program.wait_for(lambda: any("no clips" in p for p in program.status()["problems"]), "the problem")
            text = program.log() + json.dumps(program.status())
            assert "p@ss-word9" not in text
            assert "p%40ss-word9" not in text
            assert program.status()["cameras"]["door"]["state"] == "online", "detection goes on"
            large.start()
            program.wait_for(lambda: not any("no clips" in p for p in program.status()["problems"]), "its return")
            assert program.stop() == 0


def as_hevc(clip: Path, path: Path) -> Path:
    """The pictures of `clip` in H.265, as a camera codes: no B-frames, a key frame every second."""
    options = {"preset": "ultrafast", "x265-params": "bframes=0:keyint=25:log-level=none"}
    with av.open(str(clip)) as source, av.open(str(path), "w") as container:
        stream = container.add_stream("libx265", rate=25, options=options)
        taken = source.streams.video[0].codec_context
        stream.width, stream.height, stream.pix_fmt = taken.width, taken.height, "yuv420p"
        for number, frame in enumerate(source.decode(video=0)):
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_of_an_h265_camera(tmp_path: Path, model: Path, clip: Path, broker: Mosquitto) -> None:
    subscriber = RecordingSubscriber(broker.port)
    with (
        ClipServer(as_hevc(clip, tmp_path / "hevc.mp4"), codec="h265") as camera,
        Program(tmp_path / "run", config(model, broker, camera.url)) as program,
    ):
        event = wait_clip(program, first_alert(subscriber)["event_id"])
        data = program.get(event["clip"])[1]
        codec, size, seconds, pictures = probe(data)
        assert (codec, size) == ("hevc", (640, 272))
        assert b"hvc1" in data, "Safari plays no hev1"
        assert data.index(b"moov") < data.index(b"mdat"), "it can be played while it loads"
        assert 3.0 <= seconds <= 7.0
        assert pictures >= 3.0 * 20
        assert program.stop() == 0


def test_of_a_second_stream_of_jpeg_pictures(tmp_path: Path, model: Path, clip: Path, broker: Mosquitto) -> None:
    subscriber = RecordingSubscriber(broker.port)
    with MjpegServer(width=800, height=600, fps=10.0, user="cam", password="p@ss-word9") as second:
        both = config(model, broker, str(clip), loop=True, record_source=second.url)
        with Program(tmp_path / "run", both) as program:
            event = wait_clip(program, first_alert(subscriber)["event_id"])
            codec, size, seconds, pictures = probe(program.get(event["clip"])[1])
            assert (codec, size) == ("mjpeg", (800, 600))
            assert 3.0 <= seconds <= 7.0
            assert pictures >= 20
            assert program.status()["clips"]["recording"]["door"]["second_stream"]
            assert "p@ss-word9" not in program.log()
            assert program.stop() == 0


@needs_browser
def test_a_browser_plays_it_from_the_page_and_seeks(tmp_path: Path, model: Path, clip: Path, broker: Mosquitto) -> None:
    subscriber = RecordingSubscriber(broker.port)
    with Program(tmp_path / "run", config(model, broker, str(clip), loop=True)) as program:
        wait_clip(program, first_alert(subscriber)["event_id"])
        browser = Browser(tmp_path / "profile")
        try:
            page = browser.page(f"http://127.0.0.1:{program.port}/")
            page.until("[...document.querySelectorAll('.play')].some(b => b.offsetParent)")
            page.run("[...document.querySelectorAll('.play')].find(b => b.offsetParent).click()")
            page.until("document.querySelector('#viewer video').videoWidth === 640")
            page.until("document.querySelector('#viewer video').currentTime > 0.1")
            page.run("document.querySelector('#viewer video').currentTime = 3")  # asks for a range
            page.until("document.querySelector('#viewer video').currentTime > 3")
            assert page.complaints() == []
        finally:
            browser.close()
        assert program.stop() == 0


def test_sigkill_while_writing_leaves_no_torn_file(tmp_path: Path, model: Path, clip: Path, broker: Mosquitto) -> None:
    subscriber = RecordingSubscriber(broker.port)
    long = config(model, broker, str(clip), loop=True)
    long["cameras"]["door"]["clip"] = {"pre_s": 2, "post_s": 60}
    with Program(tmp_path / "run", long) as program:
        alert = first_alert(subscriber)
        folder = tmp_path / "run" / "data" / "clips"
        program.wait_for(lambda: list(folder.glob("*.part")), "the unfinished file")
        time.sleep(0.5)
        program.kill()
        assert list(folder.glob("*.part"))
        assert not list(folder.glob("*.mp4"))
        program.start()
        program.wait_ready()
        program.wait_for(lambda: "not finished" in program.log(), "the line")
        assert not (folder / f"{alert['event_id']}.mp4.part").exists()
        assert json.loads(program.get(f"/api/events/{alert['event_id']}")[1])["has_clip"] is False
        program.wait_for(lambda: list(folder.glob("*.part")), "the next clip")
        assert program.stop() == 0
        (finished,) = folder.glob("*.mp4")
        assert probe(finished.read_bytes())[3] > 10, "an orderly stop keeps what there is"
