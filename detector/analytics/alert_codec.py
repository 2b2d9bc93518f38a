"""Alerts to JSON documents and back, so that alerts held by an entry delay survive a restart.

The picture is not kept: a restored alert's frame has the right size and is black.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from detector.core.types import Alert, Frame, Pixels, SinceLast


@dataclass(frozen=True, slots=True, kw_only=True)
class LostImage:
    """An Image in place of a lost one: its size, and black pixels."""

    width: int
    height: int

    def bgr(self) -> Pixels:
        return np.zeros((self.height, self.width, 3), dtype=np.uint8)

    def luma(self) -> Pixels:
        return np.zeros((self.height, self.width), dtype=np.uint8)


def dump(alert: Alert) -> dict[str, Any]:
    """Everything but the pixels, JSON types only."""
    frame = alert.frame
    return {
        "id": alert.id,
        "event_id": alert.event_id,
        "camera": alert.camera,
        "zones": list(alert.zones),
        "score": float(alert.score),
        "box": [float(side) for side in alert.box],
        "seq": frame.seq,
        "frame_size": [frame.image.width, frame.image.height],
        "captured_wall": float(frame.captured_wall),
        "repeat": alert.repeat,
        "since_last": {"people": alert.since_last.people, "events": list(alert.since_last.events)},
        "confirmed_after_s": float(alert.confirmed_mono - frame.captured_mono),
    }


def load(document: Mapping[str, Any], *, t: float) -> Alert:
    """The alert that `dump` wrote, with its monotonic stamps moved to `t`, since that clock restarts at boot.

    Raises KeyError, TypeError or ValueError for any other document; older ones have no `repeat` and `since_last`.
    """
    width, height = (int(side) for side in document["frame_size"])
    x1, y1, x2, y2 = (float(side) for side in document["box"])
    frame = Frame(
        camera=str(document["camera"]),
        seq=int(document["seq"]),
        captured_mono=t,
        captured_wall=float(document["captured_wall"]),
        image=LostImage(width=width, height=height),
    )
    since = document.get("since_last", {"people": 0, "events": ()})
    return Alert(
        id=str(document["id"]),
        event_id=str(document["event_id"]),
        camera=frame.camera,
        zones=tuple(str(zone) for zone in document["zones"]),
        score=float(document["score"]),
        box=(x1, y1, x2, y2),
        frame=frame,
        confirmed_mono=t + float(document["confirmed_after_s"]),
        repeat=int(document.get("repeat", 0)),
        since_last=SinceLast(people=int(since["people"]), events=tuple(str(event) for event in since["events"])),
    )
