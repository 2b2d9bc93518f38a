"""When a camera is looked at faster: while somebody is seen whose visit is not confirmed yet.

Pure; times are monotonic seconds of the frames, so a replay looks at the same ones.
"""

from __future__ import annotations

import math

_LONGEST_S = 1.0  # a person is confirmed by then; what still is not is a bush
_PAUSE_S = 5.0  # from the end of a burst to the next: a bush must not double the load all day
_KEPT_S = 0.3  # without a look at the candidate, after which the burst ends


class Burst:
    """One camera's bursts; not thread-safe."""

    def __init__(self) -> None:
        self._since = self._ended = self._seen = -math.inf
        self._on = False

    def update(self, t: float, *, undecided: bool) -> bool:
        """Whether to look faster after the frame of time `t`; `undecided`: a candidate was found in it."""
        if undecided:
            self._seen = t
        wanted = t - self._seen <= _KEPT_S
        if self._on and not (wanted and t - self._since < _LONGEST_S):
            self._on, self._ended = False, t
        elif not self._on and undecided and t - self._ended >= _PAUSE_S:
            self._on, self._since = True, t
        return self._on
