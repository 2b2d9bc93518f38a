"""Frigate's reviews: one a camera for as long as visits follow each other without a gap; pure.

An item begins with the first open visit and ends with the last. Its severity is `alert` once one of its visits raised an
alert, else `detection`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from detector.core.types import Event, EventChange

Document = dict[str, Any]


@dataclass(slots=True)
class _Item:
    """An open review, and which of its visits are still open."""

    document: Document
    open: set[str] = field(default_factory=set)


class ReviewTracker:
    """`change` and `alert` give the messages for `P/reviews` that follow. Not thread-safe."""

    def __init__(self) -> None:
        self._items: dict[str, _Item] = {}

    def severity(self, camera: str) -> str | None:
        """`alert` or `detection`; None while nothing is going on."""
        item = self._items.get(camera)
        return None if item is None else str(item.document["severity"])

    def change(self, change: EventChange) -> Iterator[Document]:
        event = change.after
        item = self._items.get(event.camera)
        before = None if item is None else copy.deepcopy(item.document)
        if item is None:
            if change.type == "end":
                return
            item = self._items[event.camera] = _Item(_opened(event))
        _add(item, event, is_open=change.type != "end")
        if not item.open:
            del self._items[event.camera]
            item.document["end_time"] = event.end_wall
            yield {"type": "end", "before": before, "after": copy.deepcopy(item.document)}
        elif before != item.document:
            kind = "new" if before is None else "update"
            yield {"type": kind, "before": before or item.document, "after": copy.deepcopy(item.document)}

    def alert(self, camera: str) -> Iterator[Document]:
        """An alert was raised: the open item becomes one."""
        item = self._items.get(camera)
        if item is not None and item.document["severity"] != "alert":
            before = copy.deepcopy(item.document)
            item.document["severity"] = "alert"
            yield {"type": "update", "before": before, "after": copy.deepcopy(item.document)}


def _opened(event: Event) -> Document:
    return {
        "id": event.id,
        "camera": event.camera,
        "start_time": event.start_wall,
        "end_time": None,
        "severity": "detection",
        "thumb_path": "",
        "data": {"detections": [], "objects": ["person"], "sub_labels": [], "zones": [], "audio": []},
    }


def _add(item: _Item, event: Event, *, is_open: bool) -> None:
    (item.open.add if is_open else item.open.discard)(event.id)
    data = item.document["data"]
    if event.id not in data["detections"]:
        data["detections"].append(event.id)
    data["zones"] += [zone for zone in event.entered_zones if zone not in data["zones"]]
