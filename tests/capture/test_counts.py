"""What a camera's loop tells of decoding, over all its connections."""

from __future__ import annotations

import threading

import numpy as np

from detector.capture.camera import CameraLoop
from detector.capture.idle_cameras import IdleCameras
from detector.capture.source import CapturedImage, DecodeCounts, Source
from detector.core.backoff import Backoff
from detector.core.errors import SourceError
from detector.core.types import ArrayImage, Frame

PICTURE = ArrayImage(np.zeros((4, 6, 3), np.uint8))


class Plain:
    """Three pictures, then the connection is lost."""

    def __init__(self) -> None:
        self.reads = 0

    def open(self) -> None:
        self.reads = 0

    def read(self) -> CapturedImage:
        if self.reads == 3:
            raise SourceError("gone")
        self.reads += 1
        return CapturedImage(image=PICTURE, media_s=None)

    def close(self) -> None:
        pass


class Sparing(Plain):
    """One that leaves a picture out for each that it gives."""

    @property
    def counts(self) -> DecodeCounts:
        return DecodeCounts(decoded=self.reads, skipped=self.reads, damaged=1, keyframes_only=self.reads == 2)


def counted(source: Source, frames: int) -> list[DecodeCounts]:
    """The loop's counts at each frame."""
    stop, seen = threading.Event(), list[DecodeCounts]()

    def put(_frame: Frame) -> None:
        seen.append(loop.stats().decode)
        if len(seen) == frames:
            stop.set()

    backoff = Backoff(base=0.001, cap=0.002)
    loop = CameraLoop(name="a", make_source=lambda: source, put=put, stop=stop, backoff=backoff)
    loop.run()
    return seen


def test_counts_add_up_over_connections() -> None:
    seen = counted(Sparing(), 5)
    assert [counts.decoded for counts in seen] == [1, 2, 3, 4, 5]
    assert [counts.skipped for counts in seen] == [1, 2, 3, 4, 5]
    assert [counts.damaged for counts in seen] == [1, 1, 1, 2, 2]
    assert [counts.keyframes_only for counts in seen] == [False, True, False, False, True]


def test_a_source_that_leaves_nothing_out_has_decoded_what_it_gave() -> None:
    assert counted(Plain(), 5)[-1] == DecodeCounts(decoded=5)


def test_a_camera_rests_only_while_it_is_told_to() -> None:
    attention = IdleCameras()
    assert not attention.is_idle("a")
    attention.set("a", True)
    attention.set("b", False)
    assert (attention.is_idle("a"), attention.is_idle("b")) == (True, False)
    attention.set("a", False)
    assert not attention.is_idle("a")
