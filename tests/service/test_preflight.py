"""`detector check` of a camera: what works, what the camera does unusually, and what to do."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest

from detector.config.schema import Camera
from detector.core.errors import SourceError
from detector.service import preflight
from support.http_camera import HttpCamera, numbered_jpeg
from support.rtsp_script import PASSWORD, RtspRequest, RtspScript, ScriptedConnection, greet, serve
from support.rtsp_video import coded, interleaved

VIDEO = coded(frames=10, gop=5, fps=1000, width=96, height=64)
PACKETS = [packet for packets in VIDEO.packets() for packet in packets]


def tried(url: str, **keys: object) -> str:
    return preflight._camera(Camera.model_validate({"source": url, **keys}))


def test_a_camera_that_works_is_told_with_what_it_does_unusually() -> None:
    def only_basic(connection: ScriptedConnection, request: RtspRequest) -> bool:
        if request.headers.get("Authorization", "").startswith("Basic "):
            return False
        offers = [
            ("WWW-Authenticate", f'Digest realm="c", nonce="{len(camera.requests)}"'),
            ("WWW-Authenticate", 'Basic realm="c"'),
        ]
        connection.reply(request, "401 Unauthorized", offers)
        return True

    def junk(connection: ScriptedConnection, request: RtspRequest) -> bool:
        connection.send(b"JUNK\x00\xff")
        return False

    with RtspScript(serve(VIDEO.sdp(), PACKETS, OPTIONS=only_basic, DESCRIBE=junk)) as camera:
        text = tried(camera.url)
    assert text.startswith("96x64, first frame after ")
    assert text.endswith("; Basic instead of Digest; junk between packets skipped")
    assert PASSWORD not in text


def test_single_pictures_are_told() -> None:
    jpeg = numbered_jpeg(1)
    with HttpCamera(lambda request: request.answer("200 OK", "Content-Type: image/jpeg", body=jpeg)) as camera:
        assert tried(camera.url, detect_fps=5).endswith("; single pictures, asked for 5 times a second")


def test_a_camera_over_udp_only_is_told_the_key() -> None:
    def setup(connection: ScriptedConnection, request: RtspRequest) -> bool:
        connection.reply(request, "461 Unsupported Transport")
        return True

    with RtspScript(serve(VIDEO.sdp(), [], SETUP=setup)) as camera, pytest.raises(SourceError, match="transport: udp"):
        tried(camera.url)


def test_a_key_frame_that_does_not_come_is_told_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "PICTURE_S", 1.0)
    between = VIDEO.packets()[1]

    def play(connection: ScriptedConnection) -> None:
        connection.reply(greet(connection, VIDEO.sdp()))
        for number in itertools.count():
            stamp = (3600 * number).to_bytes(4, "big")
            for i, packet in enumerate(between):
                sequence = (number * len(between) + i & 0xFFFF).to_bytes(2, "big")
                connection.send(interleaved(packet[:2] + sequence + stamp + packet[8:]))
            time.sleep(0.04)

    with RtspScript(play) as camera, pytest.raises(SourceError) as caught:
        tried(camera.url, timeout_s=0.5)
    text = str(caught.value)
    assert "waiting for the camera's key frame" in text
    assert "shorten the camera's key frame interval" in text
    assert PASSWORD not in text
    assert "\n" not in text


def test_a_disabled_camera_is_not_tried(tmp_path: Path) -> None:
    assert tried(str(tmp_path / "nothing.mp4"), enabled=False) == "disabled"
