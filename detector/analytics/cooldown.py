"""The cooldown between alerts, and who came meanwhile. Pure; times are monotonic seconds."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from detector.core.types import SinceLast

_IDS = 20  # event ids that an alert names at most


class Cooldown:
    """Lets at most one alert pass in `seconds` for each key: the camera, a zone, or a person.

    `revision` changes with those held back, who are kept over a restart (`dump`, `load`).
    """

    def __init__(self, *, seconds: float) -> None:
        self._seconds = seconds
        self._started: dict[str, float] = {}
        self._people = 0
        self._events: deque[str] = deque(maxlen=_IDS)
        self.revision = 0

    def is_over(self, keys: Iterable[str], mono: float) -> bool:
        """Whether an alert may pass: the cooldown of one of `keys` is over."""
        return any(mono - self._started.get(key, -math.inf) >= self._seconds for key in keys)

    def left(self, keys: Iterable[str], mono: float) -> float:
        """Seconds until an alert may pass for one of `keys`; 0 where it may now."""
        return max(0.0, min(self._started.get(key, -math.inf) + self._seconds - mono for key in keys))

    def start(self, keys: Iterable[str], mono: float) -> None:
        """An alert was raised for `keys`."""
        running = {key: since for key, since in self._started.items() if mono - since < self._seconds}
        self._started = running | dict.fromkeys(keys, mono)

    def hold_back(self, event_id: str) -> None:
        """A person's alert was due and did not pass; to be called once for each."""
        self.revision += 1
        self._people += 1
        self._events.append(event_id)

    def take_held(self, event_id: str) -> SinceLast:
        """Who was held back since the last call, without the person of `event_id`, who alerts now."""
        others = tuple(held for held in self._events if held != event_id)
        since = SinceLast(people=self._people - (len(others) < len(self._events)), events=others)
        self.revision += self._people > 0
        self._people = 0
        self._events.clear()
        return since

    def dump(self) -> dict[str, Any]:
        """Who is held back, JSON types only."""
        return {"people": self._people, "events": list(self._events)}

    def load(self, document: Mapping[str, Any]) -> None:
        """Continue with whom `dump` gave. Raises KeyError, TypeError or ValueError for anything else."""
        people, events = int(document["people"]), [str(event) for event in document["events"]]
        if people < len(events):
            raise ValueError("more events than people")
        self._people, self._events = people, deque(events, maxlen=_IDS)
