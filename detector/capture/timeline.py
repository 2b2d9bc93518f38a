"""A stream's time stamps as media seconds that start at 0 and always grow."""

from __future__ import annotations

_STRAY_S = 1.0  # stamps that go back less than this are out of order, more is a clock that was restarted
_TICK_S = 0.001


class Timeline:
    """Media time that continues over missing stamps, stamps that go back, and the start of a loop."""

    def __init__(self) -> None:
        self._origin: float | None = None  # the stamp that is media second 0
        self._last: float | None = None

    def restart(self) -> None:
        """Begin a new run: the next stamp follows one frame interval after the last."""
        self._origin = None

    def at(self, stamp_s: float | None, *, interval_s: float) -> float:
        """Media seconds of the picture stamped `stamp_s`; `interval_s` (s) is used if there is no stamp."""
        following = 0.0 if self._last is None else self._last + interval_s
        if stamp_s is None:
            media = following
            # The next real stamp, if one comes, continues from here.
            self._origin = None
        elif self._origin is None:
            media = following
            self._origin = stamp_s - media
        else:
            media = self._joined(stamp_s, self._origin, following)
        self._last = media
        return media

    def _joined(self, stamp_s: float, origin: float, following: float) -> float:
        media = stamp_s - origin
        if self._last is None or media > self._last:
            return media
        if media > self._last - _STRAY_S:
            return self._last + _TICK_S
        self._origin = stamp_s - following
        return following
