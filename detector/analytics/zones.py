"""Zones and masks: polygons in the picture, and the foot point that represents a person.

Points are normalised, (0, 0) top left to (1, 1) bottom right, so that zones do not depend on the
resolution. Pure arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from detector.core.geometry import from_segment
from detector.core.types import Box

Point = tuple[float, float]
Size = tuple[int, int]
_EDGE = 1e-9  # normalised: far below a pixel, far above a double's rounding


def contains(polygon: Sequence[Point], point: Point) -> bool:
    """Whether `point` is in `polygon` or on its edge, by the even-odd rule; any winding, concave and self-crossing too."""
    inside = False
    x, y = point
    for a, b in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        if from_segment((x - a[0], y - a[1]), (b[0] - a[0], b[1] - a[1])) <= _EDGE:
            return True
        if (a[1] > y) != (b[1] > y) and x < a[0] + (y - a[1]) * (b[0] - a[0]) / (b[1] - a[1]):
            inside = not inside
    return inside


def foot_point(box: Box, size: Size) -> Point:
    """Bottom centre of `box` (px) in a picture of `size` (width, height px), normalised.

    Clipped to the picture: a person with feet below it is still in a zone that reaches the bottom edge.
    """
    x, y = (box[0] + box[2]) / 2 / size[0], box[3] / size[1]
    return min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0)


def area_share(box: Box, size: Size) -> float:
    """The share of the picture that the visible part of `box` covers, 0..1."""
    width = min(box[2], size[0]) - max(box[0], 0.0)
    height = min(box[3], size[1]) - max(box[1], 0.0)
    return max(width, 0.0) * max(height, 0.0) / (size[0] * size[1])


class ZoneMap:
    """A camera's zones by name, and its masks; polygons are normalised."""

    def __init__(self, *, zones: Mapping[str, Sequence[Point]], masks: Sequence[Sequence[Point]]) -> None:
        self._zones = {name: tuple(polygon) for name, polygon in zones.items()}
        self._masks = tuple(tuple(polygon) for polygon in masks)

    def at(self, point: Point) -> tuple[str, ...]:
        """The names of the zones that hold `point`, in the configuration's order."""
        return tuple(name for name, polygon in self._zones.items() if contains(polygon, point))

    def masked(self, point: Point) -> bool:
        """Whether a mask contains `point`."""
        return any(contains(polygon, point) for polygon in self._masks)


class ZoneWatch:
    """One person's zones: entered after `inertia` consecutive frames inside, left at the first frame outside."""

    def __init__(self, *, inertia: int) -> None:
        if inertia < 1:
            raise ValueError(f"inertia counts frames: at least 1, not {inertia}")
        self._inertia = inertia
        self._streaks: dict[str, int] = {}
        self.entered: tuple[str, ...] = ()

    def observe(self, zones: Sequence[str]) -> None:
        """Take the zones that contain the foot point in one more frame."""
        self._streaks = {zone: self._streaks.get(zone, 0) + 1 for zone in zones}
        self.entered += tuple(zone for zone in self.current if zone not in self.entered)

    @property
    def current(self) -> tuple[str, ...]:
        return tuple(zone for zone, streak in self._streaks.items() if streak >= self._inertia)

    def take_over(self, other: ZoneWatch) -> None:
        """Continue with the state of `other`, a later track of the same person."""
        self._streaks = dict(other._streaks)
        self.entered += tuple(zone for zone in other.entered if zone not in self.entered)
