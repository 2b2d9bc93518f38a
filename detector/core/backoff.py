"""Waits between retries: exponential back-off with full jitter."""

from __future__ import annotations

import random

FIRST_CAP_S = 4.0  # with the time to connect, a link that was gone for less than a minute is back within 5 s
FIRST_S = 60.0


class Backoff:
    """Random waits from 0 to a ceiling that doubles with each failure, up to `cap` seconds.

    Full jitter keeps many cameras behind one rebooting switch from reconnecting at the same time. Formula:
    uniform(0, min(cap, base * 2**n)), as in M. Brooker, "Exponential Backoff And Jitter" (AWS, 2015).
    Until the waits add up to `first_s` seconds none is above `first_cap`: a short outage ends soon.
    """

    def __init__(
        self,
        *,
        base: float = 0.5,
        cap: float = 30.0,
        first_cap: float = FIRST_CAP_S,
        first_s: float = FIRST_S,
        rng: random.Random | None = None,
    ) -> None:
        if not 0.0 < base <= cap:
            raise ValueError(f"need 0 < base <= cap, got base {base}, cap {cap}")
        self._base, self._cap = base, cap
        self._first_cap, self._first_s = max(base, min(first_cap, cap)), first_s
        # Seeded from the system, so that devices started by the same power cut differ.
        self._rng = rng or random.Random()  # noqa: S311 - spreads load, guards nothing
        self._ceiling, self._sum = base, 0.0

    def next(self) -> float:
        """Seconds to wait before the next try."""
        wait = self._rng.uniform(0.0, self._ceiling)
        self._sum += wait
        cap = self._cap if self._sum >= self._first_s else self._first_cap
        self._ceiling = min(cap, self._ceiling * 2.0)
        return wait

    def long(self) -> float:
        """Seconds to wait where trying soon will not help: between half of the cap and the cap."""
        return self._rng.uniform(self._cap / 2, self._cap)

    def reset(self) -> None:
        """Start again from `base`: the last try was a success."""
        self._ceiling, self._sum = self._base, 0.0
