"""What goes over the wire: event and alert documents and their JSON; `schemas/` describes it.

Event fields follow Frigate's, so that its clients understand them; alert fields are this
detector's own. Every number is finite and rounded, every box ordered and inside its picture.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from detector.core.types import Alert, Appearance, Box, Event, EventChange, PathPoint, Suppressed, TamperAlert

_END = b',"confirmed_at":'  # an alert's document from here on is written when it is sent
_CONSTANT: dict[str, Any] = {
    "label": "person",
    "sub_label": None,
    "false_positive": False,
    "thumbnail": None,
    "snapshot": None,
    "attributes": {},
    "current_attributes": [],
}
_LAST_SECOND = 253_402_300_799.0  # 9999-12-31T23:59:59Z: the last that RFC 3339 can write


SnapshotUrl = Callable[[str], "str | None"]
"""From `snapshot_path` to an address that needs no token for a while; None where there is none."""
ClipExists = Callable[[str], bool]
"""Whether there is a file at `clip_path` by now."""


def finite(value: float, *, low: float = -math.inf, high: float = math.inf) -> float:
    """`value` held within `low`..`high`; NaN and infinities, which JSON cannot say, become 0 first."""
    value = float(value)
    return min(max(value if math.isfinite(value) else 0.0, low), high)


def timestamp(wall: float) -> str:
    """Epoch seconds as RFC 3339 in UTC with milliseconds: `2026-11-22T20:31:00.250Z`."""
    moment = datetime.fromtimestamp(round(finite(wall, low=0.0, high=_LAST_SECOND), 3), tz=timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_timestamp(text: str) -> float:
    """Epoch seconds of what `timestamp` wrote."""
    # Python 3.10 does not read the Z.
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def pixel_box(box: Box, size: tuple[int, int]) -> list[int]:
    """`box` as whole pixels [x1, y1, x2, y2], ordered, inside a picture of `size` (width, height)."""
    xs, ys = sorted((box[0], box[2])), sorted((box[1], box[3]))
    x1, x2 = (round(finite(x, low=0.0, high=size[0])) for x in xs)
    y1, y2 = (round(finite(y, low=0.0, high=size[1])) for y in ys)
    return [min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)]  # again: a NaN has no place in a sort


def _score(value: float) -> float:
    return round(finite(value, low=0.0, high=1.0), 4)


def _seconds(wall: float) -> float:
    return round(finite(wall), 6)


def _ratio(width: int, height: int) -> float:
    """Width over height, as Frigate's filters mean it."""
    return round(width / height, 4) if height else 0.0


def _event(event: Event, device: str, has_clip: bool) -> dict[str, Any]:
    x1, y1, x2, y2 = box = pixel_box(event.box, event.frame_size)
    width, height = x2 - x1, y2 - y1
    return {
        "id": event.id,
        "device": device,
        "camera": event.camera,
        **_CONSTANT,
        "frame_time": _seconds(event.frame_wall),
        "start_time": _seconds(event.start_wall),
        "end_time": None if event.end_wall is None else _seconds(event.end_wall),
        "score": _score(event.score),
        "top_score": _score(max(finite(event.top_score), finite(event.score))),
        "box": box,
        "area": width * height,
        "ratio": _ratio(width, height),
        "region": [0, 0, *event.frame_size],  # the model sees the whole picture
        "frame_size": list(event.frame_size),
        "current_zones": list(event.current_zones),
        "entered_zones": list(event.entered_zones),
        "stationary": event.stationary,
        "active": event.end_wall is None and not event.stationary,
        "has_snapshot": event.has_snapshot,
        "has_clip": has_clip,
        "suppressed": None if event.suppressed is None else suppressed_document(event.suppressed),
        "stationary_since": None if event.suppressed is None else _seconds(event.suppressed.since),
    }


def suppressed_document(suppressed: Suppressed) -> dict[str, Any]:
    """Why a visit raises no alert, as events say it; `since` in epoch s."""
    return {
        "id": suppressed.id,
        "reason": suppressed.reason,
        "since": _seconds(suppressed.since),
        "matches": int(suppressed.matches),
        "asked": suppressed.asked,
        "proposed": suppressed.proposed,
    }


APPEARANCE = "appearance"
"""The key of a visit's document, in the history alone, under which `appearance_document` stands."""


