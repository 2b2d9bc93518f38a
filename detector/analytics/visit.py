"""One person's visit, from the first look to the last: what is counted, and when two are the same.

A visit starts as a candidate that leaves no trace and is confirmed by M of the last N looks (the
M-of-N logic of radar trackers): a flicker neither confirms a phantom nor loses a person. Pure; times
are monotonic seconds, boxes px.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from detector.core.types import Box, Event, Frame, Track

from .zones import Size, ZoneWatch

Vector = tuple[float, float]

STILL_SHARE = 0.25
"""Stationary: the foot point stays within this share of the person's height ..."""
STILL_S = 5.0
"""... for this many seconds."""
RELINK_S = 2.0
"""A person who comes back into sight within this time may still be the same visit."""
_REACH = 0.3  # heights: how far a box may jump between two detections of one person
_WANDER = 0.3  # heights a second: how far from the extrapolated path people get who stop or turn
_SCALE = 2.0  # sizes further apart than this factor are two people
_AT_EDGE = 0.02  # of the picture's side: detectors stop short of the very edge
_MOVING = 0.3  # heights a second: clearly walking (walkers do about 0.8), above the jitter of boxes
_OPPOSED = -0.5  # cosine: more than 120 degrees apart
_TRAIL_S = 1.0  # a walking direction is taken over this time


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What one frame says of a matched track; `zones` hold the foot point; `size` in px."""

    track: Track
    mono: float
    size: Size
    qualifies: bool
    zones: tuple[str, ...]


class Stillness:
    """Says whether a point keeps to its place, with the same measure for coming and going."""

    def __init__(self) -> None:
        self._anchor: tuple[float, float] | None = None
        self._since = 0.0
        self.stationary = False

    def observe(self, box: Box, mono: float) -> None:
        foot, height = ((box[0] + box[2]) / 2, box[3]), box[3] - box[1]
        if self._anchor is None or math.dist(foot, self._anchor) > STILL_SHARE * height:
            self._anchor, self._since = foot, mono
        self.stationary = mono - self._since >= STILL_S


class Trail:
    """The last second of a person's way: where, how fast, how tall."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, Box]] = deque()
        self.stature = 0.0
        self.first: Box | None = None
        self.size: Size = (1, 1)

    def observe(self, box: Box, mono: float, size: Size) -> None:
        self.size = size
        self.first = self.first or box
        self.stature = max(self.stature, box[3] - box[1])
        self._points.append((mono, box))
        while mono - self._points[0][0] > _TRAIL_S:
            self._points.popleft()

    @property
    def last(self) -> Box:
        return self._points[-1][1]

    @property
    def velocity(self) -> Vector:
        """Px/s, per axis the slower of the box's two sides, 0 where they disagree.

        Somebody who walks takes both sides along; one that moves alone is being hidden or uncovered.
        Except at the picture's edge, which holds a side in place: there the other one tells.
        """
        (t0, a), (t1, b) = self._points[0], self._points[-1]
        if t1 <= t0:
            return 0.0, 0.0
        left, top, right, bottom = (
            one or other
            for one, other in zip(_edges(a, self.size, _AT_EDGE), _edges(b, self.size, _AT_EDGE), strict=True)
        )
        v = [(late - early) / (t1 - t0) for early, late in zip(a, b, strict=True)]
        return _both(v[0], v[2], left, right), _both(v[1], v[3], top, bottom)


