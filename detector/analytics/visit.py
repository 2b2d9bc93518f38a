"""One person's visit, from the first detection to the last: its counts, and when two visits are the same.

A visit starts as a candidate and is confirmed by M of the last N frames (the M-of-N logic of radar
trackers): a single false detection does not confirm it, a single miss does not lose a person. Pure; times
are monotonic seconds, boxes px.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from detector.core.geometry import from_segment, moved
from detector.core.types import Appearance, Box, Event, Frame, Track

from .places import Place
from .stillness import Origin, Stillness
from .visit_path import VisitPath
from .zones import Side, Size, ZoneWatch

Vector = tuple[float, float]

RELINK_S = 2.0
"""A person who comes back into view within this time may still be the same visit."""
AWAY_S = 60.0
"""Whom the camera itself turned away from stays the same visit for this long."""
_REACH = 0.3  # heights: how far a box may jump between two detections of one person
_WANDER = 0.3  # heights per second: how far people who stop or turn get from the extrapolated path
_SCALE = 2.0  # sizes further apart than this factor are two people
_AT_EDGE = 0.02  # of the picture's side: boxes often end just before the edge
_MOVING = 0.3  # heights a second: clearly walking (walkers do about 0.8), above the jitter of boxes
_OPPOSED = -0.5  # cosine: more than 120 degrees apart
_TRAIL_S = 1.0  # a walking direction is measured over this time


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A matched track in one frame; `zones`: the foot point's side of each zone; `size` is the picture's, px."""

    track: Track
    mono: float
    size: Size
    qualifies: bool
    zones: Mapping[str, Side]


class Trail:
    """The last second of a person's path: position, velocity, height."""

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

    def shift(self, dx: float, dy: float) -> None:
        """The camera turned: the whole picture moved by (px)."""
        self.first = moved(self.first, dx, dy) if self.first else None
        self._points = deque((mono, moved(box, dx, dy)) for mono, box in self._points)

    @property
    def out_of_view(self) -> bool:
        """Whether the centre of the last box is outside the picture, where only a turn of the camera takes it."""
        if not self._points:
            return False
        x, y = (self.last[0] + self.last[2]) / 2, (self.last[1] + self.last[3]) / 2
        return not (0.0 <= x <= self.size[0] and 0.0 <= y <= self.size[1])

    @property
    def last(self) -> Box:
        return self._points[-1][1]

    @property
    def velocity(self) -> Vector:
        """Px/s; per axis that of the slower of the box's two sides, 0 if their directions differ.

        Both sides of a walking person move; a side that moves alone is being hidden or uncovered. At the
        picture's edge, which holds one side in place, the other side's velocity counts.
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
    """The state of one track's visit; `since` is when it was first seen (None: at the next detection).

    `id` and `start_wall` are set when the visit is confirmed (`id` is "" until then); `event` is the last one
    published. `alerts` counts those raised, `held_back` says that a cooldown kept one back, `guarded_since` since when
    (monotonic s) the person has been in the alert zones; None: outside. `place` is the known place, where nobody is, that
    the visit is held for; `learnt_id` that of the place learnt from this visit; `dismissed` says that a user said so of
    this very visit. `appearance` is of the frame that its picture shows. `why` is the furthest that
    the visit came towards an alert: how far (a larger number is further), and what held it back there.
    `last_mono` is when the person was last seen, `lost_mono` from when on a return is waited for.
    """

    def __init__(self, *, track: Track, min_frames: int, since: float | None) -> None:
        self._min_frames = min_frames
        self._qualified: deque[bool] = deque(maxlen=2 * min_frames)
        self._still = Stillness()
        self._origin = Origin(inertia=min_frames)
        self._trail = Trail()
        self._zones = ZoneWatch(inertia=min_frames)
        self._path = VisitPath()
        self.track = track
        self.since = since
        self.last_mono = -math.inf
        self.lost_mono = -math.inf
        self.id = ""
        self.start_wall = 0.0
        self.top_score = 0.0
        self.qualifies = False
        self.event: Event | None = None
        self.published_mono = -math.inf
        self.alerts = 0
        self.alerted_mono = -math.inf
        self.held_back = False
        self.guarded_since: float | None = None
        self.place: Place | None = None
        self.learnt_id: str | None = None
        self.dismissed = False
        self.appearance: Appearance | None = None
        self.why: tuple[int, str] = (-1, "")

    def miss(self) -> None:
        """The track was not matched in this frame."""
        self.qualifies = False
        self._qualified.append(False)

    def shift(self, dx: float, dy: float) -> None:
        """The camera turned: the whole picture moved by (px); the person did not move by that."""
        self._still.shift(dx, dy)
        self._origin.shift(dx, dy)
        self._trail.shift(dx, dy)

    def wait_out_of_view(self, mono: float) -> None:
        """While the camera looks elsewhere, the time in which the person may return does not run; for `AWAY_S` at most."""
        if self._trail.out_of_view and mono - self.last_mono < AWAY_S:
            self.lost_mono = mono

    def observe(self, sighting: Sighting) -> None:
        track, mono = sighting.track, sighting.mono
        self.since = mono if self.since is None else self.since
        self.last_mono = self.lost_mono = mono
        self.track = track
        self.top_score = max(self.top_score, track.score)
        self.qualifies = sighting.qualifies
        self._qualified.append(sighting.qualifies)
        self._still.observe(track.box, mono)
        self._origin.observe(track.box)
        self._trail.observe(track.box, mono, sighting.size)
        self._zones.observe(sighting.zones)
        self._path.observe(mono, track.box, sighting.size, track.score)

    def guard(self, *, inside: bool) -> None:
        """Whether the person is in the alert zones, in the frame that was observed last."""
        if not inside:
            self.guarded_since = None
        elif self.guarded_since is None:
            self.guarded_since = self.last_mono

    @property
    def ripe(self) -> bool:
        """A candidate with enough qualifying frames, the current one among them."""
        return self.has_frames(self._min_frames)

    def has_frames(self, count: int) -> bool:
        """A candidate with `count` qualifying frames, the current one among them."""
        return not self.id and self.qualifies and sum(self._qualified) >= count

    @property
    def qualified_frames(self) -> int:
        """How many of the latest frames qualify."""
        return sum(self._qualified)

    @property
    def stationary(self) -> bool:
        return self._still.stationary

    @property
    def last_box(self) -> Box:
        """Where the person was last seen, px, moved with the camera since."""
        return self._trail.last

    @property
    def left(self) -> bool:
        """Whether the person has ever moved away from where they were first detected."""
        return self._origin.left

    @property
    def is_away(self) -> bool:
        """Whether the latest box is not where the person was first detected."""
        return self._origin.is_away

    @property
    def current_zones(self) -> tuple[str, ...]:
        return self._zones.current

    @property
    def zones_now(self) -> tuple[str, ...]:
        """Those of the current zones that contain the foot point in this very frame."""
        return tuple(zone for zone in self._zones.current if zone in self._zones.inside)

    @property
    def entered_zones(self) -> tuple[str, ...]:
        return self._zones.entered

    def as_event(self, frame: Frame) -> Event:
        """The visit at `frame` as an Event; only after it is confirmed."""
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
            has_snapshot=True,  # the publisher takes one of every visit, at its first change
            suppressed=self.place.suppressed if self.place else None,
            appearance=self.appearance,
            path=self._path.points,
            why="" if self.alerts else self.why[1],
        )

    def resume(self, later: Visit) -> None:
        """Continue as `later`, another track of the same person."""
        self.last_mono = self.lost_mono = later.last_mono
        self.track, self.qualifies = later.track, later.qualifies
        self.top_score = max(self.top_score, later.top_score)
        self._qualified = later._qualified
        self._trail = later._trail
        self._zones.take_over(later._zones)
        self._path.take_over(later._path)
        self.why = max(self.why, later.why)
        self._still.observe(later._trail.last, later.last_mono)
        self._origin.observe(later._trail.last)
        if self.guarded_since is None or later.guarded_since is None:
            self.guarded_since = later.guarded_since

    def continued_by(self, later: Visit) -> float | None:
        """How unlikely (0..1, smaller is likelier) it is that `later` is the same person; None: another person.

        The same person: seen again soon after, about as large, near the path walked so far; the first did
        not leave, and the second did not enter, over a side of the picture far from the other; and their
        directions are not opposite (a person who enters where the first just left).
        """
        gone, come = self._trail, later._trail
        if later.since is None or come.first is None:
            return None  # not seen yet
        if later.since <= self.last_mono:
            return None
        gap = max(later.since - self.lost_mono, 0.0)
        stature = max(gone.stature, come.stature)
        if gap > RELINK_S or stature > _SCALE * min(gone.stature, come.stature):
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
    """The common speed of two sides, one of which the picture's edge may hold in place."""
    if low_held != high_held:
        return high if low_held else low
    return min(low, high, key=abs) if low * high > 0.0 else 0.0


