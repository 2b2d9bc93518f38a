"""The clock, which is injected so that tests and replays can control time."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """`mono`: monotonic seconds, for durations and deadlines; `wall`: epoch seconds (UTC), for time stamps."""

    def mono(self) -> float: ...

    def wall(self) -> float: ...


class SystemClock:
    """The machine's clocks."""

    def mono(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()


SYSTEM_CLOCK: Clock = SystemClock()
