"""When to do less and when to do more again: a level that follows strain without oscillating.

Pure; times are monotonic seconds. Level 0 is all; each further level does less. Going down is quick, since a device
that throttles itself slows everything down. Climbing is slow, and each climb that had to be taken back doubles the wait
before the next one to that level, up to half an hour: a device whose cooling is enough for level 3 tries level 2 twice
an hour at most, and finds it when the night is cool.
"""

from __future__ import annotations

import math
from typing import Literal

Pressure = Literal["over", "hold", "eased"]
"""over: less is to be done; eased: more may be tried; hold: neither, or the last step still takes effect."""

CONFIRM_S = 3.0  # strain for so long is no spike
SETTLE_S = 30.0  # between two steps down: a heat sink answers slowly
CLIMB_S, LONGEST_CLIMB_S = 60.0, 1800.0  # ease for so long before a step up
FAILED_S = 1800.0  # a step down so soon after a climb means that the climb was wrong


class Governor:
    """One level between 0 and `levels`; not thread-safe."""

    def __init__(self, *, levels: int = 0) -> None:
        self.levels, self.level, self.changes = levels, 0, 0
        self._over_since = self._eased_since = math.inf
        self._changed = self._lowered = self._climbed = -math.inf
        self._waits: dict[int, float] = {}  # seconds of ease before a climb to a level, where it is not CLIMB_S

    def resize(self, levels: int) -> None:
        """Another number of levels; the level stays where it still exists."""
        self.levels, self.level = levels, min(self.level, levels)

    def update(self, now: float, pressure: Pressure) -> int:
        """The level from now on."""
        self._over_since = min(self._over_since, now) if pressure == "over" else math.inf
        self._eased_since = min(self._eased_since, now) if pressure == "eased" else math.inf
        # What was well until the climb is no spike after it.
        confirm_s = CONFIRM_S if now - self._climbed >= SETTLE_S else 0.0
        if now - self._over_since >= confirm_s and now - self._lowered >= SETTLE_S and self.level < self.levels:
            self._step_down(now)
        elif self.level > 0 and now - self._eased_since >= self._waits.get(self.level - 1, CLIMB_S):
            self._climb(now)
        return self.level

    def _step_down(self, now: float) -> None:
        if now - self._climbed < FAILED_S:
            self._waits[self.level] = min(2 * self._waits.get(self.level, CLIMB_S), LONGEST_CLIMB_S)
            self._climbed = -math.inf  # the steps that follow belong to the same failure
        elif now - self._changed >= FAILED_S:
            self._waits.pop(self.level, None)  # all was well for long: what comes now is something new
        self._lowered = now
        self._change(now, self.level + 1)

    def _climb(self, now: float) -> None:
        self._climbed = now
        self._change(now, self.level - 1)

    def _change(self, now: float, level: int) -> None:
        self.level, self._changed = level, now
        self.changes += 1
        self._over_since = self._eased_since = math.inf