class Visit:
    """The running account of one track; `since` is when it was first seen (None: at the next look).

    `id` and `start_wall` are given when the visit is confirmed ("" until then); `event` is what was
    last told of it.
    """

    def __init__(self, *, track: Track, min_frames: int, since: float | None) -> None:
        self._min_frames = min_frames
        self._qualified: deque[bool] = deque(maxlen=2 * min_frames)
        self._still = Stillness()
        self._trail = Trail()
        self._zones = ZoneWatch(inertia=min_frames)
        self.track = track
        self.since = since
        self.last_mono = -math.inf
        self.id = ""
        self.start_wall = 0.0
        self.top_score = 0.0
        self.qualifies = False
        self.event: Event | None = None
        self.published_mono = -math.inf
        self.alerted = False

    def miss(self) -> None:
        """The track was not matched in this frame."""
        self.qualifies = False
        self._qualified.append(False)

    def observe(self, sighting: Sighting) -> None:
        track, mono = sighting.track, sighting.mono
        self.since = mono if self.since is None else self.since
        self.last_mono, self.track = mono, track
        self.top_score = max(self.top_score, track.score)
        self.qualifies = sighting.qualifies
        self._qualified.append(sighting.qualifies)
        self._still.observe(track.box, mono)
        self._trail.observe(track.box, mono, sighting.size)
        self._zones.observe(sighting.zones)

    @property
    def ripe(self) -> bool:
        """A candidate with enough qualifying looks, the present one among them."""
        return not self.id and self.qualifies and sum(self._qualified) >= self._min_frames

    @property
    def stationary(self) -> bool:
        return self._still.stationary

    @property
    def current_zones(self) -> tuple[str, ...]:
        return self._zones.current

    @property
    def entered_zones(self) -> tuple[str, ...]:
        return self._zones.entered

    def as_event(self, frame: Frame) -> Event:
        """The visit as it stands at `frame`; only once it is confirmed."""
        return Event(
            id=self.id,
            camera=frame.camera,
            track_id=self.track.id,
            frame_wall=frame.captured_wall,
            start_wall=self.start_wall,
            end_wall=None,
            score=self.track.score,
            top_score=self.top_score,
            box=self.track.box,
            frame_size=(frame.image.width, frame.image.height),
            current_zones=self.current_zones,
            entered_zones=self.entered_zones,
            stationary=self.stationary,
            has_snapshot=True,  # alerts keep one of every visit, from its first step
        )

    def resume(self, later: Visit) -> None:
        """Go on as `later`, another track of the same person."""
        self.last_mono, self.track, self.qualifies = later.last_mono, later.track, later.qualifies
        self.top_score = max(self.top_score, later.top_score)
        self._qualified = later._qualified
        self._trail = later._trail
        self._zones.take_over(later._zones)
        self._still.observe(later._trail.last, later.last_mono)

    def continued_by(self, later: Visit) -> float | None:
        """How far off (0..1, smaller is likelier) `later` would be as this same person; None: another.

        The same: seen again soon after, about as large, near the path walked so far; neither the
        first went out nor the second came in over a side of the picture far from the other, and
        their ways do not oppose (somebody who comes in where the first just went out).
        """
        gone, come = self._trail, later._trail
        if later.since is None or come.first is None:
            return None  # not seen yet
        gap = later.since - self.last_mono
        stature = max(gone.stature, come.stature)
        if not 0.0 < gap <= RELINK_S or stature > _SCALE * min(gone.stature, come.stature):
            return None
        slow = _MOVING * stature
        (vx, vy), (wx, wy) = gone.velocity, come.velocity
        if (
            _crossed(gone.last, (vx, vy), slow, gone.size, come.first)
            or _crossed(come.first, (-wx, -wy), slow, come.size, gone.last)
            or _opposed((vx, vy), (wx, wy), slow)
        ):
            return None
        share = _from_path(gone.last, (vx, vy), gap, come.first) / ((_REACH + _WANDER * gap) * stature)
        return share if share <= 1.0 else None


def _both(low: float, high: float, low_held: bool, high_held: bool) -> float:
    """The common speed of two sides, of which one may be held by the picture's edge."""
    if low_held != high_held:
        return high if low_held else low
    return min(low, high, key=abs) if low * high > 0.0 else 0.0


def _crossed(at: Box, velocity: Vector, slow: float, size: Size, other: Box) -> bool:
    """True when somebody at `at` goes out over a side of the picture that `other` is not near.

    Time runs both ways: with the velocity turned around it is somebody who came in.
    """
    outward = (-velocity[0], -velocity[1], velocity[0], velocity[1])
    sides = zip(outward, _edges(at, size, _AT_EDGE), _edges(other, size, 2 * _AT_EDGE), strict=True)
    return any(speed > slow and here and not there for speed, here, there in sides)


def _opposed(a: Vector, b: Vector, slow: float) -> bool:
    """True when both are faster than `slow` and point apart."""
    speeds = math.hypot(*a), math.hypot(*b)
    if min(speeds) <= slow:
        return False
    return (a[0] * b[0] + a[1] * b[1]) / (speeds[0] * speeds[1]) < _OPPOSED


def _edges(box: Box, size: Size, margin: float) -> tuple[bool, bool, bool, bool]:
    """Whether `box` reaches the left, top, right and bottom edge of a picture of `size`; `margin` is a share."""
    x, y = margin * size[0], margin * size[1]
    return box[0] <= x, box[1] <= y, box[2] >= size[0] - x, box[3] >= size[1] - y


def _from_path(box: Box, velocity: Vector, gap: float, later: Box) -> float:
    """How far (px) `later` lies from the straight way that `box` may have gone in `gap` s.

    By the feet or by the head, whichever is nearer: what hides a person mostly hides one of them.
    """
    x = (later[0] + later[2] - box[0] - box[2]) / 2
    way = velocity[0] * gap, velocity[1] * gap
    return min(_from_segment((x, y), way) for y in (later[3] - box[3], later[1] - box[1]))


def _from_segment(point: Vector, way: Vector) -> float:
    """Distance of `point` from the segment that leads from the origin to `way`."""
    square = way[0] ** 2 + way[1] ** 2
    along = min(max((point[0] * way[0] + point[1] * way[1]) / square, 0.0), 1.0) if square else 0.0
    return math.hypot(point[0] - along * way[0], point[1] - along * way[1])
