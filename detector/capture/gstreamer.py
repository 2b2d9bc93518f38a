"""CSI cameras and any GStreamer pipeline, through an OpenCV built with GStreamer."""

from __future__ import annotations

import re

from detector.core.errors import SourceError
from detector.core.redact import shown_source
from detector.core.types import PlaneFormat

from .cv_reader import CvSource

_CSI, _GST = "csi://", "gst:"
# Only the newest frame: a queue would make pictures older.
_SINK = "appsink drop=true max-buffers=1 sync=false"
_RAW: dict[str, PlaneFormat] = {"NV12": "nv12", "YUY2": "yuyv", "I420": "i420"}  # GStreamer's names
_TIMEOUTS_SINCE = (4, 7)
_TO_BGR = f"videoconvert ! video/x-raw,format=BGR ! {_SINK}"


def pipeline(source: str) -> str:
    """The GStreamer pipeline of csi://N or gst:PIPELINE, ending in an appsink that keeps the newest frame."""
    if source.startswith(_CSI):
        sensor = int(source.removeprefix(_CSI))
        return (
            f"nvarguscamerasrc sensor-id={sensor} ! video/x-raw(memory:NVMM),width=1280,height=720,framerate=30/1 "
            f"! nvvidconv ! video/x-raw,format=NV12 ! {_SINK}"  # the sensor's own format: no conversion for frames that are not used
        )
    text = source.removeprefix(_GST).strip().rstrip("!").strip()
    return text if re.search(r"(^|[!\s])appsink\b", text) else f"{text} ! {_TO_BGR}"


def raw_format(text: str) -> PlaneFormat | None:
    """The format that the pipeline gives to its sink, if it names one that is not BGR."""
    found = re.findall(r"format\s*=\s*(?:\(string\))?\s*(\w+)", text.rsplit("appsink", 1)[0])
    return _RAW.get(found[-1]) if found else None


def has_timeouts() -> bool:
    """Whether the installed OpenCV supports time-outs for pipelines; older ones reject the property."""
    import cv2

    return tuple(int(part) for part in cv2.__version__.split(".")[:2]) >= _TIMEOUTS_SINCE


def has_gstreamer() -> bool:
    """Whether the OpenCV in use can open GStreamer pipelines."""
    import cv2

    return re.search(r"^\s*GStreamer:\s*YES", cv2.getBuildInformation(), re.MULTILINE) is not None


class GStreamerSource(CvSource):
    """A pipeline's pictures; opening and reading are bounded by OpenCV's own time-outs."""

    def __init__(self, *, source: str, timeout_s: float) -> None:
        milliseconds = max(1, round(timeout_s * 1000))
        text = pipeline(source)
        super().__init__(
            target=text,
            raw=raw_format(text),
            backend="CAP_GSTREAMER",
            shown=shown_source(source),
            hint="try the pipeline with gst-launch-1.0, and see that the camera is connected",
            at_open={"CAP_PROP_OPEN_TIMEOUT_MSEC": milliseconds, "CAP_PROP_READ_TIMEOUT_MSEC": milliseconds},
        )

    def open(self) -> None:
        if not has_gstreamer():
            raise SourceError(
                f"{self._shown}: this OpenCV has no GStreamer; use JetPack's OpenCV (a virtual environment made with "
                "--system-site-packages and no opencv wheel in it), or an rtsp://, usb:// or file source"
            )
        if not has_timeouts():
            raise SourceError(
                f"{self._shown}: this OpenCV is too old to time out a GStreamer pipeline; use 4.8 or newer"
            )
        super().open()
