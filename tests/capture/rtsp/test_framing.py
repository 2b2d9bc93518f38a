"""Bytes to packets and messages, whatever stands between them."""

from __future__ import annotations

import random
import struct

import pytest

from detector.capture.rtsp.framing import Framing, Interleaved
from detector.capture.rtsp.message import RtspMessage
from support.rtsp_video import PAYLOAD_TYPE, coded, interleaved, rtp

PACKETS = [rtp(bytes((0x65, i)) * (40 + i), sequence=i, stamp=i, marker=True) for i in range(200)]
REPORT = struct.pack(">BBHIQIII", 0x80, 200, 6, 77, 0, 0, 1, 1)
RESPONSE = b"RTSP/1.0 200 OK\r\nCSeq: 9\r\n\r\n"


def playing(*, channel: int = 0) -> Framing:
    framing = Framing()
    framing.expect(channel=channel, payload_type=PAYLOAD_TYPE)
    return framing


def cut(framing: Framing, data: bytes, size: int | None = None) -> list[RtspMessage | Interleaved]:
    """What `framing` makes of `data`, given at once or `size` bytes at a time."""
    items: list[RtspMessage | Interleaved] = []
    for at in range(0, len(data), size or len(data) or 1):
        framing.add(data[at : at + (size or len(data))])
        items += framing.items()
    return items


def video(items: list[RtspMessage | Interleaved]) -> list[bytes]:
    return [item.data for item in items if isinstance(item, Interleaved) and item.channel == 0]


