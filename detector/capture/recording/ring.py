"""The last seconds of a camera's coded pictures, in memory, bounded in seconds and in bytes."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from detector.capture.packets import EncodedPicture, StreamFormat

RING_BYTES = 32 << 20
"""The most that one camera's coded pictures take: 32 s at 8 Mbit/s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RingStats:
    """`held_s` seconds and `held_bytes` are in memory now; `overflows`: groups of pictures that were too large."""

    codec: str | None
    width: int
    height: int
    held_s: float
    held_bytes: int
    pictures: int
    overflows: int


class PacketRing:
    """A PacketTap that remembers: whole groups of pictures, each from its key frame on; thread-safe.

    The oldest group goes once the next one is `hold_s` old, or when `max_bytes` are exceeded. With `hold_s` 0
    nothing is held. Each picture has a number; numbers count up by one.
    """

    def __init__(self, *, hold_s: float = 0.0, max_bytes: int = RING_BYTES) -> None:
        self._lock = threading.Lock()
        self._hold_s, self._max_bytes = hold_s, max_bytes
        self._pictures: deque[EncodedPicture] = deque()
        self._keys: deque[int] = deque()  # numbers of the key frames held; the first picture is one
        self._first = 0  # the number of the first picture held
        self._bytes = self._overflows = self._run = 0

    @property
    def hold_s(self) -> float:
        return self._hold_s

    def hold(self, hold_s: float) -> None:
        """Hold so many seconds from now on; 0: nothing, and what is held goes."""
        with self._lock:
            self._hold_s = hold_s
            if hold_s <= 0.0:
                self._clear()

    def begin(self) -> None:
        """A connection was made: stamps begin again, and so does decoding."""
        with self._lock:
            self._run += 1

    def put(self, form: StreamFormat, data: bytes, *, pts: int, mono: float, key: bool) -> None:
        with self._lock:
            if self._hold_s <= 0.0 or not (key or self._continues(form)):
                return  # nothing before it that it could be decoded from
            if key:
                self._keys.append(self._first + len(self._pictures))
            self._pictures.append(EncodedPicture(data=data, pts=pts, mono=mono, key=key, run=self._run, format=form))
            self._bytes += len(data)
            self._trim(mono - self._hold_s)

    def start(self, mono: float) -> int | None:
        """The number of the key frame to begin with for a clip from `mono` on; None while there is none.

        The last one before `mono`, else the first one held; of the format that pictures have now.
        """
        with self._lock:
            if not self._keys:
                return None
            newest = self._pictures[-1].format
            chosen: int | None = None
            for number in reversed(self._keys):
                picture = self._pictures[number - self._first]
                if picture.format != newest:
                    break
                chosen = number
                if picture.mono <= mono:
                    break
            return chosen

    def after(self, number: int) -> list[tuple[int, EncodedPicture]]:
        """All pictures numbered `number` or more, with their numbers; the first may be later than asked for."""
        with self._lock:
            begin = max(0, number - self._first)
            count = len(self._pictures)
            newest = [self._pictures[i] for i in range(count - 1, begin - 1, -1)]  # a deque is slow in its middle
            return list(zip(range(self._first + begin, self._first + count), reversed(newest), strict=True))

    def stats(self) -> RingStats:
        with self._lock:
            last = self._pictures[-1] if self._pictures else None
            return RingStats(
                codec=last.format.codec if last else None,
                width=last.format.width if last else 0,
                height=last.format.height if last else 0,
                held_s=last.mono - self._pictures[0].mono if last else 0.0,
                held_bytes=self._bytes,
                pictures=len(self._pictures),
                overflows=self._overflows,
            )

    def _continues(self, form: StreamFormat) -> bool:
        """Whether a picture that is no key frame follows on from the last one held."""
        if not self._pictures:
            return False
        last = self._pictures[-1]
        return last.run == self._run and last.format == form

    def _trim(self, oldest_mono: float) -> None:
        while len(self._keys) > 1 and (
            self._bytes > self._max_bytes or self._pictures[self._keys[1] - self._first].mono <= oldest_mono
        ):
            self._drop_until(self._keys[1])
        if self._bytes > self._max_bytes:  # one group of pictures alone: it cannot be held, nor what depends on it
            self._overflows += 1
            self._clear()

    def _drop_until(self, number: int) -> None:
        while self._first < number:
            self._bytes -= len(self._pictures.popleft().data)
            self._first += 1
        while self._keys and self._keys[0] < self._first:
            self._keys.popleft()

    def _clear(self) -> None:
        self._drop_until(self._first + len(self._pictures))
