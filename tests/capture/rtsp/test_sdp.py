from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.capture.rtsp.sdp import parse
from support.rtsp_video import coded

_H264 = "v=0\r\na=control:*\r\nm=audio 0 RTP/AVP 0\r\na=control:a\r\nm=video 0 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\n"


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_cameras_description(codec: str) -> None:
    made = coded(codec, frames=1)
    video = parse(made.sdp(extra="a=framerate:12.5"))
    assert (video.codec, video.payload_type, video.clock_rate, video.control) == (codec, 96, 90000, "track1")
    assert list(video.parameter_sets) == made.sets
    assert video.fps == 12.5


def test_the_first_video_section_and_the_sessions_control() -> None:
    video = parse(_H264 + "a=control:b\r\nm=video 0 RTP/AVP 98\r\na=rtpmap:98 H265/90000\r\na=control:c\r\n")
    assert (video.codec, video.control, video.aggregate) == ("h264", "b", "*")
    assert video.parameter_sets == ()
    assert video.fps is None


def test_broken_parameter_sets_are_left_to_the_stream() -> None:
    video = parse(_H264 + "a=fmtp:97 packetization-mode=1; SPROP-parameter-sets=Z0IA,!!,,aM4\n")
    assert video.parameter_sets == (b"gB\x00", b"h\xce")


@pytest.mark.parametrize("rate", ["nan", "0", "-1", "inf", "x", "1e9"])
def test_a_frame_rate_that_makes_no_sense_is_none(rate: str) -> None:
    assert parse(_H264 + f"a=framerate:{rate}\r\n").fps is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no video"),
        ("v=0\r\nm=audio 0 RTP/AVP 0\r\n", "no video"),
        ("m=video 0 RTP/AVP 26\r\n", "neither H.264 nor H.265"),
        ("m=video 0 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n", "neither H.264 nor H.265"),
        ("m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/0\r\n", "neither H.264 nor H.265"),
        ("m=video 0 RTP/SAVP 96\r\na=rtpmap:96 H264/90000\r\n", "not plain RTP"),
        (_H264 + "a=fmtp:97 packetization-mode=2\r\n", "out of order"),
        ("m=video 0 RTP/AVP 96\na=rtpmap:96 H265/90000\na=fmtp:96 sprop-max-don-diff=1\n", "out of order"),
    ],
)
def test_what_it_cannot_read_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse(text)


_line = st.sampled_from(
    ["m=video 0 RTP/AVP 96", "a=rtpmap:96 H264/90000", "a=fmtp:96 sprop-parameter-sets=Z0IA;=;;x", "a=framerate:", "a="]
)


@given(st.lists(st.one_of(_line, st.text(max_size=40)), max_size=12))
def test_any_text_is_a_description_or_refused(lines: list[str]) -> None:
    with contextlib.suppress(ValueError):
        assert parse("\n".join(lines)).clock_rate > 0
