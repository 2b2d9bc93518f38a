from __future__ import annotations

import struct
import time
from pathlib import Path

import numpy as np
import pytest

from bench.drawn import Coded, code, numbered, read_number
from bench.rtsp import BenchCamera, camera_url, nals, packets
from detector.capture.network import NetworkSource

SIZE, FPS, FRAMES = (320, 240), 20, 30


@pytest.fixture(scope="module")
def coded() -> Coded:
    random = np.random.default_rng(0)
    pictures = (
        numbered(random.integers(0, 255, (SIZE[1], SIZE[0], 3), dtype=np.uint8), number) for number in range(FRAMES)
    )
    return Coded(units=tuple(code(pictures, FPS, SIZE)), fps=FPS, size=SIZE)


def test_each_picture_is_one_unit_and_the_first_can_be_decoded_alone(coded: Coded) -> None:
    assert len(coded.units) == FRAMES
    assert {nal[0] & 0x1F for nal in nals(coded.units[0])} >= {5, 7, 8}


def test_packets_hold_the_unit_whole_and_the_last_one_is_marked(coded: Coded) -> None:
    framed = list(packets(coded.units[0], sequence=65_535, stamp=9000))
    assert len(framed) > 3, "a key frame of noise is larger than a packet"
    units: list[bytes] = []
    for index, packet in enumerate(framed):
        magic, channel, length, flags, kind, sequence, stamp = struct.unpack(">BBHBBHI", packet[:12])
        assert (magic, channel, length, flags, stamp) == (0x24, 0, len(packet) - 4, 0x80, 9000)
        assert sequence == (65_535 + index) % 65_536
        assert kind == (96 | 0x80 * (index == len(framed) - 1))
        payload = packet[16:]
        if payload[0] & 0x1F != 28:
            units.append(payload)
        elif payload[1] & 0x80:
            units.append(bytes((payload[0] & 0xE0 | payload[1] & 0x1F,)) + payload[2:])
        else:
            units[-1] += payload[2:]
    assert units == nals(coded.units[0])


def test_a_reader_gets_all_pictures_in_order_each_after_its_release(coded: Coded, tmp_path: Path) -> None:
    with BenchCamera(coded, tmp_path / "released") as camera:
        source = NetworkSource(url=camera.url, timeout_s=10.0)
        source.open()
        try:
            seen = [(read_number(source.read().image.luma()), time.monotonic()) for _ in range(FRAMES + 5)]
        finally:
            source.close()
        released = camera.released()
    numbers = [number for number, _ in seen]
    assert numbers == [(numbers[0] + i) % FRAMES for i in range(len(numbers))], "round and round, none lost"
    times = [mono for _, number, mono in released if number == numbers[-1]]
    assert times
    assert min(times) <= seen[-1][1]
    gaps = np.diff([mono for _, _, mono in released])
    assert np.median(gaps) == pytest.approx(1 / FPS, rel=0.2)


def test_a_camera_stands_where_it_is_told_and_says_when_it_cannot(coded: Coded, tmp_path: Path) -> None:
    with BenchCamera(coded, tmp_path / "released") as first:
        assert first.url == camera_url(first.port)
        with (
            pytest.raises(OSError, match=f"no camera at port {first.port}"),
            BenchCamera(coded, tmp_path / "other", port=first.port),
        ):
            pass
    with BenchCamera(coded, tmp_path / "again", port=first.port) as again:
        assert again.url == first.url
