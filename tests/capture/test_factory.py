from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from detector.capture.device import DeviceSource
from detector.capture.factory import file_source, make_source
from detector.capture.file import FileSource
from detector.capture.gstreamer import GStreamerSource
from detector.capture.mjpeg.source import HttpSource
from detector.capture.network import NetworkSource
from detector.capture.rtsp.source import RtspSource
from detector.config.schema import Camera
from detector.core.errors import EndOfStreamError
from support.clips import clip


def camera(source: str, **keys: object) -> Camera:
    return Camera.model_validate({"source": source, **keys})


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("rtsp://10.0.0.4/stream1", RtspSource),
        ("rtsps://u:p@10.0.0.4/stream1", RtspSource),
        ("http://10.0.0.4/video", HttpSource),
        ("https://10.0.0.4/video", HttpSource),
        ("/dev/video0", DeviceSource),
        ("usb://1", DeviceSource),
        ("csi://0", GStreamerSource),
        ("gst:videotestsrc", GStreamerSource),
        ("clip.mp4", FileSource),
        ("file:///clip.mp4", FileSource),
    ],
)
def test_each_kind_of_source_has_its_reader(source: str, kind: type) -> None:
    assert isinstance(make_source(camera(source), stop=threading.Event()), kind)


def test_a_camera_over_udp_is_read_by_ffmpeg() -> None:
    source = make_source(camera("rtsp://10.0.0.4/stream1", transport="udp"), stop=threading.Event())
    assert isinstance(source, NetworkSource)
    assert source.notes == ("RTSP over UDP",)


@pytest.mark.parametrize("source", ["http://10.0.0.4/video", "rtsps://10.0.0.4/live", "clip.mp4"])
def test_udp_is_refused_where_there_is_none(source: str) -> None:
    with pytest.raises(ValueError, match="transport: udp is for rtsp:// cameras only"):
        camera(source, transport="udp")


def test_udp_decodes_all_pictures_and_says_so() -> None:
    with pytest.raises(ValueError, match="needs transport: tcp"):
        camera("rtsp://10.0.0.4/live", transport="udp", motion={"idle_decode": "keyframes"})


def test_a_configured_file_is_paced_and_loops_if_asked(tmp_path: Path) -> None:
    stop = threading.Event()
    path = clip(tmp_path / "a.mp4", frames=3)
    once = make_source(camera(str(path)), stop=stop)
    once.open()
    for _ in range(3):
        once.read()
    with pytest.raises(EndOfStreamError):
        once.read()
    once.close()
    stop.set()  # the pace is of no interest here
    looped = make_source(camera(str(path), loop=True), stop=stop)
    looped.open()
    times = [looped.read().media_s for _ in range(7)]
    looped.close()
    assert times == pytest.approx([i / 25 for i in range(7)])


def test_a_file_url_may_hold_encoded_characters(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", frames=1).rename(tmp_path / "my clip.mp4")
    source = file_source(f"file://{str(path).replace(' ', '%20')}")
    source.open()
    source.read()
    source.close()


def test_slots_and_the_loop_load_no_video_library() -> None:
    code = (
        "import sys, detector.capture.latest_frames, detector.capture.camera, detector.capture.factory;"
        "sys.exit(any(name in sys.modules for name in ('av', 'cv2', 'pydantic')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
