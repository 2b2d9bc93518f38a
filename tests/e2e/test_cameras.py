"""Unusual cameras in the real service: what they do, and the work-around, stand in the status."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.http_camera import HttpCamera, numbered_jpeg
from support.mid_gop import MidGop
from support.program import Program
from support.rtsp_script import PASSWORD, RtspScript
from support.rtsp_video import coded


def test_the_status_tells_what_cameras_do_and_which_way_round_was_taken(tmp_path: Path, model: Path) -> None:
    play = MidGop(coded(frames=100, gop=10, fps=10, width=160, height=96), wait_s=6.0, junk=b"$\x00JUNK\xff")
    jpeg = numbered_jpeg(1, width=160, height=96)
    with (
        RtspScript(play) as late,
        HttpCamera(lambda request: request.answer("200 OK", "Content-Type: image/jpeg", body=jpeg)) as single,
    ):
        config = {
            "model": {"name": str(model)},
            "cameras": {
                "late": {"source": late.url, "timeout_s": 1},
                "single": {"source": single.url, "detect_fps": 2},
            },
            "mqtt": {"embedded": {"port": 0}},
        }
        with Program(tmp_path / "run", config) as program:

            def camera(name: str) -> dict[str, Any]:
                status: dict[str, Any] = program.status()["cameras"][name]
                return status

            program.wait_for(lambda: "waiting for the camera's key frame" in (camera("late")["error"] or ""), "waiting")
            assert camera("late")["state"] == "connecting"
            program.wait_for(lambda: camera("late")["state"] == "online", "online")
            program.wait_for(lambda: camera("single")["state"] == "online", "online")
            status, alone = camera("late"), camera("single")
            assert program.stop() == 0
        log = program.log()
    assert (status["reconnects"], play.played) == (0, 1)
    assert status["damaged"] > 0
    assert "junk between packets skipped" in status["notes"]
    assert any(note.startswith("no key frame for ") for note in status["notes"])
    assert alone["notes"] == ["single pictures, asked for 2 times a second"]
    assert "Traceback" not in log
    assert PASSWORD not in log
