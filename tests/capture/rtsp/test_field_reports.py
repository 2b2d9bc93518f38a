"""What cameras in the field do, each as a scripted camera over loopback: the whole way to a picture."""

from __future__ import annotations

import collections
import itertools
import random
import threading
import time
from collections.abc import Callable

import pytest

from detector.capture.camera import CameraLoop
from detector.capture.latest_frames import LatestFrames
from detector.capture.network import NetworkSource
from detector.capture.rtsp.source import RtspSource
from detector.capture.source import CameraRefusedError, CapturedImage, Source, WaitingError
from detector.core.clock import SYSTEM_CLOCK
from detector.core.errors import SourceError
from detector.core.types import Frame
from support.cameras import Running, States, Until, loop_of
from support.mid_gop import MidGop
from support.rtsp_script import PASSWORD, RtspRequest, RtspScript, ScriptedConnection, greet, serve
from support.rtsp_server import RtspServer, why_not
from support.rtsp_video import CodedVideo, coded, interleaved
from support.stamped import read_ms

VIDEO = coded(frames=30, gop=10, fps=1000, width=160, height=96)
Play = Callable[[ScriptedConnection], None]


def flat(video: CodedVideo) -> list[bytes]:
    return [packet for packets in video.packets() for packet in packets]


def opened(url: str, timeout_s: float = 5.0) -> RtspSource:
    source = RtspSource(url=url, timeout_s=timeout_s)
    source.open()
    return source


def read_all(source: Source) -> list[CapturedImage]:
    grabs: list[CapturedImage] = []
    try:
        while True:
            grabs.append(source.read())
    except SourceError:
        return grabs


