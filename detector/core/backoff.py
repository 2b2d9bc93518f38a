"""Waits between retries: exponential back-off with full jitter."""

from __future__ import annotations

import random


class Backoff:
    """Random waits from 0 to a ceiling that doubles with each failure, up to `cap` seconds.

    Full jitter keeps many cameras behind one rebooting switch from reconnecting at the same time. Formula:
    uniform(0, min(cap, base * 2**n)), as in M. Brooker, "Exponential Backoff And Jitter" (AWS, 2015).
    """

    def __init__(self, *, base: float = 0.5, cap: float = 30.0, rng: random.Random | None = None) -> None:
        if not 0.0 < base <= cap:
            raise ValueError(f"need 0 < base <= cap, got base {base}, cap {cap}")
        self._base, self._cap = base, cap
        # Seeded from the system, so that devices started by the same power cut differ.
        self._rng = rng or random.Random()  # noqa: S311 - spreads load, guards nothing
        self._ceiling = base

    def next(self) -> float:
        """Seconds to wait before the next try."""
        wait = self._rng.uniform(0.0, self._ceiling)
        self._ceiling = min(self._cap, self._ceiling * 2.0)
        return wait

    def reset(self) -> None:
        """Start again from `base`: the last try was a success."""
        self._ceiling = self._base