def appearance_document(event: Event) -> dict[str, Any]:
    """What the history keeps of how a visit looked, for a user who says that nobody is there; nobody else is sent it."""
    if event.appearance is None:
        return {}
    look = base64.b64encode(event.appearance.look).decode("ascii")
    return {APPEARANCE: {"box": [round(finite(side), 6) for side in event.appearance.box], "look": look}}


PATH = "path"
"""The key of a visit's document, in the history alone, under which its points stand: [s after the start, x1, y1, x2, y2, score]."""


def record_document(event: Event) -> dict[str, Any]:
    """What the history keeps of a visit beside its event: how it looked, its path, and why there was no alert (yet)."""
    start = event.path[0].mono if event.path else 0.0
    points = [
        [round(point.mono - start, 2), *(round(finite(side), 3) for side in point.box), round(finite(point.score), 2)]
        for point in event.path
    ]
    return {**appearance_document(event), PATH: points, "why": event.why}


def parse_path(visit: Mapping[str, Any]) -> list[PathPoint]:
    """The path of a visit of the history; of one that was recorded without it, its last box alone.

    Raises KeyError, TypeError or ValueError for what is no visit.
    """
    if visit.get(PATH):
        return [
            PathPoint(mono=float(after), box=(float(x1), float(y1), float(x2), float(y2)), score=float(score))
            for after, x1, y1, x2, y2, score in visit[PATH]
        ]
    width, height = visit["frame_size"]
    x1, y1, x2, y2 = visit["box"]
    box = (x1 / width, y1 / height, x2 / width, y2 / height)
    return [PathPoint(mono=0.0, box=box, score=float(visit["top_score"]))]


def parse_appearance(visit: Mapping[str, Any]) -> Appearance:
    """Where and how a visit of the history was seen; of one without `appearance_document` its place alone.

    Raises KeyError, TypeError or ValueError for what is no visit.
    """
    if APPEARANCE in visit:
        kept = visit[APPEARANCE]
        x1, y1, x2, y2 = (float(side) for side in kept["box"])
        return Appearance(box=(x1, y1, x2, y2), look=base64.b64decode(kept["look"], validate=True))
    width, height = visit["frame_size"]
    x1, y1, x2, y2 = visit["box"]
    return Appearance(box=(x1 / width, y1 / height, x2 / width, y2 / height), look=b"")


def event_payload(change: EventChange, *, device: str, has_clip: bool = False) -> dict[str, Any]:
    """`{"type", "before", "after"}` of a change; times in epoch s, boxes in px, areas in px²."""
    before, after = (_event(event, device, has_clip) for event in (change.before, change.after))
    return {"type": change.type, "before": before, "after": after}


def snapshot_path(event_id: str) -> str:
    """Where the HTTP API gives the event's picture."""
    return f"/api/events/{event_id}/snapshot.jpg"


def clip_path(event_id: str) -> str:
    """Where the HTTP API gives the event's clip."""
    return f"/api/events/{event_id}/clip.mp4"


def _latency(capture_to_confirm: float, confirm_to_publish: float | None) -> dict[str, float | None]:
    first = round(finite(capture_to_confirm, low=0.0), 1)
    if confirm_to_publish is None:
        return {"capture_to_confirm": first, "confirm_to_publish": None, "total": None}
    second = round(finite(confirm_to_publish, low=0.0), 1)
    return {"capture_to_confirm": first, "confirm_to_publish": second, "total": round(first + second, 1)}


def alert_payload(
    alert: Alert, *, device: str, seq: int, clock_synced: bool = True, with_clip: bool = False
) -> dict[str, Any]:
    """The document of `alert` as it is kept: not finished until `published` adds what the moment of sending knows.

    `clock_synced`: whether the wall clock that stamped it was known to be right. `with_clip`: a clip of it is made.
    """
    frame = alert.frame
    size = (frame.image.width, frame.image.height)
    took = finite(alert.confirmed_mono - frame.captured_mono, low=0.0)
    return {
        "id": alert.id,
        "seq": int(seq),
        "event_id": alert.event_id,
        "device": device,
        "camera": alert.camera,
        "zones": list(alert.zones),
        "score": _score(alert.score),
        "box": pixel_box(alert.box, size),
        "frame_size": list(size),
        "repeat": int(alert.repeat),
        "since_last": {"people": int(alert.since_last.people), "events": list(alert.since_last.events)},
        "clock_synced": clock_synced,
        "captured_at": timestamp(frame.captured_wall),
        "confirmed_at": timestamp(frame.captured_wall + took),
        "published_at": None,
        "latency_ms": _latency(took * 1000, None),
        "replayed": False,
        "snapshot": snapshot_path(alert.event_id),
        "snapshot_url": None,
        "clip": clip_path(alert.event_id) if with_clip else None,
        "clip_url": None,
    }


