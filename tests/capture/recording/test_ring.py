"""The ring holds whole groups of pictures, within its bounds."""

from __future__ import annotations

import threading

from detector.capture.packets import StreamFormat
from detector.capture.recording.ring import PacketRing

FORMAT = StreamFormat(codec="h264", extradata=b"sets", width=640, height=360)
OTHER = StreamFormat(codec="h264", extradata=b"other", width=1280, height=720)


def fill(
    ring: PacketRing, seconds: float, *, begin: float = 0.0, fps: int = 10, gop: int = 10, size: int = 100,
    form: StreamFormat = FORMAT,
) -> None:  # fmt: skip
    for i in range(round(seconds * fps)):
        mono = begin + i / fps
        ring.put(form, bytes(size), pts=round(mono * 90_000), mono=mono, key=i % gop == 0)


def test_it_begins_with_a_key_frame_and_holds_the_seconds_asked_for() -> None:
    ring = PacketRing(hold_s=3.0)
    fill(ring, 20.0)
    numbered = ring.after(0)
    assert numbered[0][1].key
    assert numbered[-1][1].mono == 19.9
    assert 3.0 <= numbered[-1][1].mono - numbered[0][1].mono <= 4.0, "up to a group of pictures more"
    assert [number for number, _ in numbered] == list(range(numbered[0][0], numbered[0][0] + len(numbered)))


def test_a_clip_begins_at_the_last_key_frame_before_its_begin() -> None:
    ring = PacketRing(hold_s=5.0)
    fill(ring, 10.0)
    start = ring.start(7.45)
    assert start is not None
    assert ring.after(start)[0][1].mono == 7.0
    first = ring.start(0.0)
    assert first is not None
    assert ring.after(first)[0][1] == ring.after(0)[0][1], "older than what is held: as far back as it goes"


def test_memory_stays_within_the_bound_whatever_the_camera_sends() -> None:
    bound = 100_000
    ring = PacketRing(hold_s=60.0, max_bytes=bound)
    for i in range(2000):
        ring.put(FORMAT, bytes(700), pts=i, mono=i / 25, key=i % 50 == 0)
        assert ring.stats().held_bytes <= bound
    assert ring.stats().held_bytes > bound / 2
    assert ring.after(0)[0][1].key


def test_a_group_of_pictures_that_is_too_large_is_left_out_and_counted() -> None:
    ring = PacketRing(hold_s=60.0, max_bytes=50_000)
    for i in range(1000):  # H.264+: one key frame a minute
        ring.put(FORMAT, bytes(1000), pts=i, mono=i / 25, key=i % 300 == 0)
        assert ring.stats().held_bytes <= 50_000
    assert ring.stats().overflows == 4
    assert ring.start(0.0) is None, "without its key frame nothing of it can be decoded"
    ring.put(FORMAT, bytes(1000), pts=1000, mono=40.0, key=True)
    assert ring.start(0.0) is not None


def test_another_connection_or_format_begins_with_a_key_frame() -> None:
    ring = PacketRing(hold_s=30.0)
    fill(ring, 1.0)
    ring.begin()
    ring.put(FORMAT, b"cut", pts=5, mono=2.0, key=False)
    assert all(picture.data != b"cut" for _, picture in ring.after(0))
    ring.put(FORMAT, b"key", pts=6, mono=2.1, key=True)
    ring.put(OTHER, b"cut", pts=7, mono=2.2, key=False)
    assert ring.after(0)[-1][1].data == b"key"
    ring.put(OTHER, b"new", pts=8, mono=2.3, key=True)
    start = ring.start(0.0)
    assert start is not None
    assert ring.after(start)[0][1].data == b"new", "one file holds one format: that of now"


def test_held_nothing_when_off_and_let_go_when_switched_off() -> None:
    ring = PacketRing()
    fill(ring, 5.0)
    assert ring.stats().pictures == 0
    ring.hold(5.0)
    fill(ring, 5.0)
    assert ring.stats().pictures > 0
    ring.hold(0.0)
    assert ring.stats().held_bytes == ring.stats().pictures == 0


def test_a_reader_beside_the_writer_sees_consecutive_numbers() -> None:
    ring, stop, seen = PacketRing(hold_s=0.5), threading.Event(), list[int]()

    def read() -> None:
        at = 0
        while not stop.is_set():
            for number, _ in ring.after(at):
                seen.append(number)
                at = number + 1

    reader = threading.Thread(target=read)
    reader.start()
    fill(ring, 500.0, fps=10)
    stop.set()
    reader.join()
    assert seen == sorted(set(seen))
