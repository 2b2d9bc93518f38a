"""The body of one HTTP answer as a file that FFmpeg reads, over a connection of our own."""

from __future__ import annotations

from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.errors import SourceError

from .dial import Resolver, look_up
from .mjpeg.connection import HttpConnection


class HttpStream:
    """All waiting until the next `extend` takes at most `timeout_s` together.

    `open` and `read` raise SourceError in plain words, TimeoutError included.
    """

    def __init__(
        self, *, url: str, shown: str, timeout_s: float, clock: Clock = SYSTEM_CLOCK, resolve: Resolver = look_up
    ) -> None:
        self._connection = HttpConnection(url=url, shown=shown, timeout_s=timeout_s, clock=clock, resolve=resolve)
        self._shown, self._timeout_s, self._clock = shown, timeout_s, clock
        self._deadline = 0.0
        self.content_type = ""  # in lower case, without parameters; "" where nothing is open

    def extend(self) -> None:
        """Another `timeout_s` from now."""
        self._deadline = self._clock.mono() + self._timeout_s

    def open(self) -> None:
        self.close()
        self.extend()
        try:
            self.content_type = self._connection.get(self._deadline).headers.get_content_type()
        except ValueError as error:
            raise SourceError(f"{self._shown}: {error}; check the URL") from None

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, as soon as there are some; b"" at the end."""
        return self._connection.read(self._deadline, size)

    def close(self) -> None:
        self._connection.close()
        self.content_type = ""
