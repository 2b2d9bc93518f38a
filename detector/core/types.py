"""The values that the stages pass to each other: frozen dataclasses without behaviour.

Units: boxes are x1, y1, x2, y2 in source pixels; `*_mono` is monotonic seconds, `*_wall` is seconds since the epoch
(UTC). Wall time is stamped once, at capture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Box = tuple[float, float, float, float]
PlaneFormat = Literal["bgr", "nv12", "yuyv", "i420"]
Matrix = Literal["bt601", "bt709"]


class Image(Protocol):
    """A decoded picture, converted only when needed.

    It keeps the decoder's planes, so a frame that is not used costs no colour conversion.
    """

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    def bgr(self) -> Pixels:
        """The picture as BGR uint8 [height, width, 3], contiguous; callers must not write to it."""
        ...

    def luma(self) -> Pixels:
        """Brightness as uint8 [height, width]; may be a strided view; callers must not write."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Planes:
    """A picture in its source's format: uint8 [rows, bytes per row] views, possibly strided.

    bgr: one plane. nv12: Y, then interleaved U and V with half as many rows. yuyv: one, Y0 U Y1 V for two pixels.
    i420: Y, U, V. `matrix` and `full_range` are the colour standard of Y, U and V.
    """

    format: PlaneFormat
    width: int
    height: int
    planes: tuple[Pixels, ...]
    matrix: Matrix = "bt601"
    full_range: bool = False


@runtime_checkable
class PlanarImage(Protocol):
    """An Image that may give its planes, for a colour conversion elsewhere than on the CPU."""

    def planes(self) -> Planes | None:
        """The planes; None if `Planes` does not support their format. Callers must not write to them."""
        ...


@dataclass(frozen=True, slots=True)
class ArrayImage:
    """A picture from a BGR array, uint8 [height, width, 3]."""

    pixels: Pixels

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    def bgr(self) -> Pixels:
        return self.pixels

    def luma(self) -> Pixels:
        # Green is 59 % of luma (BT.601) and is a view without a copy: enough to detect motion.
        return self.pixels[:, :, 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One picture of one camera; `seq` counts from 0 per opened camera and never repeats in it."""

    camera: str
    seq: int
    captured_mono: float
    captured_wall: float
    image: Image


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """The persons detected in `frame`: boxes float32 [N,4] px, scores float32 [N] 0..1, best first."""

    frame: Frame
    boxes: Floats
    scores: Floats
    infer_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One person tracked over frames; `id` is unique within the camera's tracker.

    `matched` is False while the track is only predicted; `score` is that of the last matched detection; `hits`
    counts matched frames.
    """

    id: int
    box: Box
    score: float
    first_mono: float
    last_mono: float
    hits: int
    matched: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Appearance:
    """Where a visit was seen in the frame of its picture, and how it looked there.

    `box` is normalised (0..1), as if the camera had not turned since the start; `look` is of `analytics.look`, empty where
    it is not known.
    """

    box: Box
    look: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPoint:
    """Where a person's box was at `mono` (monotonic s): `box` normalised 0..1, `score` of the detection 0..1."""

    mono: float
    box: Box
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxReason:
    """A box of a frame (px) and why it raises no alert at this moment; `alerted`: its visit has raised one."""

    track_id: int
    box: Box
    score: float
    alerted: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppressed:
    """Why a visit raises no alert: it is in a place, known by `id`, where nobody was all `matches` times since `since`.

    `since` is epoch s. `asked`: a user said so. `proposed`: learnt from visits alone, and so often seen that a user should confirm or undo it.
    """

    id: str
    reason: str
    since: float
    matches: int
    asked: bool = False
    proposed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A person's visit at one frame; `start_wall`, `end_wall`, `frame_wall` in epoch s.

    `suppressed`: why the visit raises no alert; None where it may. `appearance` is kept for a user who says that
    nobody is there. `path` and `why` are for the history: where the person was, and the last thing that kept an alert back
    ("" once there was one).
    """

    id: str
    camera: str
    track_id: int
    frame_wall: float
    start_wall: float
    end_wall: float | None
    score: float
    top_score: float
    box: Box
    frame_size: tuple[int, int]  # width, height in px
    current_zones: tuple[str, ...]
    entered_zones: tuple[str, ...]
    stationary: bool
    has_snapshot: bool
    suppressed: Suppressed | None = None
    appearance: Appearance | None = None
    path: tuple[PathPoint, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventChange:
    """A change of an event: `before` equals `after` for a new one; `frame` is the frame that caused it."""

    type: Literal["new", "update", "end"]
    before: Event
    after: Event
    frame: Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class SinceLast:
    """Who came since the camera's last alert and was held back by the cooldown: how many, and their event ids.

    `events` may be fewer than `people`: the ids of the latest ones.
    """

    people: int = 0
    events: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An intrusion; `frame` is the frame in which it was confirmed.

    Published once per event (`repeat` 0); reminders that the person is still there, if wanted, count up from 1.
    """

    id: str
    event_id: str
    camera: str
    zones: tuple[str, ...]
    score: float
    box: Box
    frame: Frame
    confirmed_mono: float
    repeat: int = 0
    since_last: SinceLast = SinceLast()


@dataclass(frozen=True, slots=True, kw_only=True)
class TamperAlert:
    """A camera's view was taken away while the alarm was armed; `kind` is how (`analytics.tamper`), `wall` when."""

    id: str
    camera: str
    kind: str
    wall: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """An MQTT message; `topic` includes the prefix."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


CameraState = Literal["connecting", "online", "degraded", "offline", "disabled"]
AlarmState = Literal["armed_away", "armed_home", "armed_night", "armed_vacation", "disarmed", "pending", "triggered"]
AlarmCommand = Literal["ARM_AWAY", "ARM_HOME", "ARM_NIGHT", "ARM_VACATION", "DISARM"]
JsonObject = Mapping[str, object]
