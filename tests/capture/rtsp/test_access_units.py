"""Depacketisers and assembler: packets of real coded pictures, whole, marked wrongly, and with some lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.capture.rtsp.access_units import AccessUnit, Assembler
from detector.capture.rtsp.h264 import H264
from detector.capture.rtsp.h265 import H265
from detector.capture.rtsp.nal import START, Depacketizer
from detector.capture.rtsp.rtp import Receiver
from support.rtsp_video import PAYLOAD_TYPE, CodedVideo, coded, rtp

_PAYLOADS: dict[str, Callable[[], Depacketizer]] = {"h264": H264, "hevc": H265}


@pytest.fixture(scope="module", params=["h264", "hevc"])
def video(request: pytest.FixtureRequest) -> CodedVideo:
    return coded(request.param, frames=12, gop=5, b_frames=1)


def assembled(codec: str, packets: Iterable[bytes]) -> list[AccessUnit]:
    receiver, assembler = Receiver(payload_type=PAYLOAD_TYPE), Assembler(_PAYLOADS[codec]())
    units: list[AccessUnit] = []
    for i, data in enumerate(packets):
        packet = receiver.packet(data)
        if packet is not None:
            units += assembler.push(packet, mono=float(i))
    return units


def annex_b(units: Iterable[bytes]) -> bytes:
    return b"".join(START + unit for unit in units)


@pytest.mark.parametrize("aggregate", [False, True])
@pytest.mark.parametrize("in_band", [False, True])
def test_a_picture_is_whole_with_its_marked_packet(video: CodedVideo, aggregate: bool, in_band: bool) -> None:
    pictures = video.packets(aggregate=aggregate, in_band=in_band, size=700)
    assert any(len(packets) > 2 for packets in pictures)
    last = -1
    receiver, assembler = Receiver(payload_type=PAYLOAD_TYPE), Assembler(_PAYLOADS[video.codec]())
    for packets, picture in zip(pictures, video.pictures, strict=True):
        given_at = []
        for data in packets:
            last += 1
            packet = receiver.packet(data)
            assert packet is not None
            given_at.append(assembler.push(packet, mono=float(last)))
        assert [len(units) for units in given_at] == [0] * (len(packets) - 1) + [1]
        unit = given_at[-1][0]
        sets = video.sets if in_band and picture.key else []
        assert unit.data == annex_b([*sets, *picture.units])
        assert unit.parameters == annex_b(sets)
        assert (unit.key, unit.mono, unit.damaged) == (picture.key, float(last), False)


def test_pictures_that_no_other_needs_are_told_apart(video: CodedVideo) -> None:
    units = assembled(video.codec, [data for packets in video.packets() for data in packets])
    by_number = {picture.number: unit for picture, unit in zip(video.pictures, units, strict=True)}
    # Coded out of order is what is between two others: the B-frames.
    shown = [picture.number for picture in video.pictures]
    between = {number for i, number in enumerate(shown) if number < max(shown[: i + 1])}
    assert between
    assert {number for number, unit in by_number.items() if not unit.reference} == between


def test_without_markers_a_picture_ends_where_the_next_begins(video: CodedVideo) -> None:
    pictures = video.packets(marker="none")
    units = assembled(video.codec, [data for packets in pictures for data in packets])
    assert [unit.data for unit in units] == [annex_b(picture.units) for picture in video.pictures[:-1]]
    assert not any(unit.damaged for unit in units)
    assert units[0].mono == len(pictures[0]) - 1


def test_marks_on_every_slice_are_soon_seen_through() -> None:
    video = coded(frames=6, slices=3)
    units = assembled("h264", [data for packets in video.packets(marker="all") for data in packets])
    wholes = [annex_b(picture.units) for picture in video.pictures]
    assert [unit.data for unit in units][-4:] == wholes[1:-1]


def test_marks_on_parameter_sets_do_not_part_them_from_their_picture(video: CodedVideo) -> None:
    packets = [data for packets in video.packets(marker="all", in_band=True) for data in packets]
    units = assembled(video.codec, packets)
    assert units[0].data == annex_b([*video.sets, *video.pictures[0].units])


@pytest.mark.parametrize("lost", ["first", "middle", "last"])
def test_a_lost_fragment_damages_its_picture_alone(video: CodedVideo, lost: str) -> None:
    pictures = [list(packets) for packets in video.packets(size=300)]
    del pictures[3][{"first": 0, "middle": len(pictures[3]) // 2, "last": -1}[lost]]
    units = assembled(video.codec, [data for packets in pictures for data in packets])
    whole = [unit.data for unit in units if not unit.damaged]
    # The picture after it may be flagged too: what is missing could have been its beginning.
    assert set(whole) >= {annex_b(p.units) for i, p in enumerate(video.pictures) if i not in (3, 4)}
    assert annex_b(video.pictures[3].units) not in [unit.data for unit in units]
    assert annex_b(video.pictures[4].units) in [unit.data for unit in units]


def test_a_fragmented_unit_gets_its_header_back() -> None:
    # H.264: forbidden bit and importance from the indicator. H.265: forbidden bit, layer and temporal id.
    assert H264().units(b"\xbc\xc5data", gap=False) == [b"\xa5data"]
    assert H265().units(b"\x63\x0a\xd3data", gap=False) == [b"\x27\x0adata"]


def test_start_codes_left_in_the_payload() -> None:
    units = [b"\x67\x42\x00\x1e", b"\x68\xce", b"\x65\x88\x84"]
    found = assembled("h264", [rtp(annex_b(units), sequence=1, stamp=0, marker=True)])
    assert [unit.data for unit in found] == [annex_b(units)]
    assert found[0].key


def test_a_sender_that_never_ends_a_picture_fills_no_memory() -> None:
    assembler, receiver = Assembler(H264()), Receiver(payload_type=PAYLOAD_TYPE)
    slice_ = b"\x41\x9a" + bytes(60_000)
    for sequence in range(600):  # 36 MB
        packet = receiver.packet(rtp(slice_, sequence=sequence, stamp=0, marker=False))
        assert packet is not None
        assert assembler.push(packet, mono=0.0) == []
        assert sum(len(unit) for unit, _ in assembler._units) < 1 << 25


@given(st.sampled_from(["h264", "hevc"]), st.lists(st.tuples(st.binary(min_size=1, max_size=30), st.booleans())))
def test_no_payload_can_hurt(codec: str, payloads: list[tuple[bytes, bool]]) -> None:
    heads = {"h264": (b"", b"\x7c", b"\x78", b"\x7c\x85", b"\x7c\x45"), "hevc": (b"", b"\x62\x01", b"\x60\x01")}
    packets = [
        rtp(head + payload, sequence=i, stamp=i // 3, marker=marker)
        for i, (payload, marker) in enumerate(payloads)
        for head in heads[codec]
    ]
    for unit in assembled(codec, packets):
        assert unit.data.startswith(START)
