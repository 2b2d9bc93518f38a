"""The whole client: against a real RTSP server, and against a camera that plays what the test has coded."""

from __future__ import annotations

import collections
import itertools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import av.codec.codec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.capture.rtsp.errors import NotUnderstoodError
from detector.capture.rtsp.source import RtspSource
from detector.capture.rtsp.stream import Stream
from detector.capture.source import CapturedImage
from detector.core.clock import SYSTEM_CLOCK
from detector.core.errors import SourceError
from support.rtsp_script import RtspRequest, RtspScript, ScriptedConnection, greet, serve
from support.rtsp_video import coded, interleaved, rtp
from support.stamped import read_ms

Flat = list[bytes]
LIVELY = 1000  # frames a second, so that a burst of thirty is not behind


def flat(pictures: list[Flat]) -> Flat:
    return [packet for packets in pictures for packet in packets]


def read_all(source: RtspSource) -> list[CapturedImage]:
    """What comes until the camera hangs up or falls silent."""
    grabs: list[CapturedImage] = []
    try:
        while True:
            grabs.append(source.read())
    except SourceError:
        return grabs


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    numbers: list[int]
    media_s: list[float | None]
    skipped: int
    damaged: int
    decoded: int


def played(sdp: str, packets: Flat, *, keyframes_only: bool = False, late: bool = False) -> Played:
    """What the client makes of a camera that sends `packets` at once and hangs up; `late`: it looks only then."""
    sent = threading.Event()
    with RtspScript(serve(sdp, packets, sent)) as camera:
        source = RtspSource(url=camera.url, timeout_s=5.0, keyframes_only=lambda: keyframes_only)
        source.open()
        assert sent.wait(20.0 if late else 0.0) or not late
        grabs = read_all(source)
        assert all(grab.mono is not None for grab in grabs), "FFmpeg read it"
        done = Played(
            numbers=[read_ms(grab.image.luma()) for grab in grabs],
            media_s=[grab.media_s for grab in grabs],
            skipped=source.counts.skipped,
            damaged=source.counts.damaged,
            decoded=source.counts.decoded,
        )
        source.close()
    return done


