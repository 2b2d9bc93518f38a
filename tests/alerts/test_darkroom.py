from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from detector.alerts.darkroom import Darkroom
from detector.types import ArrayImage, Box, Frame
from support.visits import frame

BOX: Box = (1.0, 2.0, 3.0, 4.0)
DEADLINE_S = 20.0


class Camera:
    """Encodes by counting; `made` is set after each picture."""

    def __init__(self) -> None:
        self.threads: list[str] = []
        self.made = threading.Event()

    def encode(self, picture: Frame, _box: Box, _score: float) -> bytes | None:
        self.threads.append(threading.current_thread().name)
        self.made.set()
        return f"jpeg {picture.seq}".encode()


@contextmanager
def running(room: Darkroom) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=room.run, args=(stop,), name="darkroom")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(DEADLINE_S)
        assert not thread.is_alive()


def test_a_picture_is_made_beside_who_waits_for_it_and_only_once() -> None:
    camera = Camera()
    room = Darkroom(encode=camera.encode)
    with running(room):
        picture = room.begin(frame(), BOX, 0.9)
        assert camera.made.wait(DEADLINE_S)
        assert picture.get() == picture.get() == b"jpeg 7"
    assert camera.threads == ["darkroom"]


def test_without_a_thread_who_needs_a_picture_makes_it() -> None:
    camera = Camera()
    room = Darkroom(encode=camera.encode)
    pictures = [room.begin(frame(), BOX, 0.9) for _ in range(20)]
    assert camera.threads == [], "`begin` returns at once"
    assert {picture.get() for picture in pictures} == {b"jpeg 7"}
    assert len(camera.threads) == 20
    assert set(camera.threads) == {threading.current_thread().name}


def test_who_asks_while_it_is_being_made_waits_for_the_same_one() -> None:
    begun, go_on = threading.Event(), threading.Event()
    calls: list[int] = []

    def slow(_frame: Frame, _box: Box, _score: float) -> bytes:
        calls.append(1)
        begun.set()
        assert go_on.wait(DEADLINE_S)
        return b"slow"

    room = Darkroom(encode=slow)
    with running(room):
        picture = room.begin(frame(), BOX, 0.9)
        assert begun.wait(DEADLINE_S)
        threading.Timer(0.05, go_on.set).start()
        assert picture.get() == b"slow"
    assert len(calls) == 1


def test_a_picture_that_fails_is_told_to_who_needs_it_and_the_room_goes_on() -> None:
    camera = Camera()

    def encode(picture: Frame, box: Box, score: float) -> bytes | None:
        if score < 0.5:
            raise OSError("no memory")
        return camera.encode(picture, box, score)

    room = Darkroom(encode=encode)
    with running(room):
        broken, fine = room.begin(frame(), BOX, 0.1), room.begin(frame(), BOX, 0.9)
        assert camera.made.wait(DEADLINE_S)
        assert fine.get() == b"jpeg 7"
        with pytest.raises(OSError, match="no memory"):
            broken.get()


def test_a_picture_that_was_made_holds_no_frame() -> None:
    room = Darkroom(encode=Camera().encode)
    with running(room):
        pixels = np.zeros((48, 64, 3), np.uint8)
        image = weakref.ref(pixels)
        source = replace(frame(), image=ArrayImage(pixels))
        del pixels
        picture = room.begin(source, BOX, 0.9)
        assert image() is not None
        assert picture.get() == b"jpeg 7"
    del source
    gc.collect()
    assert image() is None
