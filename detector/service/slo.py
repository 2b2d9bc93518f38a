"""The service level of alerts: which share of the last day's was published within the goal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from detector.core.clock import Clock
from detector.core.types import JsonObject

SLO_STATE: Final = "slo"
"""The name under which the outbox keeps the day's counts."""
WINDOW_S: Final = 86_400
SLOT_S: Final = 600  # the day rolls on in steps of ten minutes


class AlertSlo:
    """From any thread; `save` and `publish` must return at once. `goal_ms()` is the goal that holds now.

    `saved` is what `save` got before a restart; a damaged one is ignored.
    """

    def __init__(
        self,
        *,
        goal_ms: Callable[[], float],
        saved: Mapping[str, Any] | None,
        clock: Clock,
        save: Callable[[str, JsonObject], None] = lambda _name, _document: None,
        publish: Callable[[JsonObject], None] = lambda _document: None,
    ) -> None:
        self._goal_ms, self._clock, self._save, self._publish = goal_ms, clock, save, publish
        self._lock = threading.Lock()
        self._slots: dict[int, tuple[int, int]] = _restored(saved)  # ten minutes of the wall clock -> all, within
        self._published: JsonObject | None = None

    def observe(self, total_ms: float) -> None:
        """An alert that was acknowledged, published `total_ms` after its picture was captured."""
        with self._lock:
            slot = self._slot()
            count, within = self._slots.get(slot, (0, 0))
            self._slots[slot] = count + 1, within + (total_ms <= self._goal_ms())
            self._forget(slot)
            self._save(SLO_STATE, {"slots": {str(slot): list(counts) for slot, counts in self._slots.items()}})
        self.announce()

    def document(self) -> dict[str, Any]:
        """`share` of `alerts` that was `within` `goal_ms`; None without alerts."""
        with self._lock:
            self._forget(self._slot())
            count = sum(counts[0] for counts in self._slots.values())
            within = sum(counts[1] for counts in self._slots.values())
        return {
            "goal_ms": self._goal_ms(),
            "window_s": WINDOW_S,
            "alerts": count,
            "within": within,
            "share": round(within / count, 4) if count else None,
        }

    def announce(self) -> None:
        """Publish it, where it has changed."""
        document = self.document()
        if document != self._published:
            self._published = document
            self._publish(document)

    def _slot(self) -> int:
        return int(self._clock.wall() // SLOT_S)

    def _forget(self, now: int) -> None:
        """What is older than the window, and what a clock that ran ahead left in the future."""
        oldest = now - WINDOW_S // SLOT_S
        self._slots = {slot: counts for slot, counts in self._slots.items() if oldest < slot <= now}


def _restored(saved: Mapping[str, Any] | None) -> dict[int, tuple[int, int]]:
    try:
        return {
            int(slot): (int(count), int(within)) for slot, (count, within) in (saved or {"slots": {}})["slots"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}
