from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from detector.capture.rtsp.rtp import Receiver
from support.rtsp_video import rtp


def test_the_headers_fields() -> None:
    packet = Receiver(payload_type=96).packet(rtp(b"picture", sequence=5, stamp=9000, marker=True))
    assert packet is not None
    assert (packet.marker, packet.timestamp, packet.gap, packet.payload) == (True, 9000, False, b"picture")


def test_sources_extension_and_padding_are_cut_off() -> None:
    head = struct.pack(">BBHII", 0x80 | 0x20 | 0x10 | 2, 96, 1, 2, 3)
    data = head + bytes(8) + b"\xbe\xde\x00\x01" + bytes(4) + b"picture" + b"\x00\x00\x03"
    packet = Receiver(payload_type=96).packet(data)
    assert packet is not None
    assert packet.payload == b"picture"
    assert not packet.marker


def test_gaps_are_seen_over_the_wrap_and_repetitions_left_out() -> None:
    receiver = Receiver(payload_type=96)
    seen = []
    for sequence in (65534, 65535, 0, 0, 2, 3):
        packet = receiver.packet(rtp(b"x", sequence=sequence, stamp=0, marker=False))
        seen.append(packet and packet.gap)
    assert seen == [False, False, False, None, True, False]


def test_a_sender_that_starts_anew_has_lost_nothing() -> None:
    receiver = Receiver(payload_type=96)
    receiver.packet(rtp(b"x", sequence=7, stamp=0, marker=False))
    other = struct.pack(">BBHII", 0x80, 96, 1000, 0, 78) + b"x"
    packet = receiver.packet(other)
    assert packet is not None
    assert not packet.gap


def test_stamps_grow_over_the_wrap_and_may_go_back_a_little() -> None:
    receiver = Receiver(payload_type=96)
    stamps = [2**32 - 10, 5, 2**32 - 2, 20]
    packets = [receiver.packet(rtp(b"x", sequence=i, stamp=s, marker=False)) for i, s in enumerate(stamps)]
    assert [packet and packet.timestamp for packet in packets] == [2**32 - 10, 2**32 + 5, 2**32 - 2, 2**32 + 20]


def test_other_payloads_and_versions_are_left_out() -> None:
    receiver = Receiver(payload_type=96)
    assert receiver.packet(rtp(b"x", sequence=1, stamp=0, marker=True, payload_type=97)) is None
    assert receiver.packet(b"\x40" + rtp(b"x", sequence=1, stamp=0, marker=True)[1:]) is None
    assert receiver.packet(rtp(b"", sequence=1, stamp=0, marker=True)) is None


@given(st.lists(st.binary(max_size=40)))
def test_no_bytes_can_hurt(packets: list[bytes]) -> None:
    receiver = Receiver(payload_type=96)
    for data in packets:
        for form in (data, b"\x80\x60" + data, b"\xbf\x60" + data):
            packet = receiver.packet(form)
            assert packet is None or packet.payload
