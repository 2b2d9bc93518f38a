"""A camera loop on a source that plays a list."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import numpy as np

from detector.capture.camera import CameraLoop, OnState
from detector.capture.source import CapturedImage, Source
from detector.core.backoff import Backoff
from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.errors import SourceError
from detector.core.types import ArrayImage, CameraState, Frame

Running = Callable[[Callable[[], None], threading.Event], threading.Thread]


Until = Callable[[Callable[[], object]], None]


PICTURE = ArrayImage(np.zeros((4, 6, 3), np.uint8))


FAST = (0.01, 0.05)


class Script:
    """A source that plays a list: a number is so many frames, a text is a SourceError."""

    def __init__(self, *steps: int | str | Exception) -> None:
        self.steps = list(steps)
        self.opened = self.closed = 0
        self.threads: set[str] = set()

    def open(self) -> None:
        self.opened += 1
        self.threads.add(threading.current_thread().name)

    def read(self) -> CapturedImage:
        step = self.steps[0] if self.steps else "exhausted"
        if isinstance(step, int) and step > 0:
            self.steps[0] = step - 1
            return CapturedImage(image=PICTURE, media_s=None)
        if self.steps:
            self.steps.pop(0)
        if isinstance(step, int):
            return self.read()
        raise step if isinstance(step, Exception) else SourceError(step)

    def close(self) -> None:
        self.closed += 1
        self.threads.add(threading.current_thread().name)


class States(list[tuple[CameraState, "str | None"]]):
    def told(self, name: str, state: CameraState, error: str | None) -> None:
        assert name == "porch"
        self.append((state, error))

    @property
    def names(self) -> list[CameraState]:
        return [state for state, _ in self]


def loop_of(
    source: Source | Callable[[], Source],
    put: Callable[[Frame], None],
    stop: threading.Event,
    *,
    clock: Clock = SYSTEM_CLOCK,
    on_state: OnState | None = None,
) -> CameraLoop:
    return CameraLoop(
        name="porch",
        make_source=source if callable(source) else lambda: source,
        put=put,
        stop=stop,
        clock=clock,
        on_state=on_state,
        backoff=Backoff(base=FAST[0], cap=FAST[1], rng=random.Random(3)),
    )
