"""The second stream of a camera: connected always, decoded never, connected again when it fails."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from detector.capture.rtsp.errors import NotUnderstoodError
from detector.capture.source import CameraRefusedError
from detector.core.backoff import Backoff
from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.errors import EndOfStreamError, SourceError
from detector.core.redact import redact

from .sources import PacketSource

log = logging.getLogger(__name__)
_STEADY_S = 5.0  # a connection that lasts this long resets the back-off


class RecordLoop:
    """Reads one stream until `stop`; `run` is the target of a thread. `sources`: ways to read it, tried in order.

    Whatever happens to it, detection goes on: its trouble is logged once and shown by `error`.
    """

    def __init__(
        self,
        *,
        name: str,
        sources: Sequence[PacketSource],
        stop: threading.Event,
        clock: Clock = SYSTEM_CLOCK,
        backoff: Backoff | None = None,
    ) -> None:
        self._name, self._sources, self._stop, self._clock = name, sources, stop, clock
        self._backoff = backoff or Backoff()
        self._error: str | None = "not connected yet"
        self._logged: str | None = None
        self.reconnects = 0

    @property
    def error(self) -> str | None:
        """Why nothing comes, masked; None while something does."""
        return self._error

    def run(self) -> None:
        while not self._stop.is_set():
            began, refused = self._clock.mono(), False
            try:
                self._read()
            except EndOfStreamError:
                self._failed("end of file")
                self._stop.wait()  # a file that is not looped has no more to give
            except SourceError as error:
                self._failed(redact(str(error)))
                refused = isinstance(error, CameraRefusedError)
            except Exception as error:
                log.exception("camera %s: unexpected error in its recording stream", self._name)
                self._failed(f"unexpected error: {type(error).__name__}")
            if self._clock.mono() - began >= _STEADY_S:
                self._backoff.reset()
            if not self._stop.wait(self._backoff.long() if refused else self._backoff.next()):
                self.reconnects += 1

    def _read(self) -> None:
        source = self._opened()
        try:
            while not self._stop.is_set():
                source.read()
                self._recovered()
        finally:
            source.close()

    def _opened(self) -> PacketSource:
        for source in self._sources[:-1]:
            try:
                source.open()
            except NotUnderstoodError:
                source.close()
            except BaseException:
                source.close()
                raise
            else:
                return source
        try:
            self._sources[-1].open()
        except BaseException:
            self._sources[-1].close()
            raise
        return self._sources[-1]

    def _recovered(self) -> None:
        if self._error is not None:
            self._error = None
            if self._logged is not None:
                log.info("camera %s: its recording stream is there again", self._name)
            self._logged = None

    def _failed(self, text: str) -> None:
        if text != self._logged:
            log.warning("camera %s: no clips: its recording stream: %s", self._name, text)
        self._error = self._logged = text
