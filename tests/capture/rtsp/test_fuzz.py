"""Anything a camera may send, through the parsers: a result or the module's own error, in bounded memory.

A few hundred inputs each here; 100,000 in all with `make fault`.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detector.capture.auth import Credentials, challenges
from detector.capture.rtsp.access_units import Assembler
from detector.capture.rtsp.h264 import H264
from detector.capture.rtsp.h265 import H265
from detector.capture.rtsp.nal import Depacketizer
from detector.capture.rtsp.rtp import Receiver
from detector.capture.rtsp.sdp import parse
from support.fuzz.targets import in_reads
from support.rtsp_video import PAYLOAD_TYPE, coded, interleaved, rtp

MAX_HELD = 1 << 20
VIDEO = {codec: coded(codec, frames=4, gop=2, width=96, height=64) for codec in ("h264", "hevc")}
PACKETS = {codec: [p for packets in video.packets(size=400) for p in packets] for codec, video in VIDEO.items()}

_words = st.sampled_from(
    [
        *(b"RTSP/1.0 200 OK\r\n", b"RTSP/1.0 401 \r\n", b"RTSP/9.9 ", b"SET_PARAMETER * RTSP/1.0\r\n", b"HTTP/1.1 "),
        *(b"CSeq: 1\r\n", b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"Content-Length: 999999999999\r\n"),
        *(
            b"Content-Type: application/sdp\r\n",
            b"\r\n",
            b"\n\n",
            b"v=0\r\n",
            b"$\x00",
            b"$\x01",
            b"$\x00\xff\xff\x80\x60",
        ),
        *map(interleaved, PACKETS["h264"][:6]),
        interleaved(struct.pack(">BBHI", 0x80, 200, 1, 77), 1),
    ]
)


def any_bytes(pieces: list[bytes], size: int) -> None:
    """Bytes of a connection, in reads of `size`."""
    in_reads(b"".join(pieces), size=size)


_sdp_line = st.sampled_from(
    [
        *("m=video 0 RTP/AVP 96", "m=audio 0 RTP/AVP 8", "m=video", "a=rtpmap:96 H264/90000", "a=rtpmap:96 H265/90000"),
        *(
            "a=rtpmap:96 H264/0",
            "a=rtpmap:999 H264/999999999",
            "a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z0IA,;=;x",
        ),
        *("a=fmtp:96", "a=framerate:inf", "a=framerate:25", "a=control:", "a=control:rtsp://[", "v=0", "a=", "="),
    ]
)


def any_description(lines: list[str], end: str) -> None:
    with contextlib.suppress(ValueError):
        video = parse(end.join(lines))
        assert video.clock_rate > 0
        assert video.fps is None or 0.0 < video.fps < 1000.0


def any_login(values: list[str]) -> None:
    credentials = Credentials(user='ca"m', password="p:w")
    for _ in range(4):
        if not credentials.choose(challenges(values)):
            break
        header = credentials.header("PLAY", "rtsp://h/x")
        assert header is not None
        assert header.startswith(("Basic ", "Digest "))
        assert "\r" not in header
        assert "\n" not in header


_packet_changes = st.lists(
    st.tuples(
        st.integers(0, 999),
        st.integers(0, 500),
        st.binary(max_size=8),
        st.sampled_from(["cut", "drop", "twice", "set", "swap"]),
    ),
    max_size=8,
)
_payloads = st.lists(st.tuples(st.binary(min_size=1, max_size=40), st.booleans(), st.integers(0, 3)), max_size=12)


def any_packets(codec: str, depacketizer: Callable[[], Depacketizer]) -> Callable[..., None]:
    """Real packets changed, lost, doubled, out of order, and payloads of any bytes between them."""

    def run(changes: list[tuple[int, int, bytes, str]], payloads: list[tuple[bytes, bool, int]]) -> None:
        packets = list(PACKETS[codec])
        for at, offset, data, what in changes:
            i = at % len(packets)
            packet = packets[i]
            packets[i : i + 1] = {
                "cut": [packet[: offset % (len(packet) + 1)]],
                "drop": [] if len(packets) > 1 else [packet],
                "twice": [packet, packet],
                "set": [packet[:offset] + data + packet[offset + len(data) :]],
                "swap": [packets[-1]],
            }[what]
        packets += [
            rtp(data, sequence=500 + i + skip, stamp=i // 3, marker=marker)
            for i, (data, marker, skip) in enumerate(payloads)
        ]
        receiver, assembler = Receiver(payload_type=PAYLOAD_TYPE), Assembler(depacketizer())
        given_bytes = taken_bytes = 0
        for mono, data in enumerate(packets):
            given_bytes += len(data)
            packet_or_none = receiver.packet(data)
            if packet_or_none is not None:
                for unit in assembler.push(packet_or_none, mono=float(mono)):
                    taken_bytes += len(unit.data)
                    assert unit.data.startswith(b"\x00\x00\x00\x01")
        assert taken_bytes <= 8 * given_bytes + 64  # a start code each, no matter how short the units

    return run


@dataclass(frozen=True, slots=True)
class Target:
    name: str
    run: Callable[..., None]
    inputs: tuple[st.SearchStrategy[object], ...]

    def hold(self, examples: int) -> None:
        checks = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example)
        bounded = settings(max_examples=examples, deadline=None, database=None, suppress_health_check=checks)
        bounded(given(*self.inputs)(self.run))()


TARGETS = [
    Target(
        "messages", any_bytes, (st.lists(st.one_of(_words, st.binary(max_size=60)), max_size=20), st.integers(1, 400))
    ),
    Target(
        "descriptions",
        any_description,
        (st.lists(st.one_of(_sdp_line, st.text(max_size=40)), max_size=14), st.sampled_from(["\r\n", "\n", "\r"])),
    ),
    Target(
        "logins",
        any_login,
        (
            st.lists(
                st.one_of(
                    st.text(max_size=60),
                    st.sampled_from(
                        [
                            'Digest realm="a", nonce="b\r\nX: y"',
                            "Basic",
                            'Digest nonce="1", qop="auth",',
                            "Digest nonce=,",
                        ]
                    ),
                ),
                max_size=4,
            ),
        ),
    ),
    Target("h264", any_packets("h264", H264), (_packet_changes, _payloads)),
    Target("h265", any_packets("hevc", H265), (_packet_changes, _payloads)),
]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_any_input_gives_a_result_or_the_modules_own_error(target: Target) -> None:
    target.hold(200)


@pytest.mark.fault
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_100_000_inputs(target: Target) -> None:
    target.hold(20_000)


@pytest.mark.parametrize(("codec", "depacketizer"), [("h264", H264), ("hevc", H265)])
def test_a_fragmented_unit_that_never_ends_is_given_up(codec: str, depacketizer: Callable[[], Depacketizer]) -> None:
    head = {"h264": (b"\x7c\x85", b"\x7c\x05"), "hevc": (b"\x62\x01\x93", b"\x62\x01\x13")}[codec]
    made, data = depacketizer(), bytes(1 << 20)
    assert made.units(head[0] + data, gap=False) == []
    for _ in range(40):
        assert made.units(head[1] + data, gap=False) == []
    held = made._unit
    assert held is None
    assert made.damaged
