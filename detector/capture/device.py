"""USB and other V4L2 cameras: /dev/videoN or usb://N."""

from __future__ import annotations

import math
import os
from pathlib import Path

from detector.core.errors import SourceError

from .cv_reader import CvSource, fourcc

_USB = "usb://"
_WIDTH, _HEIGHT = 1280, 720  # nearly every UVC camera has it as MJPG; others give their nearest size


def device_path(source: str) -> Path:
    """The device file of `source`: usb://N is /dev/videoN."""
    return Path(f"/dev/video{int(source.removeprefix(_USB))}") if source.startswith(_USB) else Path(source)


class DeviceSource(CvSource):
    """A V4L2 camera, set to MJPG (raw frames are too much for USB 2) and to a queue of one frame.

    A camera without MJPG gives YUYV, which is converted only when BGR is needed.
    """

    def __init__(self, *, source: str, timeout_s: float) -> None:
        self._path, self._timeout_s = device_path(source), timeout_s
        super().__init__(
            target=str(self._path),
            backend="CAP_V4L2",
            shown=str(self._path),
            hint="is it a camera, is it plugged in, and does another program use it?",
            wishes={
                # The codec before the size: the sizes on offer depend on it.
                "CAP_PROP_FOURCC": fourcc("MJPG"),
                "CAP_PROP_FRAME_WIDTH": _WIDTH,
                "CAP_PROP_FRAME_HEIGHT": _HEIGHT,
                "CAP_PROP_BUFFERSIZE": 1,
            },
            leave_yuyv=True,
        )

    def open(self) -> None:
        if not self._path.exists():
            raise SourceError(f"{self._path}: no such camera; plug it in, or see /dev/video* for what there is")
        if not self._path.is_char_device():
            raise SourceError(f"{self._path}: this is not a camera device")
        if not os.access(self._path, os.R_OK | os.W_OK):
            raise SourceError(f"{self._path}: may not be opened; add this user to the group video")
        # OpenCV's V4L2 waits 10 s for a frame unless this, its only way to say it, is set before it opens.
        os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(max(1, math.floor(self._timeout_s))))
        super().open()
