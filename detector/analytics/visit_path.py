"""The path of a visit: where the person's box was, in a bounded number of points, however long the visit. Pure."""

from __future__ import annotations

from detector.core.types import Box, PathPoint

MOST_POINTS = 48
_STEP_S = 0.2  # between two points at first: three in the time that confirms a person
_SLACK_S = 0.02  # a frame that comes this much early counts


class VisitPath:
    """Keeps points at least a step apart; when there are too many, every second one goes and the step doubles."""

    def __init__(self) -> None:
        self._points: list[PathPoint] = []
        self._step_s = _STEP_S
        self._last: PathPoint | None = None

    def observe(self, mono: float, box: Box, size: tuple[int, int], score: float) -> None:
        """Take the box (px) in a picture of `size` (width, height px) at `mono`, monotonic s."""
        width, height = size
        shown = (box[0] / width, box[1] / height, box[2] / width, box[3] / height)
        self._last = PathPoint(mono=mono, box=shown, score=score)
        if self._points and mono - self._points[-1].mono < self._step_s - _SLACK_S:
            return
        self._points.append(self._last)
        if len(self._points) == MOST_POINTS:
            self._points = self._points[::2]
            self._step_s *= 2.0

    def take_over(self, later: VisitPath) -> None:
        """Continue with the points of another track of the same person."""
        points = (*self.points, *later.points)
        self._points, self._last = list(points), later._last
        while len(self._points) >= MOST_POINTS:
            self._points = self._points[::2]
            self._step_s *= 2.0

    @property
    def points(self) -> tuple[PathPoint, ...]:
        """The points in order of time, the latest box always the last."""
        if self._last is None or (self._points and self._points[-1] is self._last):
            return tuple(self._points)
        return (*self._points, self._last)