@pytest.fixture(scope="module", params=["h264", "hevc"])
def codec(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("sprop", [True, False])
@pytest.mark.parametrize("aggregate", [True, False])
def test_every_picture_in_order(codec: str, sprop: bool, aggregate: bool) -> None:
    video = coded(codec, fps=LIVELY)
    done = played(video.sdp(sprop=sprop), flat(video.packets(aggregate=aggregate, in_band=not sprop)))
    assert done.numbers == list(range(30))
    assert done.media_s == pytest.approx([i / LIVELY for i in range(30)])
    assert (done.skipped, done.damaged) == (0, 0)


def test_b_frames_come_in_the_order_of_showing(codec: str) -> None:
    video = coded(codec, b_frames=2, fps=LIVELY)
    assert [picture.number for picture in video.pictures] != list(range(30))
    done = played(video.sdp(), flat(video.packets()))
    # The decoder keeps back as many as the order needs.
    assert len(done.numbers) >= 25
    assert done.numbers == sorted(set(done.numbers))
    assert done.skipped == 0


@pytest.mark.parametrize("marker", ["all", "none"])
def test_cameras_whose_marks_mean_nothing(codec: str, marker: str) -> None:
    video = coded(codec, slices=3, fps=LIVELY)
    done = played(video.sdp(), flat(video.packets(marker=marker)))
    assert set(range(2, 29)) <= set(done.numbers)
    assert done.numbers == sorted(done.numbers)


def test_lost_packets_are_got_over_at_the_next_key_frame(codec: str) -> None:
    video = coded(codec, fps=LIVELY)
    pictures = video.packets()
    del pictures[3][1]
    done = played(video.sdp(), flat(pictures))
    assert done.damaged >= 1
    # What FFmpeg makes of 3 to 9 differs between its versions.
    assert done.numbers[:3] == [0, 1, 2]
    assert done.numbers[-20:] == list(range(10, 30))


def test_far_behind_it_jumps_to_the_newest_key_frame(codec: str) -> None:
    video = coded(codec, fps=25, width=160, height=96)  # small enough for the socket's buffer
    done = played(video.sdp(), flat(video.packets()), late=True)
    assert done.numbers == list(range(20, 30))
    assert done.skipped == 20


def test_late_pictures_are_decoded_for_the_newer_ones_alone(codec: str) -> None:
    video = coded(codec, fps=10, gop=100, width=160, height=96)
    done = played(video.sdp(), flat(video.packets()), late=True)
    assert done.numbers == [29], "so few are decoded so soon that only the newest is worth a look"
    assert done.decoded == 30
    assert done.skipped == 29


def test_far_behind_pictures_that_no_other_needs_are_not_even_decoded(codec: str) -> None:
    video = coded(codec, fps=25, gop=100, b_frames=2, width=160, height=96)
    done = played(video.sdp(), flat(video.packets()), late=True)
    spared = 30 - done.decoded
    assert 5 <= spared <= 20, "two of three in all that is more than a quarter of a second old"
    assert done.skipped >= spared
    assert done.numbers == sorted(set(done.numbers))
    assert done.numbers[-1] >= 27, "the newest is there, but for what its order holds back in the decoder"


def test_key_frames_alone_come_at_once(codec: str) -> None:
    video = coded(codec, b_frames=2, fps=LIVELY)
    done = played(video.sdp(), flat(video.packets()), keyframes_only=True)
    # Until two are known, nobody knows how far apart they are; 21 to 29 were put aside.
    assert done.numbers == [*range(11), 20]
    assert done.skipped == 9


def test_back_from_idle_the_pictures_go_on_without_a_gap_and_none_twice(codec: str) -> None:
    video = coded(codec, frames=40, fps=LIVELY)
    packets, step = video.packets(), threading.Semaphore(0)
    idle = threading.Event()

    def play(connection: ScriptedConnection) -> None:
        connection.reply(greet(connection, video.sdp()))
        for number, picture in enumerate(packets):
            if number in (11, 24):
                assert step.acquire(timeout=20.0)
            connection.send(b"".join(interleaved(packet) for packet in picture))

    with RtspScript(play) as camera:
        source = RtspSource(url=camera.url, timeout_s=5.0, keyframes_only=idle.is_set)
        source.open()
        numbers = [read_ms(source.read().image.luma()) for _ in range(11)]
        idle.set()
        step.release()
        numbers.append(read_ms(source.read().image.luma()))
        idle.clear()
        step.release()
        grabs = read_all(source)
        counts = source.counts
        source.close()
    numbers += [read_ms(grab.image.luma()) for grab in grabs]
    assert numbers[:11] == list(range(11))
    key = numbers.index(20)
    assert numbers[key:] == list(range(20, 40))
    assert numbers == sorted(set(numbers))
    assert counts.decoded == len(numbers) + 1, "the key frame was decoded twice"
    assert counts.decoded - 1 + counts.skipped == 40


def test_a_picture_is_out_before_the_next_one_begins(codec: str) -> None:
    """The camera sends a picture only when the one before was read: a client that waits would wait for ever."""
    video = coded(codec, frames=10, fps=25)
    read = threading.Semaphore(1)

    def play(connection: ScriptedConnection) -> None:
        connection.reply(greet(connection, video.sdp()))
        for packets in video.packets():
            assert read.acquire(timeout=20.0)
            connection.send(b"".join(interleaved(packet) for packet in packets))
        connection.ask()

    with RtspScript(play) as camera:
        source = RtspSource(url=camera.url, timeout_s=5.0)
        source.open()
        for number in range(10):
            before = SYSTEM_CLOCK.mono()
            grab = source.read()
            assert read_ms(grab.image.luma()) == number
            assert grab.mono is not None
            assert number == 0 or before <= grab.mono <= SYSTEM_CLOCK.mono()
            read.release()
        source.close()


def test_a_description_with_broken_parameter_sets(codec: str) -> None:
    video = coded(codec, fps=LIVELY)
    sdp = video.sdp().replace("sprop-parameter-sets=", "sprop-parameter-sets=Z///,").replace("sps=", "sps=Q///,")
    assert played(sdp, flat(video.packets(in_band=True))).numbers == list(range(30))


def test_an_ffmpeg_without_the_decoder_leaves_no_connection_open(
    monkeypatch: pytest.MonkeyPatch, leaks: Callable[[], tuple[int, int]]
) -> None:
    def missing(*_: object) -> None:
        raise av.codec.codec.UnknownCodecError("hevc")

    sdp = coded("hevc", frames=1).sdp()
    monkeypatch.setattr("detector.capture.rtsp.decode.CodecContext", SimpleNamespace(create=missing))
    with RtspScript(serve(sdp, [])) as camera:
        before = leaks()
        with pytest.raises(NotUnderstoodError, match="no decoder"):
            Stream(
                url=camera.url, shown="camera", timeout_s=5.0, clock=SYSTEM_CLOCK, keyframes_only=lambda: False
            ).open()
        assert leaks() <= (before[0] + 1, before[1])  # the camera's own end


def test_a_hundred_pictures_that_cannot_be_decoded_are_another_codec() -> None:
    video = coded(frames=1)
    junk = [rtp(b"\x65" + bytes(200), sequence=i, stamp=i * 90, marker=True) for i in range(150)]
    with RtspScript(serve(video.sdp(), junk)) as camera:
        source = RtspSource(url=camera.url, timeout_s=5.0)
        source.open()
        with pytest.raises(SourceError, match="cannot be decoded"):
            source.read()
        source.close()


def test_two_hundred_pictures_before_the_first_key_frame_are_not() -> None:
    video = coded(frames=3, fps=LIVELY)
    orphans = [rtp(b"\x41" + bytes(200), sequence=i + 65_330, stamp=i, marker=True) for i in range(200)]
    done = played(video.sdp(sprop=False), [*orphans, *flat(video.packets(in_band=True))])
    assert done.numbers == [0, 1, 2]


def test_a_stream_without_pictures_is_ffmpegs_next_time(caplog: pytest.LogCaptureFixture) -> None:
    video = coded(fps=LIVELY)
    turn = iter([0, 1, 2, 3])

    def drip(connection: ScriptedConnection) -> None:
        if next(turn) > 0:
            serve(video.sdp(), flat(video.packets()))(connection)
        connection.reply(greet(connection, video.sdp()))
        for sequence in itertools.count():
            connection.send(interleaved(rtp(b"\x06sei", sequence=sequence & 0xFFFF, stamp=sequence, marker=True)))
            time.sleep(0.001)

    with caplog.at_level(logging.INFO), RtspScript(drip) as camera:
        source = RtspSource(url=camera.url, timeout_s=2.0)
        source.open()
        with pytest.raises(SourceError, match=r"no picture within 2 s"):
            source.read()
        source.close()
        source = RtspSource(url=camera.url, timeout_s=20.0)
        source.open()
        assert source.read().mono is None
        source.close()
        source.open()  # the own client has its chance again
        assert source.read().mono is not None
        source.close()
    assert [record.levelname for record in caplog.records if "FFmpeg" in record.message] == ["INFO"]


def open_and_read(source: RtspSource) -> None:
    source.open()
    source.read()


def test_another_codec_is_left_to_ffmpeg_and_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    jpeg = "v=0\r\ns=x\r\nm=video 0 RTP/AVP 26\r\na=control:track1\r\n"
    with caplog.at_level(logging.INFO), RtspScript(serve(jpeg, [])) as camera:
        for _ in range(2):
            source = RtspSource(url=camera.url, timeout_s=0.4)
            with pytest.raises(SourceError) as caught:
                open_and_read(source)
            assert not isinstance(caught.value, NotUnderstoodError)
            source.close()
    told = [record.message for record in caplog.records if "FFmpeg" in record.message]
    assert len(told) == 1
    assert "neither H.264 nor H.265" in told[0]
    assert "p@s" not in told[0]
    assert "p%40s" not in told[0]
    agents = [request.headers["User-Agent"] for request in camera.requests]
    assert any(agent.startswith("Lavf") for agent in agents)


def test_ffmpeg_reads_what_this_client_does_not_understand() -> None:
    """A camera that this client is refused by, for once, with a status that it does not know."""
    video = coded(fps=25)

    def describe(connection: ScriptedConnection, request: RtspRequest) -> bool:
        if request.headers["User-Agent"] != "detector":
            return False
        connection.reply(request, "451 Parameter Not Understood")
        return True

    with RtspScript(serve(video.sdp(), flat(video.packets()), DESCRIBE=describe)) as camera:
        source = RtspSource(url=camera.url, timeout_s=5.0)
        source.open()
        grab = source.read()
        assert grab.mono is None
        assert grab.image.width == 320
        source.close()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_stream_of_bits_gone_wrong_ends_in_one_plain_error(data: st.DataObject) -> None:
    """Real packets, with bytes changed, packets lost, doubled and cut: pictures or an error, nothing else."""
    packets = flat(_SHORT.packets(size=400, in_band=True))
    for _ in range(data.draw(st.integers(1, 12))):
        i = data.draw(st.integers(0, len(packets) - 1))
        packet = packets[i]
        at = data.draw(st.integers(0, max(0, len(packet) - 1)))  # one may have been cut to nothing
        changed = packet[:at] + bytes((data.draw(st.integers(0, 255)),)) + packet[at + 1 :]
        packets[i : i + 1] = data.draw(st.sampled_from([[], [packet, packet], [packet[:at]], [changed]]))

    def play(connection: ScriptedConnection) -> None:
        connection.reply(greet(connection, _SHORT.sdp()))
        connection.send(b"".join(interleaved(packet) for packet in packets))

    started = SYSTEM_CLOCK.mono()
    with RtspScript(play) as camera:
        source = RtspSource(url=camera.url, timeout_s=2.0)
        source.open()
        with pytest.raises(SourceError) as caught:
            collections.deque(iter(source.read, None), maxlen=0)
        source.close()
    assert "p@s" not in str(caught.value)
    assert SYSTEM_CLOCK.mono() - started < 6.0


_SHORT = coded(frames=6, gop=3, width=160, height=120, fps=LIVELY)