def noise(size: int, seed: int) -> bytes:
    """Random bytes that hold A to Z."""
    made = bytearray(random.Random(seed).randbytes(size))
    made[size // 2] = ord("A") + seed % 26
    return bytes(made)


@pytest.mark.parametrize("size", [1, 4, 60, 700])
@pytest.mark.parametrize("pieces", [None, 1, 7, 1000])
@pytest.mark.parametrize("seed", range(5))
def test_r1_stray_bytes_cost_no_packet(size: int, pieces: int | None, seed: int) -> None:
    stream = b"".join(
        interleaved(packet) + (noise(size, 100 * seed + i) if i % 20 == 19 else b"") for i, packet in enumerate(PACKETS)
    )
    framing = playing()
    assert video(cut(framing, stream, pieces)) == PACKETS
    assert framing.skips >= 9
    assert framing.skipped_bytes >= 9 * size


@pytest.mark.parametrize(
    "junk",
    [
        b"$",
        b"$\x00",
        b"$\x00\xff\xff",
        b"$\x00\xff\xff\x80\x60",
        b"$\x01\x00\x20ABC",
        b"$\x00\x00\x00",
        b"$\x00\x00\x03\x80\x60\x00",
        b"$\x00\x00\x14" + rtp(bytes(8), sequence=9, stamp=9, marker=True)[:8] + b"fake" + bytes(8),
        b"$\x07\x01\x00\x80" + bytes(100),
        b"RTSP/",
        b"RTSP/1.0 200",
        b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n",
        b"OPTIONS rtsp://",
        b"GET_PARAMETER * RTSP/1.0\r\n",
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZ" * 20,
        b"Z",
    ],
)
@pytest.mark.parametrize("pieces", [None, 1, 13])
def test_r1_junk_that_looks_like_a_beginning(junk: bytes, pieces: int | None) -> None:
    stream = b"".join(interleaved(packet) + (junk if i % 20 == 19 else b"") for i, packet in enumerate(PACKETS))
    assert video(cut(playing(), stream, pieces)) == PACKETS


@pytest.mark.parametrize("lost", [1, 12, 30])
def test_r1_a_packet_whose_end_was_lost_takes_no_more_than_one_other_along(lost: int) -> None:
    stream = b"".join(interleaved(packet)[: -lost if i % 20 == 19 else None] for i, packet in enumerate(PACKETS))
    got = video(cut(playing(), stream))
    assert len([packet for packet in PACKETS if packet in got]) >= len(PACKETS) - 20


@pytest.mark.parametrize("pieces", [None, 1, 13])
def test_r1_junk_before_behind_and_inside_messages(pieces: int | None) -> None:
    described = b"RTSP/1.0 200 OK\r\nCSeq: 2\r\n\x93Q\xf0Content-Type: application/sdp\r\n\xc3Content-Length: 5\r\n\r\n\x01\x02v=0\r\n"
    framing = Framing()
    items = cut(framing, b"xyz\x00\xff" + RESPONSE + noise(60, 1) + described + b"ZZ" + RESPONSE, pieces)
    messages = [item for item in items if isinstance(item, RtspMessage)]
    assert [message.get("cseq") for message in messages] == ["9", "2", "9"]
    assert messages[1].body == "v=0\r\n"
    assert framing.skips == 3


@pytest.mark.parametrize("size", [1, 4, 60, 700])
@pytest.mark.parametrize("line", range(1, 6))
def test_r1_junk_at_each_line_of_the_answer_that_describes_the_stream(size: int, line: int) -> None:
    """Where the junk itself holds line ends and colons a header may be lost: nine of ten are read at least."""
    sdp = coded(frames=1).sdp()
    lines = [b"RTSP/1.0 200 OK\r\n", b"CSeq: 2\r\n", b"Content-Type: application/sdp\r\n"]
    lines += [b"Content-Length: %d\r\n" % len(sdp), b"\r\n"]
    read = 0
    for seed in range(50):
        described = b"".join(lines[:line]) + noise(size, seed) + b"".join(lines[line:]) + sdp.encode()
        messages = [item for item in cut(Framing(), described) if isinstance(item, RtspMessage)]
        read += [message.body for message in messages] == [sdp]
    assert read >= 44


def test_padding_between_messages_is_no_damage() -> None:
    framing = playing()
    items = cut(framing, b"\r\n\x00" + RESPONSE + b"\r\n\r\n" + interleaved(PACKETS[0]) + b"\r\n" + RESPONSE)
    assert len(items) == 3
    assert framing.skips == framing.skipped_bytes == 0


def test_reports_and_requests_between_the_packets() -> None:
    asked = b"SET_PARAMETER rtsp://a RTSP/1.0\r\nCSeq: 9\r\nContent-Length: 2\r\n\r\nhi"
    items = cut(playing(), interleaved(PACKETS[0]) + interleaved(REPORT, 1) + asked + interleaved(PACKETS[1]))
    assert video(items) == PACKETS[:2]
    assert [item.method for item in items if isinstance(item, RtspMessage)] == ["SET_PARAMETER"]


@pytest.mark.parametrize("pieces", [None, 1])
def test_a_sender_that_starts_again_is_believed_at_its_second_packet(pieces: int | None) -> None:
    again = [packet[:8] + b"new!" + packet[12:] for packet in PACKETS[50:60]]
    stream = b"".join(map(interleaved, PACKETS[:50] + again))
    got = video(cut(playing(), stream, pieces))
    assert got[:59] == PACKETS[:50] + again[:9]
    assert got == PACKETS[:50] + again


def test_the_first_packet_is_not_kept_waiting_for_the_second() -> None:
    assert video(cut(playing(), interleaved(PACKETS[0]))) == PACKETS[:1]
    assert video(cut(playing(), noise(60, 3) + interleaved(PACKETS[0]))) == PACKETS[:1]


def test_another_protocol_is_refused() -> None:
    with pytest.raises(ValueError, match="HTTP"):
        cut(Framing(), b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(ValueError, match="not RTSP"):
        cut(Framing(), bytes(70_000))
    with pytest.raises(ValueError, match="not RTSP"):
        cut(playing(), interleaved(PACKETS[0]) + b"A" * 70_000)


def test_memory_is_bounded_by_one_item() -> None:
    framing = playing()
    for i in range(2000):
        cut(framing, noise(700, i) + interleaved(PACKETS[i % 200]))
        assert framing.held < 1 << 17
