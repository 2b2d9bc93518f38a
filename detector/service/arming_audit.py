"""The kept list of who armed or disarmed, when and why, and of what was not followed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final

from detector.alerts.payloads import timestamp
from detector.core.clock import Clock

MAX_ENTRIES: Final = 200
_KEYS: Final = ("at", "command", "state", "by", "why", "times")


class ArmingAudit:
    """The last MAX_ENTRIES, newest last; the same once more only counts up `times`. Not thread-safe."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._entries: deque[dict[str, Any]] = deque(maxlen=MAX_ENTRIES)

    def add(self, *, command: str | None, state: str, by: str, why: str) -> None:
        """`command` None: something that was seen and not followed."""
        entry = {"at": timestamp(self._clock.wall()), "command": command, "state": state, "by": by, "why": why}
        last = self._entries[-1] if self._entries else {}
        if command is None and all(last.get(key) == entry[key] for key in ("command", "by", "why")):
            self._entries[-1] = {**entry, "times": last["times"] + 1}
        else:
            self._entries.append({**entry, "times": 1})

    def entries(self) -> list[dict[str, Any]]:
        return list(self._entries)

    def load(self, saved: Iterable[Mapping[str, Any]]) -> None:
        """What `entries` gave before a restart; raises KeyError or TypeError for anything else."""
        self._entries.extend({key: entry[key] for key in _KEYS} for entry in saved)
