from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from detector.alerts.snapshot_encoder import SnapshotEncoder
from detector.core.types import ArrayImage, Box, Frame
from support.visits import frame

BOX: Box = (1.0, 2.0, 3.0, 4.0)
DEADLINE_S = 20.0


class CountingEncoder:
    """Encodes by counting; `made` is set after each picture, `warm` after the room's own first one."""

    def __init__(self) -> None:
        self.threads: list[str] = []
        self.made, self.warm = threading.Event(), threading.Event()

    def encode(self, picture: Frame, _box: Box, _score: float, max_width: int | None) -> bytes | None:
        if not picture.camera:
            self.warm.set()
            return b"warm"
        self.threads.append(threading.current_thread().name)
        self.made.set()
        return f"jpeg {picture.seq}, {max_width}".encode()


@contextmanager
def running(room: SnapshotEncoder) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=room.run, args=(stop,), name="darkroom")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(DEADLINE_S)
        assert not thread.is_alive()


def wide(width: int) -> Frame:
    return replace(frame(), image=ArrayImage(np.zeros((48, width, 3), np.uint8)))


def test_a_picture_is_made_beside_who_waits_for_it_and_only_once() -> None:
    camera = CountingEncoder()
    room = SnapshotEncoder(encode=camera.encode)
    with running(room):
        picture = room.begin(frame(), BOX, 0.9)
        assert camera.made.wait(DEADLINE_S)
        assert picture.preview.get() == picture.preview.get() == b"jpeg 7, None"
    assert camera.threads == ["darkroom"]


def test_what_is_told_is_no_wider_than_asked_for_and_what_is_kept_is_whole() -> None:
    camera = CountingEncoder()
    room = SnapshotEncoder(encode=camera.encode, told_width=320)
    with running(room):
        picture = room.begin(wide(321), BOX, 0.9)
        assert camera.made.wait(DEADLINE_S)
        assert picture.preview.get() == b"jpeg 7, 320"
        assert camera.threads == ["darkroom"], "the whole one only when it is kept: the alert waits for the other"
        assert picture.full.get() == b"jpeg 7, None"
    assert camera.threads == ["darkroom", threading.current_thread().name]


@pytest.mark.parametrize(("told_width", "width"), [(320, 320), (320, 64), (0, 4000)])
def test_a_picture_that_is_small_enough_is_made_once_for_both(told_width: int, width: int) -> None:
    camera = CountingEncoder()
    picture = SnapshotEncoder(encode=camera.encode, told_width=told_width).begin(wide(width), BOX, 0.9)
    assert picture.preview.get() == picture.full.get() == b"jpeg 7, None"
    assert len(camera.threads) == 1


def test_the_first_label_is_drawn_before_anybody_waits() -> None:
    camera = CountingEncoder()
    with running(SnapshotEncoder(encode=camera.encode)):
        assert camera.warm.wait(DEADLINE_S)
    assert camera.threads == []


def test_without_a_thread_who_needs_a_picture_makes_it() -> None:
    camera = CountingEncoder()
    room = SnapshotEncoder(encode=camera.encode)
    pictures = [room.begin(frame(), BOX, 0.9) for _ in range(20)]
    assert camera.threads == [], "`begin` returns at once"
    assert {picture.preview.get() for picture in pictures} == {b"jpeg 7, None"}
    assert len(camera.threads) == 20
    assert set(camera.threads) == {threading.current_thread().name}


def test_who_asks_while_it_is_being_made_waits_for_the_same_one() -> None:
    begun, go_on = threading.Event(), threading.Event()
    calls: list[int] = []

    def slow(picture: Frame, _box: Box, _score: float, _width: int | None) -> bytes:
        if picture.camera:
            calls.append(1)
            begun.set()
            assert go_on.wait(DEADLINE_S)
        return b"slow"

    room = SnapshotEncoder(encode=slow)
    with running(room):
        picture = room.begin(frame(), BOX, 0.9)
        assert begun.wait(DEADLINE_S)
        threading.Timer(0.05, go_on.set).start()
        assert picture.preview.get() == b"slow"
    assert len(calls) == 1


def test_a_picture_that_fails_is_told_to_who_needs_it_and_the_room_goes_on() -> None:
    camera = CountingEncoder()

    def encode(picture: Frame, box: Box, score: float, max_width: int | None) -> bytes | None:
        if score < 0.5:
            raise OSError("no memory")
        return camera.encode(picture, box, score, max_width)

    room = SnapshotEncoder(encode=encode)
    with running(room):
        broken, fine = room.begin(frame(), BOX, 0.1), room.begin(frame(), BOX, 0.9)
        assert camera.made.wait(DEADLINE_S)
        assert fine.preview.get() == b"jpeg 7, None"
        with pytest.raises(OSError, match="no memory"):
            broken.preview.get()


@pytest.mark.parametrize("told_width", [0, 32])
def test_a_picture_that_was_made_holds_no_frame(told_width: int) -> None:
    room = SnapshotEncoder(encode=CountingEncoder().encode, told_width=told_width)
    with running(room):
        pixels = np.zeros((48, 64, 3), np.uint8)
        image = weakref.ref(pixels)
        source = replace(frame(), image=ArrayImage(pixels))
        del pixels
        picture = room.begin(source, BOX, 0.9)
        assert image() is not None
        assert picture.preview.get()
        assert picture.full.get() == b"jpeg 7, None"
    del source
    gc.collect()
    assert image() is None
