from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from detector.api.pictures import Pictures
from support.control import MemoryControl


def test_many_viewers_cost_one_encoding() -> None:
    control, now = MemoryControl(), 100.0
    pictures = Pictures(control, now=lambda: now)
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda width: pictures.latest("porch", boxes=True, width=width), [600, 630, 640, 590] * 10))
    assert control.encoded == 1
    assert len({picture.seq for picture in got if picture}) == 1
    now += 0.1
    assert pictures.latest("porch", boxes=True, width=640) != got[0]
    assert control.encoded == 2


def test_different_pictures_are_kept_apart_and_few_are_held() -> None:
    control = MemoryControl()
    pictures = Pictures(control, now=lambda: 5.0)
    boxed = pictures.latest("porch", boxes=True, width=None)
    plain = pictures.latest("porch", boxes=False, width=None)
    assert boxed
    assert plain
    assert boxed.etag != plain.etag
    for width in range(160, 160 * 40, 160):
        pictures.latest("porch", boxes=True, width=width)
    before = control.encoded
    pictures.latest("porch", boxes=True, width=None)
    assert control.encoded == before + 1, "the one that was not asked for longest had to go"


def test_no_picture_yet_is_asked_again() -> None:
    control, now = MemoryControl(), 0.0
    control.cameras["porch"]["frames"] = None
    pictures = Pictures(control, now=lambda: now)
    assert pictures.latest("porch", boxes=True, width=None) is None
    control.cameras["porch"]["frames"] = 1
    now += 1
    assert pictures.latest("porch", boxes=True, width=None) is not None


def test_night_13_one_thread_draws_for_all() -> None:
    """OpenCV 5 keeps some 6 MiB for each thread that draws a label."""
    drew = set()

    class WatchedPictures(MemoryControl):
        def latest_jpeg(self, camera: str, **options: Any) -> tuple[int, bytes] | None:
            drew.add(threading.current_thread().name)
            return super().latest_jpeg(camera, **options)

    pictures = Pictures(WatchedPictures())
    with ThreadPoolExecutor(8) as pool:
        widths = list(range(160, 160 * 20, 160))
        assert all(pool.map(lambda width: pictures.latest("porch", boxes=True, width=width), widths))
    assert len(drew) == 1
    before = pictures.latest("porch", boxes=True, width=None)
    pictures.close()
    assert pictures.latest("porch", boxes=True, width=None) == before


def test_a_frame_that_stands_is_not_encoded_again() -> None:
    control, now = MemoryControl(), 0.0
    pictures = Pictures(control, now=lambda: now)
    first = pictures.latest("porch", boxes=True, width=None)
    control.frozen = True
    for _ in range(5):
        now += 1
        assert pictures.latest("porch", boxes=True, width=None) == first
    assert control.encoded == 1


def test_the_thread_that_draws_gives_way_to_those_that_detect() -> None:
    found = []

    class WatchedPriority(MemoryControl):
        def latest_jpeg(self, camera: str, **options: Any) -> tuple[int, bytes] | None:
            found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
            return super().latest_jpeg(camera, **options)

    pictures = Pictures(WatchedPriority())
    assert pictures.latest("porch", boxes=True, width=None) is not None
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert found == [max(own, 15)]