def noise(size: int, seed: int) -> bytes:
    """Seeded random bytes that hold A to Z."""
    made = bytearray(random.Random(seed).randbytes(size))
    made[size // 2] = ord("A") + seed % 26
    return bytes(made)


@pytest.mark.parametrize("size", [1, 4, 60, 700])
def test_r1_junk_after_every_20th_packet_costs_no_picture_and_no_connection(size: int) -> None:
    video = coded(frames=60, gop=30, fps=1000)
    packets = [interleaved(packet) for packet in flat(video)]

    def play(connection: ScriptedConnection) -> None:
        connection.reply(greet(connection, video.sdp()))
        for i, packet in enumerate(packets):
            connection.send(packet + (noise(size, i) if i % 20 == 19 else b""))

    with RtspScript(play) as camera:
        source = opened(camera.url)
        numbers = [read_ms(grab.image.luma()) for grab in read_all(source)]
        counts, notes = source.counts, source.notes
        source.close()
    assert numbers == list(range(60))
    assert counts.damaged >= len(packets) // 20 - 1
    assert notes == ("junk between packets skipped",)
    assert camera.methods().count("PLAY") == 1


def test_r1_junk_before_each_answer() -> None:
    def junk(connection: ScriptedConnection, request: RtspRequest) -> bool:
        connection.send(noise(200, len(request.method)))
        return False

    with RtspScript(serve(VIDEO.sdp(), flat(VIDEO), OPTIONS=junk, DESCRIBE=junk, SETUP=junk)) as camera:
        source = opened(camera.url)
        assert source.read().mono is not None, "FFmpeg read it"
        source.close()


class Paced:
    """A camera that sends `video` at its own rate, in the order of decoding."""

    def __init__(self, video: CodedVideo) -> None:
        self.video, self.played = video, 0

    def __call__(self, connection: ScriptedConnection) -> None:
        connection.reply(greet(connection, self.video.sdp()))
        self.played += 1
        started = time.monotonic()
        for i, packets in enumerate(self.video.packets()):
            time.sleep(max(0.0, started + i / self.video.fps - time.monotonic()))
            connection.send(b"".join(interleaved(packet) for packet in packets))


@pytest.mark.parametrize("codec", ["h264", pytest.param("hevc", marks=pytest.mark.fault)])
@pytest.mark.parametrize(("fps", "frames"), [(5, 16), (10, 24), (25, 40)])
@pytest.mark.parametrize("own", [True, False])
def test_r2_b_frames_leave_in_time_order_with_stamps_that_never_fall(
    codec: str, fps: int, frames: int, own: bool, running: Running, until: Until
) -> None:
    video = coded(codec, frames=frames, gop=15, b_frames=2, fps=fps, width=160, height=96)
    got, stop, slots = list[Frame](), threading.Event(), LatestFrames()
    slots.add("porch", float(fps))

    def put(frame: Frame) -> None:
        got.append(frame)
        slots.put(frame)

    def source(url: str) -> Source:
        return RtspSource(url=url, timeout_s=2.0) if own else NetworkSource(url=url, timeout_s=2.0)

    with RtspScript(Paced(video)) as camera:
        loop = loop_of(lambda: source(camera.url), put, stop)
        running(loop.run, stop)
        until(lambda: len(got) >= frames - 8)
        until(lambda: any("B-frames" in note for note in loop.stats().notes) or not own)
        stop.set()
    numbers = [read_ms(frame.image.luma()) for frame in got]
    monos = [frame.captured_mono for frame in got]
    assert numbers[: frames - 8] == list(range(numbers[0], numbers[0] + frames - 8))
    assert all(later >= earlier for earlier, later in itertools.pairwise(monos))
    assert slots.counts("porch").refused == 0


def test_r2_a_b_picture_is_as_old_as_the_picture_it_was_decoded_behind() -> None:
    """It was taken before the P-picture that the camera sent ahead of it, and its stamp says so."""
    video = coded(frames=15, gop=15, b_frames=2, fps=10, width=160, height=96)
    with RtspScript(Paced(video)) as camera:
        source = opened(camera.url, timeout_s=2.0)
        grabs = read_all(source)
        source.close()
    gaps = [b.mono - a.mono for a, b in itertools.pairwise(grabs[:10]) if a.mono is not None and b.mono is not None]
    assert min(gaps) >= 0.0
    assert sorted(gaps)[len(gaps) // 2] == pytest.approx(0.1, abs=0.03)


def digest_and_basic(lines: list[str], *, takes: str) -> Callable[[ScriptedConnection, RtspRequest], bool]:
    """A camera that offers `lines`, with a fresh nonce each time, and takes only answers that begin with `takes`."""
    count = itertools.count()

    def check(connection: ScriptedConnection, request: RtspRequest) -> bool:
        if request.headers.get("Authorization", "").startswith(takes):
            return False
        fresh = [("WWW-Authenticate", line.replace("NONCE", f"n{next(count)}")) for line in lines]
        connection.reply(request, "401 Unauthorized", fresh)
        return True

    return check


DIGEST, SHA, BASIC = (
    'Digest realm="c", nonce="NONCE"',
    'Digest realm="c", nonce="NONCE", algorithm=SHA-256',
    'Basic realm="c"',
)


@pytest.mark.parametrize(
    "lines",
    [
        [DIGEST, BASIC],
        [BASIC, DIGEST],
        [SHA, BASIC],
        [SHA, DIGEST, BASIC],
        [f"{DIGEST}, {BASIC}"],
        [f"{BASIC}, {DIGEST}"],
        [DIGEST + ', qop="auth"', "basic"],
    ],
)
def test_r4_basic_after_a_refused_digest(lines: list[str]) -> None:
    check = digest_and_basic(lines, takes="Basic ")
    with RtspScript(serve(VIDEO.sdp(), flat(VIDEO), OPTIONS=check, DESCRIBE=check, SETUP=check, PLAY=check)) as camera:
        source = opened(camera.url)
        assert source.read().mono is not None
        assert source.notes == ("Basic instead of Digest",)
        source.close()
    schemes = [request.headers.get("Authorization", "").split(" ")[0] for request in camera.requests]
    digests = 2 if len(lines) == 3 else 1
    assert schemes[: 3 + digests] == ["", *["Digest"] * digests, "Basic", "Basic"]


@pytest.mark.parametrize("lines", [[DIGEST, BASIC], [SHA, DIGEST, BASIC], [BASIC]])
def test_r4_a_wrong_password_is_tried_once_each_way(lines: list[str]) -> None:
    check = digest_and_basic(lines, takes="nothing")
    with RtspScript(serve(VIDEO.sdp(), [], OPTIONS=check)) as camera:
        source = RtspSource(url=camera.url, timeout_s=5.0)
        with pytest.raises(CameraRefusedError, match="401") as caught:
            source.open()
        assert PASSWORD not in str(caught.value)
    assert len(camera.requests) == 1 + len(lines)


def test_r4_a_nonce_that_ends_in_mid_session_is_no_refusal() -> None:
    """Some cameras give a fresh nonce for each request and never say stale."""
    used = set[str]()
    count = itertools.count()

    def check(connection: ScriptedConnection, request: RtspRequest) -> bool:
        answer = request.headers.get("Authorization", "")
        nonce = answer.partition('nonce="')[2].partition('"')[0]
        if answer.startswith("Digest") and nonce not in used:
            used.add(nonce)
            return False
        fresh = f'Digest realm="c", nonce="n{next(count)}"'
        connection.reply(request, "401 Unauthorized", [("WWW-Authenticate", fresh), ("WWW-Authenticate", BASIC)])
        return True

    with RtspScript(serve(VIDEO.sdp(), flat(VIDEO), OPTIONS=check, DESCRIBE=check, SETUP=check, PLAY=check)) as camera:
        source = opened(camera.url)
        assert source.read().mono is not None
        assert source.notes == ()
        source.close()
    assert not any("Basic" in request.headers.get("Authorization", "") for request in camera.requests)


def setting_up(transport: str | None, status: str = "200 OK") -> Callable[[ScriptedConnection, RtspRequest], bool]:
    def reply(connection: ScriptedConnection, request: RtspRequest) -> bool:
        headers = [("Session", "abc")] + ([("Transport", transport)] if transport else [])
        connection.reply(request, status, headers)
        return True

    return reply


@pytest.mark.parametrize("transport", ["RTP/AVP;unicast;interleaved=0-1", "RTP/AVP;Interleaved=0-1", None])
def test_r5_an_answer_with_interleaved_is_tcp(transport: str | None) -> None:
    with RtspScript(serve(VIDEO.sdp(), flat(VIDEO), SETUP=setting_up(transport))) as camera:
        source = opened(camera.url)
        assert source.read().mono is not None
        assert source.notes == ("its answer to SETUP does not say TCP",)
        source.close()


@pytest.mark.parametrize(
    ("transport", "status"),
    [
        ("RTP/AVP/UDP;unicast;client_port=0-1;server_port=5000-5001", "200 OK"),
        ("RTP/AVP;unicast;client_port=0-1;server_port=5000-5001", "200 OK"),
        (None, "461 Unsupported Transport"),
        (None, "406 Not Acceptable"),
    ],
)
def test_r5_a_camera_that_offers_udp_only_is_said_to_with_the_key(transport: str | None, status: str) -> None:
    with RtspScript(serve(VIDEO.sdp(), [], SETUP=setting_up(transport, status))) as camera:
        source = RtspSource(url=camera.url, timeout_s=5.0)
        with pytest.raises(SourceError, match=r"UDP only; set transport: udp") as caught:
            source.open()
        source.close()
    assert "\n" not in str(caught.value)
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("before", ["\r\n", "\n", " \r\n\r\n"])
def test_r1_empty_lines_at_the_beginning_of_a_description_are_no_junk(before: str) -> None:
    with RtspScript(serve(before + VIDEO.sdp(), flat(VIDEO))) as camera:
        source = opened(camera.url)
        assert source.read().mono is not None
        source.close()


def test_r5_a_camera_with_too_many_viewers_says_so() -> None:
    def full(connection: ScriptedConnection, request: RtspRequest) -> bool:
        connection.reply(request, "453 Not Enough Bandwidth")
        return True

    with RtspScript(serve(VIDEO.sdp(), [], PLAY=full)) as camera:
        source = RtspSource(url=camera.url, timeout_s=5.0)
        with pytest.raises(SourceError, match=r"serves no more viewers \(453\); close others"):
            source.open()
    assert camera.methods().count("PLAY") == 1


@pytest.mark.skipif(why_not() is not None, reason=f"needs a real RTSP server: {why_not()}")
def test_r5_transport_udp_plays_and_notices_silence() -> None:
    with RtspServer(user="cam", password=PASSWORD, udp_only=True) as server:
        source = NetworkSource(url=server.url, timeout_s=2.0, transport="udp")
        source.open()
        assert [source.read().image.width for _ in range(10)] == [320] * 10
        assert source.notes == ("RTSP over UDP",)
        server.stall()
        started = SYSTEM_CLOCK.mono()
        with pytest.raises(SourceError, match="no answer within 2 s"):
            collections.deque(iter(source.read, None), maxlen=0)
        assert SYSTEM_CLOCK.mono() - started < 5.0
        server.resume()
        source.close()
        with pytest.raises(SourceError, match="transport: udp"):
            RtspSource(url=server.url, timeout_s=5.0).open()


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("own", [True, False])
def test_r8_a_key_frame_far_away_is_waited_for_on_one_connection(
    codec: str, own: bool, running: Running, until: Until
) -> None:
    """The default time-out is 5 s, key frames 12 s and 60 s apart; here all in a tenth and less."""
    play = MidGop(coded(codec, frames=40, gop=20, fps=25, width=160, height=96), wait_s=1.6)
    got, stop, states = list[Frame](), threading.Event(), States()
    with RtspScript(play) as camera:

        def source() -> Source:
            kind = RtspSource if own else NetworkSource
            return kind(url=camera.url, timeout_s=0.5)

        loop: CameraLoop = loop_of(source, got.append, stop, on_state=states.told)
        running(loop.run, stop)
        until(lambda: "waiting for the camera's key frame" in (loop.stats().error or ""))
        assert loop.stats().state == "connecting"
        until(lambda: got)
        stats = loop.stats()
        assert (stats.state, stats.error, stats.reconnects) == ("online", None, 0)
        if own:
            assert any("no key frame for" in note for note in stats.notes)
        stop.set()
    assert play.played == 1
    assert "offline" not in states.names[:2]


def test_r8_silence_while_waiting_for_a_key_frame_is_silence() -> None:
    video = coded(frames=40, gop=20, fps=25, width=160, height=96)
    with RtspScript(MidGop(video, wait_s=60.0, pictures=25)) as camera:
        source = opened(camera.url, timeout_s=0.5)
        started, waited = SYSTEM_CLOCK.mono(), 0
        with pytest.raises(SourceError, match=r"no answer within 0\.5 s"):  # noqa: PT012 - the loop is what is tried
            while True:
                try:
                    source.read()
                except WaitingError:
                    waited += 1
        assert waited >= 1
        assert 1.4 < SYSTEM_CLOCK.mono() - started < 3.0
        source.close()
