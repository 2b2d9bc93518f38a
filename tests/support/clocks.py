"""A clock that stands where the test puts it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class SetClock:
    """Both clocks read `now` in seconds, the wall clock `wall_ahead` more."""

    now: float = 0.0
    wall_ahead: float = 0.0

    def mono(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + self.wall_ahead
