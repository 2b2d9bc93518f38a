from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from detector.capture.gstreamer import GStreamerSource, has_gstreamer, pipeline, raw_format
from detector.core.errors import SourceError

SYSTEM_PYTHON = "/usr/bin/python3"  # where a distribution's, and JetPack's, OpenCV lives


def test_a_csi_camera_keeps_only_its_newest_frame() -> None:
    text = pipeline("csi://2")
    assert text.startswith("nvarguscamerasrc sensor-id=2 ! video/x-raw(memory:NVMM)")
    assert text.endswith("! video/x-raw,format=NV12 ! appsink drop=true max-buffers=1 sync=false")
    assert raw_format(text) == "nv12"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a ! video/x-raw,format=NV12,width=64 ! appsink", "nv12"),
        ("a ! video/x-raw, format=(string)YUY2 ! queue ! appsink max-buffers=1", "yuyv"),
        ("a ! video/x-raw,format=NV12 ! videoconvert ! video/x-raw,format=I420 ! appsink", "i420"),
        ("a ! video/x-raw,format=NV12 ! videoconvert ! video/x-raw,format=BGR ! appsink", None),
        ("videotestsrc ! appsink", None),
    ],
)
def test_the_format_before_the_sink_is_what_comes(text: str, found: str | None) -> None:
    assert raw_format(text) == found


@pytest.mark.parametrize("text", ["videotestsrc", " videotestsrc ! ", "videotestsrc name=appsinky"])
def test_a_free_pipeline_gets_a_sink(text: str) -> None:
    assert pipeline(f"gst:{text}").count("appsink drop=true max-buffers=1") == 1
    assert "! !" not in pipeline(f"gst:{text}")


def test_a_pipeline_with_its_own_sink_is_left_as_it_is() -> None:
    own = "videotestsrc ! videoconvert ! appsink max-buffers=3"
    assert pipeline(f"gst:{own}") == own


@pytest.mark.parametrize("source", ["csi://0", "gst:rtspsrc location=rtsp://cam:secret@10.0.0.4/live ! decodebin"])
def test_an_opencv_without_gstreamer_says_so_and_what_to_do(source: str) -> None:
    if has_gstreamer():
        pytest.skip("this OpenCV has GStreamer")
    camera = GStreamerSource(source=source, timeout_s=1.0)
    with pytest.raises(SourceError, match=r"this OpenCV has no GStreamer; use JetPack's OpenCV") as caught:
        camera.open()
    camera.close()
    assert "secret" not in str(caught.value)


# An OpenCV before 4.7 cannot be given time-outs, but its pictures come by the same pipeline.
LIVE = """
import sys
from detector.capture.cv_reader import CvSource
from detector.capture.gstreamer import GStreamerSource, has_gstreamer, has_timeouts, pipeline, raw_format
from detector.core.errors import SourceError
if not has_gstreamer():
    sys.exit(77)

def opened(text):
    source = GStreamerSource(source=text, timeout_s=5)
    try:
        source.open()
    except SourceError as error:
        if has_timeouts():
            raise
        print(error)
        line = pipeline(text)
        source = CvSource(target=line, raw=raw_format(line), backend="CAP_GSTREAMER", shown="it", hint="look")
        source.open()
    return source

source = opened("gst:videotestsrc is-live=true pattern=red ! video/x-raw,width=160,height=120")
image = source.read().image
assert image.bgr().shape == (120, 160, 3), image.bgr().shape
assert tuple(image.bgr()[60, 80] > 128) == (False, False, True), image.bgr()[60, 80]
source.close()
for name in ("NV12", "YUY2", "I420"):
    caps = f"video/x-raw,format={name},width=160,height=120"
    source = opened(f"gst:videotestsrc is-live=true pattern=red ! {caps} ! appsink max-buffers=1")
    image = source.read().image
    source.close()
    assert image.planes().format == {"NV12": "nv12", "YUY2": "yuyv", "I420": "i420"}[name], name
    assert (image.width, image.height) == (160, 120)
    assert image.luma().shape == (120, 160)
    assert abs(int(image.luma()[60, 80]) - 81) <= 2, "red's luma"
    assert tuple(image.bgr()[60, 80] > 128) == (False, False, True), (name, image.bgr()[60, 80])
    print("raw", name)
source = opened("gst:videotestsrc num-buffers=3")
try:
    for _ in range(10):
        source.read()
except SourceError as error:
    print(error)
source.close()
if has_timeouts():
    try:
        GStreamerSource(source="gst:no_such_element", timeout_s=2).open()
    except SourceError as error:
        print(error)
"""


def test_a_real_pipeline_where_the_systems_opencv_has_gstreamer() -> None:
    if not Path(SYSTEM_PYTHON).exists():
        pytest.skip(f"needs {SYSTEM_PYTHON}")
    root = Path(sys.modules["detector"].__file__ or "").parent.parent
    done = subprocess.run(
        [SYSTEM_PYTHON, "-c", LIVE], cwd=root, capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode == 77 or "No module named" in done.stderr:
        pytest.skip("needs a system OpenCV with GStreamer (python3-opencv)")
    assert done.returncode == 0, done.stderr
    assert all(f"raw {name}" in done.stdout for name in ("NV12", "YUY2", "I420"))
    assert "gives no more pictures" in done.stdout
    assert "cannot be opened" in done.stdout or "too old" in done.stdout
