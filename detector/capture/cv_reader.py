"""Reads a camera through OpenCV's VideoCapture; used for V4L2, CSI and GStreamer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from detector.core.errors import SourceError
from detector.core.types import ArrayImage, Image, Pixels, PlaneFormat

from .raw_image import i420_image, nv12_image, yuyv_image
from .source import CapturedImage

if TYPE_CHECKING:
    import cv2


class CvSource:
    """`target` opened with OpenCV's `backend`; the backend and the properties are cv2's constants by name.

    `at_open` are properties for the open itself, `wishes` those set afterwards, which a camera may ignore.
    `shown` and `hint` are for errors: what failed, and what to do. `raw` is the format of `target`'s pictures if
    they are not BGR; `leave_yuyv` turns off the conversion of a V4L2 camera that gives YUYV.
    """

    def __init__(
        self,
        *,
        target: str,
        backend: str,
        shown: str,
        hint: str,
        at_open: Mapping[str, float] | None = None,
        wishes: Mapping[str, float] | None = None,
        raw: PlaneFormat | None = None,
        leave_yuyv: bool = False,
    ) -> None:
        self._target, self._backend, self._shown, self._hint = target, backend, shown, hint
        self._at_open, self._wishes = dict(at_open or {}), dict(wishes or {})
        self._raw, self._leave_yuyv = raw, leave_yuyv
        self._capture: cv2.VideoCapture | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._shown})"

    def open(self) -> None:
        import cv2

        self.close()
        parameters = [int(item) for name, value in self._at_open.items() for item in (getattr(cv2, name), value)]
        capture = cv2.VideoCapture(self._target, getattr(cv2, self._backend), parameters)
        if not capture.isOpened():
            capture.release()
            raise SourceError(f"{self._shown}: cannot be opened; {self._hint}")
        for name, value in self._wishes.items():
            capture.set(getattr(cv2, name), value)
        if self._leave_yuyv and int(capture.get(cv2.CAP_PROP_FOURCC)) == fourcc("YUYV"):
            # Saves the conversion to BGR: motion uses Y, a GPU takes YUYV as it is.
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        self._capture = capture

    def read(self) -> CapturedImage:
        if self._capture is None:
            raise SourceError(f"{self._shown}: not open")
        ok, pixels = self._capture.read()
        if not ok or pixels is None or pixels.size == 0:
            raise SourceError(f"{self._shown}: gives no more pictures; {self._hint}")
        # No media time: the position that these backends report is a guess or a frame counter.
        return CapturedImage(image=_image(cast("Pixels", pixels), self._raw), media_s=None)

    def close(self) -> None:
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()


def fourcc(code: str) -> int:
    """The number of a pixel format in V4L2 and OpenCV; `code` has four ASCII characters."""
    return int.from_bytes(code.encode("ascii"), "little")


def _image(pixels: Pixels, raw: PlaneFormat | None) -> Image:
    """OpenCV's array as an Image: two channels are YUYV; one channel with 3/2 of the rows has the format `raw`."""
    if pixels.ndim == 3 and pixels.shape[2] == 2:
        return yuyv_image(pixels)
    if raw in ("nv12", "i420") and (pixels.ndim == 2 or pixels.shape[2] == 1) and pixels.shape[0] % 3 == 0:
        return nv12_image(pixels) if raw == "nv12" else i420_image(pixels)
    return ArrayImage(_as_bgr(pixels))


def _as_bgr(pixels: Pixels) -> Pixels:
    """Grey pictures, which some sensors give, as three equal channels."""
    import cv2

    if pixels.ndim == 2 or pixels.shape[2] == 1:
        return cast("Pixels", cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR))
    return pixels
