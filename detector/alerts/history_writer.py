"""The history's own thread: visits, alerts and pictures are written, and old ones removed, while nothing waits for it.

What is submitted is kept in memory until its turn, bounded: of a visit the last state, a number of alerts, a few
pictures. On a disk that does not keep up the oldest go; alerts themselves are in the outbox.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from detector.core.clock import SYSTEM_CLOCK, Clock

from .history import PRUNE_STEP, History

log = logging.getLogger(__name__)

MAX_VISITS = 1000
MAX_PICTURES = 8  # each may hold a frame
PRUNE_S = 3600.0
_LOOK_S = 0.25  # how long a stop may go unnoticed
_PAUSE_S = 0.05  # between two steps of pruning: what comes in goes first

MakeJpeg = Callable[[], "bytes | None"]


class HistoryWriter:
    """`run` in one thread; the rest from any, returns at once."""

    def __init__(self, history: History, *, clock: Clock = SYSTEM_CLOCK, prune_s: float = PRUNE_S) -> None:
        self._history, self._clock, self._prune_s = history, clock, prune_s
        self._changed = threading.Condition()  # never held over the disk
        self._visits: dict[str, dict[str, Any]] = {}
        self._alerts: deque[dict[str, Any]] = deque(maxlen=MAX_VISITS)
        self._pictures: deque[tuple[str, MakeJpeg]] = deque(maxlen=MAX_PICTURES)
        self._afterwards: list[Callable[[], object]] = []
        self._next_prune = clock.mono()
        self.progress_mono = clock.mono()

    def record(self, after: dict[str, Any]) -> None:
        """A visit as an event's `after` describes it."""
        with self._changed:
            self._visits[after["id"]] = after
            if len(self._visits) > MAX_VISITS:
                del self._visits[next(iter(self._visits))]
            self._changed.notify()

    def mark_alerted(self, alert: dict[str, Any]) -> None:
        """An alert's document."""
        with self._changed:
            self._alerts.append(alert)
            self._changed.notify()

    def save_picture(self, event_id: str, make: MakeJpeg) -> None:
        """A visit's picture, made by `make` in the thread of `run`; None from it leaves an earlier one alone."""
        with self._changed:
            self._pictures.append((event_id, make))
            self._changed.notify()

    def afterwards(self, callback: Callable[[], object]) -> None:
        """Have `callback` called, in the thread of `run`, once all submitted before was written (or given up)."""
        with self._changed:
            self._afterwards.append(callback)
            self._changed.notify()

    def run(self, stop: threading.Event) -> None:
        """Until `stop`, and then what is left; removes what is too old once an hour, in steps."""
        while not stop.is_set():
            with self._changed:
                self._changed.wait_for(
                    self._has_work, min(_LOOK_S, max(_PAUSE_S, self._next_prune - self._clock.mono()))
                )
            self.flush()
            self._prune()
        self.flush()

    def flush(self) -> None:
        """Write what waits; for the thread of `run`, or without one."""
        self.progress_mono = self._clock.mono()
        with self._changed:
            visits, self._visits = list(self._visits.values()), {}
            alerts, pictures = list(self._alerts), list(self._pictures)
            self._alerts.clear()
            self._pictures.clear()
            afterwards, self._afterwards = self._afterwards, []
        if visits or alerts:
            self._guarded(lambda: self._history.write(visits, alerts))
        for callback in afterwards:
            self._guarded(callback)
        while pictures:
            event_id, make = pictures.pop(0)  # lets go of each frame once its picture is written
            self._guarded(lambda event_id=event_id, make=make: self._save(event_id, make))  # type: ignore[misc]
            del make
        self.progress_mono = self._clock.mono()

    def _has_work(self) -> bool:
        return bool(self._visits or self._alerts or self._pictures or self._afterwards)

    def _save(self, event_id: str, make: MakeJpeg) -> None:
        jpeg = make()
        if jpeg is not None:
            self._history.save_snapshot(event_id, jpeg)

    def _prune(self) -> None:
        """One step when it is time; the next soon while there is more."""
        now = self._clock.mono()
        if now < self._next_prune:
            return
        self._next_prune = now + self._prune_s
        for step in (self._history.prune, self._history.prune_pictures):
            if self._guarded(step) == PRUNE_STEP:
                self._next_prune = now
                return

    def _guarded(self, step: Callable[[], object]) -> object:
        """A fault of one step must not keep the others from the disk."""
        try:
            return step()
        except Exception:
            log.exception("the history could not take a step and goes on")
            return None