def _no_url(_path: str) -> None:
    return None


def _no_clip(_path: str) -> bool:
    return False


def published(
    document: Mapping[str, Any],
    *,
    wall: float,
    replayed: bool = False,
    snapshot_url: SnapshotUrl = _no_url,
    clip_exists: ClipExists = _no_clip,
) -> dict[str, Any]:
    """A copy of an alert's document (or of its part from `confirmed_at` on) as it is sent at `wall`, epoch s.

    `replayed`: it may have been sent before. The picture's address is made now: after an outage it must not have
    expired on the way. `clip` is there once the clip is; `clip_url` is where it will be. A wall clock that was set back in between gives a
    latency of 0, never a negative one.
    """
    clip = document.get("clip")
    waited = finite(wall) - parse_timestamp(document["confirmed_at"])
    return {
        **document,
        "published_at": timestamp(wall),
        "latency_ms": _latency(document["latency_ms"]["capture_to_confirm"], waited * 1000),
        "replayed": bool(replayed),
        "snapshot_url": snapshot_url(document["snapshot"]),
        "clip": clip if clip and clip_exists(clip) else None,
        "clip_url": snapshot_url(clip) if clip else None,
    }


def stamp_published(
    text: bytes,
    *,
    wall: float,
    replayed: bool,
    snapshot_url: SnapshotUrl = _no_url,
    clip_exists: ClipExists = _no_clip,
) -> bytes:
    """`published` on an encoded document: all before `confirmed_at` stays as it was encoded.

    Raises ValueError for what is no alert's document.
    """
    start = text.rindex(_END)  # quotes in a JSON string are escaped, so this can only be the key
    try:
        end = published(
            json.loads(b"{" + text[start + 1 :]),
            wall=wall,
            replayed=replayed,
            snapshot_url=snapshot_url,
            clip_exists=clip_exists,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an alert's document: {error!r}") from None
    return text[: start + 1] + encode(end)[1:]


def tamper_payload(alert: TamperAlert, *, device: str, clock_synced: bool) -> dict[str, Any]:
    """What is published on `Topics.tamper`; `schemas/tamper.schema.json` describes it."""
    return {
        "id": alert.id,
        "device": device,
        "camera": alert.camera,
        "reason": alert.kind,
        "clock_synced": clock_synced,
        "captured_at": timestamp(alert.wall),
    }


def clip_payload(
    event_id: str, *, device: str, camera: str, duration_s: float, snapshot_url: SnapshotUrl
) -> dict[str, Any]:
    """What is published on `Topics.clips` once a visit's clip is there; `schemas/clip.schema.json` describes it."""
    path = clip_path(event_id)
    return {
        "event_id": event_id,
        "device": device,
        "camera": camera,
        "duration_s": round(finite(duration_s, low=0.0), 1),
        "clip": path,
        "clip_url": snapshot_url(path),
    }


def unseen_event(alert: Mapping[str, Any]) -> dict[str, Any]:
    """An event's document as far as one of its alerts tells it: for a visit that is known by its alert alone."""
    x1, y1, x2, y2 = box = alert["box"]
    width, height = x2 - x1, y2 - y1
    seen = parse_timestamp(alert["captured_at"])
    return {
        "id": alert["event_id"],
        "device": alert["device"],
        "camera": alert["camera"],
        **_CONSTANT,
        "frame_time": seen,
        "start_time": seen,
        "end_time": None,
        "score": alert["score"],
        "top_score": alert["score"],
        "box": box,
        "area": width * height,
        "ratio": _ratio(width, height),
        "region": [0, 0, *alert["frame_size"]],
        "frame_size": alert["frame_size"],
        "current_zones": alert["zones"],
        "entered_zones": alert["zones"],
        "stationary": False,
        "active": True,
        "has_snapshot": False,
        "has_clip": False,
        "suppressed": None,
        "stationary_since": None,
    }


def encode(payload: Mapping[str, Any]) -> bytes:
    """Compact UTF-8 JSON: the same document gives the same bytes. ValueError on NaN or infinity."""
    return json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
