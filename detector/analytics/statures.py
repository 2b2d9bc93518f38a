"""How tall people appear at each height of one camera's picture, learnt from the people that were followed there.

On level ground a person's height in the picture depends on where the feet are, so the feet's line alone tells how far
a window must be enlarged (Hoiem et al., "Putting Objects in Perspective", CVPR 2006).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from statistics import median

from detector.core.types import Box

_BANDS = 24  # of the picture's height, learnt apart: one standing person must not displace what others showed
_KEPT = 32  # heights a band; newer ones replace them, so a camera that was zoomed is learnt again
_ENOUGH = 8
_TURNED = 0.02  # of the picture's height: turned so far up or down, the same line shows another distance


class Statures:
    """Heights in px by the feet's line; forgets all when the picture's size or the view changes. Not thread-safe."""

    def __init__(self) -> None:
        self._size = (0, 0)
        self._bands: list[deque[float]] = []
        self._shifted = 0.0  # px down since the first height was learnt

    def shift(self, dy: float) -> None:
        """The camera turned: the picture moved down by `dy` px. Turned sideways, the same lines hold."""
        self._shifted += dy
        if self._size[1] and abs(self._shifted) > _TURNED * self._size[1]:
            self.forget()

    def forget(self) -> None:
        """The camera looks elsewhere: nothing is known of the ground there."""
        self._bands = [deque(maxlen=_KEPT) for _ in self._bands]
        self._shifted = 0.0

    def learn(self, boxes: Sequence[Box], size: tuple[int, int]) -> None:
        """Add followed people, boxes px, in a picture of `size` (width, height) px; those at its bottom may be cut off."""
        if size != self._size:
            self._size, self._bands = size, [deque(maxlen=_KEPT) for _ in range(_BANDS)]
        for box in boxes:
            if box[3] < 0.98 * size[1]:
                self._bands[self._band(box[3])].append(box[3] - box[1])

    def at(self, foot_y: float) -> float | None:
        """The usual height in px of a person whose feet are at `foot_y` px; None: too few were seen there."""
        if not self._bands:
            return None
        band = self._band(foot_y)
        seen = [height for near in self._bands[max(0, band - 1) : band + 2] for height in near]
        return median(seen) if len(seen) >= _ENOUGH else None

    def _band(self, foot_y: float) -> int:
        return min(max(0, int(foot_y / self._size[1] * _BANDS)), _BANDS - 1)
