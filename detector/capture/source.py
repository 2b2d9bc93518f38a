"""What every camera looks like to the capture loop: it opens, reads, closes, and raises."""

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


class RefusedError(SourceError):
    """The camera answered and said no (password, rights): to ask again soon locks the account at many a camera."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturedImage:
    """One picture as read; `media_s` is the stream's own time, seconds from its first picture.

    `media_s` always grows; None where the source has no stamps of its own. `mono` is when the
    picture's last packet was read, monotonic seconds; None where the source cannot tell.
    """

    image: Image
    media_s: float | None
    mono: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeCounts:
    """Pictures since a source was opened: `decoded`, `skipped` undecoded or too late to be shown, `damaged` by loss.

    `keyframes_only`: at this moment nothing but key frames is decoded.
    """

    decoded: int = 0
    skipped: int = 0
    damaged: int = 0
    keyframes_only: bool = False


@runtime_checkable
class Counting(Protocol):
    """A source that may leave pictures out, and says how many."""

    @property
    def counts(self) -> DecodeCounts:
        """Since it was opened; any thread may ask."""
        ...


@runtime_checkable
class Noting(Protocol):
    """A source that says what its camera does unusually, and which way round it was taken."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Plain words, each once, since it was opened; any thread may ask."""
        ...


class Source(Protocol):
    """One way to a camera. Opened, read and closed by the same thread; it never retries.

    All three are bounded in time: an open or a read that gets nothing raises SourceError. A
    closed source may be opened again. `close` may be called at any time, any number of times.
    """

    def open(self) -> None:
        """Connect; raises SourceError that says in one line, free of secrets, why it cannot."""
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
