"""The interface of a camera to the capture loop: open, read, close."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.errors import SourceError
from detector.core.types import Image

WAITING_S = 300.0
"""So long one connection is kept without a picture while data comes: "smart" codecs have key frames minutes apart."""


class WaitingError(SourceError):
    """The connection stands and data comes, but no picture yet: `read` may be called again."""


class CameraRefusedError(SourceError):
    """The camera answered and said no (password, rights): to ask again soon locks the account at many a camera."""


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


@runtime_checkable
class Noting(Protocol):
    """A source that says what its camera does unusually, and which way round it was taken."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Plain words, each once, since it was opened; any thread may ask."""
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
        """The next picture; raises EndOfStreamError at a file's end, SourceError on any other.

        WaitingError leaves the connection open: the picture may come with a later call.
        """
        ...

    def close(self) -> None: ...


def read_patiently(source: Source, *, patience_s: float, clock: Clock = SYSTEM_CLOCK) -> CapturedImage:
    """The next picture, waited for up to about `patience_s` seconds while data comes; raises SourceError."""
    deadline = clock.mono() + patience_s
    while True:
        try:
            return source.read()
        except WaitingError:
            if clock.mono() >= deadline:
                raise
