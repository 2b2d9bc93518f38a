"""Zones and masks: polygons in the picture, and the foot point that represents a person.

Points are normalised, (0, 0) top left to (1, 1) bottom right, so that zones do not depend on the
resolution. Pure arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from detector.core.geometry import from_segment
from detector.core.types import Box

Point = tuple[float, float]
Size = tuple[int, int]
Side = Literal["inside", "edge", "outside"]
"""Where a point is: in a zone or on its line, outside but within reach of the line, or further out."""
_EDGE = 1e-9  # normalised: far below a pixel, far above a double's rounding
_MARGIN = 0.05  # heights of the person: about twice the jitter of a still person's box
_LINGER = 10  # a frame beyond the margin counts for leaving as much as this many frames at the edge


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

    def locate(self, box: Box, size: Size) -> dict[str, Side]:
        """On which side of every zone's line the foot point of `box` (px) is, in the configuration's order."""
        point, margin = foot_point(box, size), _MARGIN * max(box[3] - box[1], 1.0)
        reach = margin / size[0], margin / size[1]
        return {name: _side(polygon, point, reach) for name, polygon in self._zones.items()}

    def masked(self, point: Point) -> bool:
        """Whether a mask contains `point`."""
        return any(contains(polygon, point) for polygon in self._masks)


def _side(polygon: Sequence[Point], point: Point, reach: Point) -> Side:
    """The side of `polygon` on which `point` is; `reach` is how far the edge extends in x and y, normalised."""
    if contains(polygon, point):
        return "inside"
    for a, b in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        offset = (point[0] - a[0]) / reach[0], (point[1] - a[1]) / reach[1]
        if from_segment(offset, ((b[0] - a[0]) / reach[0], (b[1] - a[1]) / reach[1])) <= 1.0:
            return "edge"
    return "outside"


class ZoneWatch:
    """One person's zones, with hysteresis, so that a box that jitters on a zone's line does not enter and leave.

    A zone is entered after `inertia` consecutive frames inside. It is left after as many frames in a row that are
    clearly outside; frames outside but at its edge count a tenth.
    """

    def __init__(self, *, inertia: int) -> None:
        if inertia < 1:
            raise ValueError(f"inertia counts frames: at least 1, not {inertia}")
        self._inertia = inertia
        self._inside: dict[str, int] = {}  # consecutive frames inside, by zone
        self._outside: dict[str, int] = {}  # tenths of frames since the last one inside, of the current zones
        self.inside: tuple[str, ...] = ()
        self.current: tuple[str, ...] = ()
        self.entered: tuple[str, ...] = ()

    def observe(self, sides: Mapping[str, Side]) -> None:
        """Take the foot point's side of every zone in one more frame."""
        self.inside = tuple(zone for zone, side in sides.items() if side == "inside")
        self._inside = {zone: self._inside.get(zone, 0) + 1 for zone in self.inside}
        self._outside = {
            zone: 0 if side == "inside" else self._outside.get(zone, 0) + (1 if side == "edge" else _LINGER)
            for zone, side in sides.items()
        }
        self.current = tuple(zone for zone in sides if self._is_current(zone))
        self.entered += tuple(zone for zone in self.current if zone not in self.entered)

    def _is_current(self, zone: str) -> bool:
        if zone in self.current:
            return self._outside[zone] < _LINGER * self._inertia
        return self._inside.get(zone, 0) >= self._inertia

    def take_over(self, other: ZoneWatch) -> None:
        """Continue with the state of `other`, a later track of the same person."""
        self._inside, self._outside = dict(other._inside), dict(other._outside)
        self.inside, self.current = other.inside, other.current
        self.entered += tuple(zone for zone in other.entered if zone not in self.entered)
