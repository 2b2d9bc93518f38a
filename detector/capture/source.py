"""The interface of a camera to the capture loop: open, read, close."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from detector.core.types import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturedImage:
    """One picture as read; `media_s` is the stream's own time, seconds from its first picture.

    `media_s` always grows; None if the source has no time stamps. `mono` is when the picture's last packet
    was read, monotonic seconds; None if the source does not know.
    """

    image: Image
    media_s: float | None
    mono: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeCounts:
    """Pictures since a source was opened: `decoded`, `skipped` undecoded or too late, `damaged` by lost packets.

    `keyframes_only`: only key frames are decoded now.
    """

    decoded: int = 0
    skipped: int = 0
    damaged: int = 0
    keyframes_only: bool = False


@runtime_checkable
class Counting(Protocol):
    """A source that may skip pictures and counts them."""

    @property
    def counts(self) -> DecodeCounts:
        """The counts since it was opened; thread-safe."""
        ...


class Source(Protocol):
    """A connection to a camera. Opened, read and closed by the same thread; it never retries.

    All three are limited in time: an open or a read that gets nothing raises SourceError. A closed source may
    be opened again. `close` may be called at any time, any number of times.
    """

    def open(self) -> None:
        """Connect; raises SourceError with the reason in one line, without secrets."""
        ...

    def read(self) -> CapturedImage:
        """The next picture; raises EndOfStreamError at the end of a file, SourceError on any other failure."""
        ...

    def close(self) -> None: ...
