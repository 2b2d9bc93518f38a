"""A stream's time stamps made into media seconds that start at 0 and always grow."""

from __future__ import annotations

_STRAY_S = 1.0  # stamps that go back less than this are disorder, more is a clock that started anew
_TICK_S = 0.001


class Timeline:
    """Continues over missing stamps, over stamps that go back, and over a loop's seam."""

    def __init__(self) -> None:
        self._origin: float | None = None  # the stamp that is media second 0
        self._last: float | None = None

    def restart(self) -> None:
        """The next stamp begins a new run: it follows one frame interval after the last."""
        self._origin = None

    def at(self, stamp_s: float | None, *, interval_s: float) -> float:
        """Media seconds of the picture stamped `stamp_s`; `interval_s` stands in for what is missing."""
        following = 0.0 if self._last is None else self._last + interval_s
        if stamp_s is None:
            media = following
            # The next real stamp, if one comes, joins on here.
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
