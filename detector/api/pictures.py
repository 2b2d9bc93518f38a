"""The newest picture of each camera, encoded once for all viewers."""

from __future__ import annotations

import os
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from .control import Control

MAX_FPS = 10.0
_KEPT = 32  # kinds of picture (camera, boxes, width) held at once
_NICENESS = 15  # of 19: whoever detects goes first
_STEP = 160  # widths are rounded up to this, so that not every window size needs its own picture


@dataclass(frozen=True, slots=True, kw_only=True)
class LivePicture:
    """A JPEG and its frame's number, which may start again when a camera reconnects."""

    seq: int
    jpeg: bytes

    @property
    def etag(self) -> str:
        return f'"{self.seq}-{zlib.crc32(self.jpeg):08x}"'


def _give_way(niceness: int) -> None:
    """Lower this thread's priority alone, where the system has one for each thread."""
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)


class _LastPicture:
    """One kind of picture: the last one and when it was fetched (monotonic s)."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.picture: LivePicture | None = None
        self.fetched = float("-inf")


class Pictures:
    """Asks `control` at most MAX_FPS times a second for each kind of picture. Thread-safe.

    One thread draws them all: OpenCV 5 keeps a font of 6 MiB for each thread that draws, and however many look, the
    model keeps the other cores. That thread gives way to the others wherever they want its core, and encodes no frame
    twice.
    """

    def __init__(self, control: Control, *, now: Callable[[], float] = time.monotonic) -> None:
        self._control = control
        self._now = now
        self._lock = threading.Lock()
        self._drawing = ThreadPoolExecutor(
            max_workers=1, thread_name_prefix="api-pictures", initializer=_give_way, initargs=(_NICENESS,)
        )
        self._closed = False
        self._slots: OrderedDict[tuple[str, bool, int | None], _LastPicture] = OrderedDict()

    def close(self) -> None:
        """End the drawing thread; what is asked for from now on is the last picture drawn."""
        self._closed = True
        self._drawing.shutdown(wait=False)

    def latest(self, camera: str, *, boxes: bool, width: int | None) -> LivePicture | None:
        """The newest picture, None before the first; may take an encoding's time, so never on the event loop."""
        width = self.rounded(width)
        slot = self._slot((camera, boxes, width))
        with slot.lock:
            if self._now() - slot.fetched >= 0.9 / MAX_FPS and not self._closed:
                if slot.picture is None or self._control.frame_seq(camera) != slot.picture.seq:
                    got = self._drawing.submit(self._control.latest_jpeg, camera, boxes=boxes, max_width=width).result()
                    slot.picture = LivePicture(seq=got[0], jpeg=got[1]) if got else None
                slot.fetched = self._now()
            return slot.picture

    @staticmethod
    def rounded(width: int | None) -> int | None:
        """The width (px) of the picture that is made for who asks for `width`."""
        return None if width is None else -(-width // _STEP) * _STEP

    def _slot(self, key: tuple[str, bool, int | None]) -> _LastPicture:
        with self._lock:
            slot = self._slots.setdefault(key, _LastPicture())
            self._slots.move_to_end(key)
            if len(self._slots) > _KEPT:
                self._slots.popitem(last=False)
            return slot
