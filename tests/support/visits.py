"""Visits, alerts and full disks, made to measure."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from detector.core.types import Alert, ArrayImage, Event, Frame

WALL = 1_790_000_000.25


def frame(*, camera: str = "porch", size: tuple[int, int] = (64, 48), mono: float = 100.0) -> Frame:
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    return Frame(camera=camera, seq=7, captured_mono=mono, captured_wall=WALL, image=ArrayImage(pixels))


def event(**changes: Any) -> Event:
    values: dict[str, Any] = {
        "id": "1790000000.250000-abc123",
        "camera": "porch",
        "track_id": 3,
        "frame_wall": WALL + 1,
        "start_wall": WALL,
        "end_wall": None,
        "score": 0.8,
        "top_score": 0.9,
        "box": (10.0, 12.0, 20.0, 40.0),
        "frame_size": (64, 48),
        "current_zones": ("garden",),
        "entered_zones": ("garden", "path"),
        "stationary": False,
        "has_snapshot": False,
    }
    return Event(**(values | changes))


def alert(**changes: Any) -> Alert:
    values: dict[str, Any] = {
        "id": "5f0c3b1e-0000-5000-8000-000000000001",
        "event_id": "1790000000.250000-abc123",
        "camera": "porch",
        "zones": ("garden",),
        "score": 0.87654321,
        "box": (10.4, 12.6, 20.5, 40.0),
        "frame": frame(),
        "confirmed_mono": 100.125,
    }
    return Alert(**(values | changes))


@contextmanager
def full_disk(limit: int = 0) -> Iterator[None]:
    """No file of this process can grow beyond `limit` bytes, whoever runs it: writes fail with EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class StillClock:
    """Time that moves only when told."""

    def __init__(self, *, mono: float = 0.0, wall: float = WALL) -> None:
        self.now_mono, self.now_wall = mono, wall

    def mono(self) -> float:
        return self.now_mono

    def wall(self) -> float:
        return self.now_wall
