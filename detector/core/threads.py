"""A named thread that runs one stage until told to stop, and remembers how it ended."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class ServiceThread:
    """`run(stop)` in a thread of its own; made by the service alone."""

    def __init__(
        self, *, name: str, run: Callable[[threading.Event], None], stop_event: threading.Event | None = None
    ) -> None:
        self.name = name
        self.stop_event = stop_event or threading.Event()
        self.failure: Exception | None = None
        self._run = run
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    def _main(self) -> None:
        try:
            self._run(self.stop_event)
        except Exception as error:
            self.failure = error
            log.exception("stage %s failed", self.name)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def signal(self) -> None:
        """Ask it to stop, without waiting."""
        self.stop_event.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for its end; False, and a line in the log, when it does not come in time."""
        self.signal()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        if self.alive:
            log.error("stage %s did not stop within %.0f s", self.name, timeout_s)
        return not self.alive