def _crossed(at: Box, velocity: Vector, slow: float, size: Size, other: Box) -> bool:
    """True if a person at `at` leaves over a side of the picture that `other` is not near.

    With the velocity reversed: if a person entered there.
    """
    outward = (-velocity[0], -velocity[1], velocity[0], velocity[1])
    sides = zip(outward, _edges(at, size, _AT_EDGE), _edges(other, size, 2 * _AT_EDGE), strict=True)
    return any(speed > slow and here and not there for speed, here, there in sides)


def _opposed(a: Vector, b: Vector, slow: float) -> bool:
    """True if both are faster than `slow` and their directions are opposite."""
    speeds = math.hypot(*a), math.hypot(*b)
    if min(speeds) <= slow:
        return False
    return (a[0] * b[0] + a[1] * b[1]) / (speeds[0] * speeds[1]) < _OPPOSED


def _edges(box: Box, size: Size, margin: float) -> tuple[bool, bool, bool, bool]:
    """Whether `box` reaches the left, top, right and bottom edge of a picture of `size`; `margin` is a share."""
    x, y = margin * size[0], margin * size[1]
    return box[0] <= x, box[1] <= y, box[2] >= size[0] - x, box[3] >= size[1] - y


def _from_path(box: Box, velocity: Vector, gap: float, later: Box) -> float:
    """How far (px) `later` is from the straight path of `box` during `gap` s.

    By the feet or by the head, whichever is nearer: mostly only one of them is hidden.
    """
    x = (later[0] + later[2] - box[0] - box[2]) / 2
    way = velocity[0] * gap, velocity[1] * gap
    return min(from_segment((x, y), way) for y in (later[3] - box[3], later[1] - box[1]))
