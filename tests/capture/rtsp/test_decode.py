from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from detector.capture.rtsp.access_units import AccessUnit
from detector.capture.rtsp.decode import Decoder
from detector.capture.rtsp.nal import START
from support.rtsp_video import CLOCK, CodedVideo, coded


@pytest.fixture(scope="module", params=["h264", "hevc"])
def video(request: pytest.FixtureRequest) -> CodedVideo:
    return coded(request.param, b_frames=2)


def units(video: CodedVideo) -> list[AccessUnit]:
    """In the order of decoding; read at 1000 s and their number."""
    return [
        AccessUnit(
            data=b"".join(START + unit for unit in picture.units),
            parameters=b"",
            timestamp=picture.number,
            mono=1000.0 + picture.number,
            key=picture.key,
            reference=True,
            damaged=False,
        )
        for picture in video.pictures
    ]


def decoder(video: CodedVideo) -> Decoder:
    return Decoder(codec=video.codec, parameter_sets=tuple(video.sets), clock_rate=CLOCK)


def test_pictures_out_of_order_keep_the_moment_they_were_read(video: CodedVideo) -> None:
    one = decoder(video)
    found = [(frame.pts, mono) for unit in units(video) for frame, mono in one.decode(unit)]
    assert [pts for pts, _ in found] == list(range(len(found)))
    assert len(found) >= 25
    assert all(mono == 1000.0 + (pts or 0) for pts, mono in found)


def test_r2_a_b_picture_was_taken_before_the_picture_that_was_sent_ahead_of_it(video: CodedVideo) -> None:
    """Read one picture each 40 ms, in the order of decoding: the moments of their capture are 40 ms apart, too."""
    one, found = decoder(video), list[float]()
    for i, unit in enumerate(units(video)):
        sent = replace(unit, timestamp=3600 * unit.timestamp, mono=1000.0 + 0.04 * i)
        found += [mono for _, mono in one.decode(sent)]
    assert len(found) >= 25
    steps = [later - earlier for earlier, later in itertools.pairwise(found[:15])]
    assert steps == pytest.approx([0.04] * 14, abs=0.005)
    assert one.reordered


def test_what_it_forgets_does_not_come_out_later(video: CodedVideo) -> None:
    one, coming = decoder(video), units(video)
    before = [frame for unit in coming[:6] for frame, _ in one.decode(unit)]
    assert len(before) < 6  # some are held back
    one.forget()
    after = [frame.pts for unit in coming[10:] for frame, _ in one.decode(unit)]
    assert after
    assert min(pts or 0 for pts in after) >= 10


def test_alone_a_key_frame_comes_out_at_once(video: CodedVideo) -> None:
    one = decoder(video)
    for unit in units(video):
        if unit.key:
            assert [(frame.pts, mono) for frame, mono in one.decode(unit, alone=True)] == [(unit.timestamp, unit.mono)]


def test_a_codec_that_ffmpeg_does_not_have() -> None:
    with pytest.raises(ValueError, match="no such codec"):
        Decoder(codec="no such codec", parameter_sets=(), clock_rate=CLOCK)
