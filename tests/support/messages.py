"""Pieces for tests of alerts: threads that end, alerts and events with a real picture."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np

from detector.core.types import Alert, ArrayImage, Event, EventChange, Frame, Message

JOIN_S = 10.0
WILL = Message(topic="p/available", payload=b"offline", qos=1, retain=True)


@contextlib.contextmanager
def running(run: Callable[[threading.Event], None]) -> Iterator[threading.Event]:
    """`run(stop)` in a thread for the block; yields `stop`. An exception of the thread fails the test."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def main() -> None:
        try:
            run(stop)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=main, name="under test")
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(JOIN_S)
    assert not thread.is_alive(), "the stage did not stop"
    if failures:
        raise failures[0]


def make_frame(*, camera: str = "porch", seq: int = 0, mono: float = 100.0, wall: float = 1_790_000_000.0) -> Frame:
    """A 160x120 picture whose brightness tells its `seq`."""
    pixels = np.full((120, 160, 3), seq % 200 + 20, dtype=np.uint8)
    return Frame(camera=camera, seq=seq, captured_mono=mono, captured_wall=wall, image=ArrayImage(pixels))


def make_alert(number: int, *, camera: str = "porch") -> Alert:
    return Alert(
        id=f"alert-{number}",
        event_id=f"event-{number}",
        camera=camera,
        zones=("garden",),
        score=0.9,
        box=(10.0, 10.0, 60.0, 110.0),
        frame=make_frame(camera=camera, seq=number),
        confirmed_mono=100.05,
    )


def make_change(number: int, kind: Literal["new", "update", "end"] = "new", *, camera: str = "porch") -> EventChange:
    event = Event(
        id=f"event-{number}",
        camera=camera,
        track_id=number,
        frame_wall=1_790_000_000.0,
        start_wall=1_790_000_000.0,
        end_wall=1_790_000_005.0 if kind == "end" else None,
        score=0.8,
        top_score=0.9,
        box=(10.0, 10.0, 60.0, 110.0),
        frame_size=(160, 120),
        current_zones=(),
        entered_zones=(),
        stationary=False,
        has_snapshot=False,
    )
    return EventChange(type=kind, before=event, after=event, frame=make_frame(camera=camera, seq=number))
