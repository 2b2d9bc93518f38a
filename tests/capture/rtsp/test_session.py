"""The protocol's quirks, played by a small real camera over TCP."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from detector.capture.rtsp.errors import NotUnderstoodError
from detector.capture.rtsp.session import RtspSession
from detector.capture.source import CameraRefusedError
from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.errors import SourceError
from detector.core.redact import redact
from support.mosquitto import make_certificates
from support.rtsp_script import PASSWORD, USER, RtspRequest, RtspScript, ScriptedConnection, greet, response, serve
from support.rtsp_video import coded, interleaved, rtp

SDP = coded(frames=1).sdp()
PACKETS = [rtp(b"\x65picture", sequence=i, stamp=i, marker=True) for i in range(3)]


class Opened:
    """A session that is closed at the test's end."""

    def __init__(self) -> None:
        self._sessions: list[RtspSession] = []

    def __call__(self, url: str, *, timeout_s: float = 5.0, clock: Clock = SYSTEM_CLOCK) -> RtspSession:
        session = RtspSession(url=url, shown=redact(url), timeout_s=timeout_s, clock=clock)
        self._sessions.append(session)
        session.open()
        return session

    def close(self) -> None:
        for session in self._sessions:
            session.close()


@pytest.fixture
def opened() -> Iterator[Opened]:
    made = Opened()
    yield made
    made.close()


def packets(session: RtspSession, count: int) -> list[bytes]:
    got: list[bytes] = []
    while len(got) < count:
        got += session.receive(SYSTEM_CLOCK.mono() + 5.0)
    return got


def refused(opened: Opened, url: str, kind: type[SourceError] = SourceError, timeout_s: float = 5.0) -> str:
    started = SYSTEM_CLOCK.mono()
    with pytest.raises(kind) as caught:
        opened(url, timeout_s=timeout_s)
    text = str(caught.value)
    assert SYSTEM_CLOCK.mono() - started < timeout_s + 2.0
    assert "\n" not in text
    assert PASSWORD not in text
    assert "p%40s" not in text
    assert caught.value.__cause__ is None
    assert type(caught.value) is kind
    return text


def test_the_way_to_a_stream_and_its_end(opened: Opened) -> None:
    with RtspScript(serve(SDP, PACKETS)) as camera:
        session = opened(camera.url)
        assert packets(session, 3) == PACKETS
        session.close()
        session.close()
    assert camera.methods() == ["OPTIONS", "DESCRIBE", "SETUP", "PLAY", "TEARDOWN"]
    base = f"rtsp://127.0.0.1:{camera.port}/live"
    assert [request.url for request in camera.requests] == [base, base, f"{base}/track1", base, base]
    assert [request.headers.get("Session") for request in camera.requests] == [None, None, None, "abc", "abc"]
    assert [request.headers["CSeq"] for request in camera.requests] == ["1", "2", "3", "4", "5"]
    assert not any("Authorization" in request.headers for request in camera.requests)


def test_answers_in_the_smallest_pieces(opened: Opened) -> None:
    class Piecemeal(ScriptedConnection):
        def send(self, data: bytes) -> None:
            for i in range(len(data)):
                self.socket.sendall(data[i : i + 1])

    def play(connection: ScriptedConnection) -> None:
        serve(SDP, PACKETS)(Piecemeal(connection.socket, camera))

    with RtspScript(play) as camera:
        assert packets(opened(camera.url), 3) == PACKETS


def test_packets_between_the_answers_and_padding_before_them(opened: Opened) -> None:
    def early(connection: ScriptedConnection, request: RtspRequest) -> bool:
        connection.send(b"\r\n\x00\r\n")
        connection.send(interleaved(b"\x80\xc8report", channel=1))
        return False

    def play(connection: ScriptedConnection) -> None:
        request = greet(connection, SDP, DESCRIBE=early, SETUP=early)
        first, second, third = (interleaved(packet) for packet in PACKETS)
        answer = response(request, "200 OK")
        connection.send(first + interleaved(b"\x80\xc8report", channel=1) + answer + second + b"\r\n" + third)
        connection.ask()

    with RtspScript(play) as camera:
        assert packets(opened(camera.url), 3) == PACKETS


def test_the_channel_is_the_cameras_choice(opened: Opened) -> None:
    def setup(connection: ScriptedConnection, request: RtspRequest) -> bool:
        transport = ("Transport", "RTP/AVP/TCP;unicast;interleaved=4-5;ssrc=0000004D;mode=play")
        connection.reply(request, headers=[transport, ("Session", "a")])
        return True

    def play(connection: ScriptedConnection) -> None:
        connection.reply(greet(connection, SDP, SETUP=setup))
        connection.send(b"".join(interleaved(packet, channel=i) for i, packet in zip((0, 4, 5), PACKETS, strict=True)))
        connection.ask()

    with RtspScript(play) as camera:
        assert packets(opened(camera.url), 1) == [PACKETS[1]]


@pytest.mark.parametrize(
    ("base", "control", "setup", "play"),
    [
        ("rtsp://HOST/live/", "track1", "rtsp://HOST/live/track1", "rtsp://HOST/live/"),
        ("rtsp://HOST/other", "track1", "rtsp://HOST/other/track1", "rtsp://HOST/other"),
        ("rtsp://HOST/live/", "*", "rtsp://HOST/live/", "rtsp://HOST/live/"),
        ("rtsp://HOST/live/", "rtsp://HOST/x?y=1", "rtsp://HOST/x?y=1", "rtsp://HOST/live/"),
        ("relative/", "track1", "rtsp://HOST/live/track1", "rtsp://HOST/live"),
        ("", "", "rtsp://HOST/live", "rtsp://HOST/live"),
    ],
)
def test_what_is_asked_for_follows_the_description(
    opened: Opened, base: str, control: str, setup: str, play: str
) -> None:
    def describe(connection: ScriptedConnection, request: RtspRequest) -> bool:
        host = f"127.0.0.1:{camera.port}"
        made = coded(frames=1).sdp(control=control.replace("HOST", host))
        connection.reply(request, headers=[("Content-Base", base.replace("HOST", host))], body=made)
        return True

    with RtspScript(serve(SDP, PACKETS, DESCRIBE=describe)) as camera:
        opened(camera.url)
        urls = {request.method: request.url for request in camera.requests}
        assert urls["SETUP"] == setup.replace("HOST", f"127.0.0.1:{camera.port}")
        assert urls["PLAY"] == play.replace("HOST", f"127.0.0.1:{camera.port}")


def digest(algorithm: str, qop: str | None) -> Callable[[ScriptedConnection, RtspRequest], bool]:
    """A check of each request's Digest answer, reckoned here anew."""

    def hashed(text: str) -> str:
        return hashlib.new("sha256" if algorithm.startswith("SHA-256") else "md5", text.encode()).hexdigest()

    def check(connection: ScriptedConnection, request: RtspRequest) -> bool:
        given_fields = dict(re.findall(r'(\w+)="?([^",]*)"?', request.headers.get("Authorization", "")))
        if not given_fields:
            wanted = f'Digest realm="a camera", nonce="abc", algorithm={algorithm}' + (f', qop="{qop}"' if qop else "")
            connection.reply(request, "401 Unauthorized", [("WWW-Authenticate", wanted)])
            return True
        first = hashed(f"{USER}:a camera:{PASSWORD}")
        if algorithm.endswith("-sess"):
            first = hashed(f"{first}:abc:{given_fields['cnonce']}")
        middle = f"abc:{given_fields['nc']}:{given_fields['cnonce']}:auth" if qop else "abc"
        expected = hashed(f"{first}:{middle}:{hashed(f'{request.method}:{request.url}')}")
        assert given_fields["response"] == expected
        assert given_fields["uri"] == request.url
        return False

    return check


@pytest.mark.parametrize("algorithm", ["MD5", "MD5-sess", "SHA-256", "SHA-256-sess"])
@pytest.mark.parametrize("qop", [None, "auth"])
def test_digest_variants(opened: Opened, algorithm: str, qop: str | None) -> None:
    check = digest(algorithm, qop)
    with RtspScript(serve(SDP, PACKETS, OPTIONS=check, DESCRIBE=check, SETUP=check, PLAY=check)) as camera:
        assert packets(opened(camera.url), 3) == PACKETS
    assert camera.methods()[:3] == ["OPTIONS", "OPTIONS", "DESCRIBE"]


def test_a_stale_nonce_is_not_a_wrong_password(opened: Opened) -> None:
    answered: list[str] = []

    def describe(connection: ScriptedConnection, request: RtspRequest) -> bool:
        answered.append(request.headers.get("Authorization", ""))
        if len(answered) == 3:
            return False
        stale = ", stale=true" if len(answered) == 2 else ""
        wanted = f'Digest realm="a", nonce="{len(answered)}"{stale}'
        connection.reply(request, "401 Unauthorized", [("WWW-Authenticate", wanted)])
        return True

    with RtspScript(serve(SDP, PACKETS, DESCRIBE=describe)) as camera:
        opened(camera.url)
    assert ["nonce=" in header and header.split('nonce="')[1][0] for header in answered] == [False, "1", "2"]


@pytest.mark.parametrize("wanted", ['Digest realm="a", nonce="NUMBER"', 'Basic realm="a"'])
def test_a_wrong_password_is_said_after_one_try(opened: Opened, wanted: str) -> None:
    def refuse(connection: ScriptedConnection, request: RtspRequest) -> bool:
        fresh = wanted.replace("NUMBER", str(len(camera.requests)))
        connection.reply(request, "401 Unauthorized", [("WWW-Authenticate", fresh)])
        return True

    with RtspScript(serve(SDP, PACKETS, OPTIONS=refuse)) as camera:
        assert "401" in refused(opened, camera.url, CameraRefusedError)
        assert "401" in refused(opened, camera.url.replace("cam:p%40s%2Fs%3Aw@", ""), CameraRefusedError)
    assert len(camera.requests) == 3


def answering(status: str, *headers: tuple[str, str]) -> Callable[[ScriptedConnection, RtspRequest], bool]:
    def reply(connection: ScriptedConnection, request: RtspRequest) -> bool:
        connection.reply(request, status, headers)
        return True

    return reply


@pytest.mark.parametrize(
    ("method", "status", "kind", "text"),
    [
        ("DESCRIBE", "404 Not Found", SourceError, "404"),
        ("DESCRIBE", "403 Forbidden", CameraRefusedError, "403"),
        ("SETUP", "503 Service Unavailable", SourceError, "5xx"),
        ("SETUP", "461 Unsupported transport", SourceError, "461"),
        ("PLAY", "455 Method Not Valid in This State", NotUnderstoodError, "455"),
        ("DESCRIBE", "200 OK", NotUnderstoodError, "no video"),
        ("SETUP", "406 Not Acceptable", SourceError, "transport: udp"),
    ],
)
def test_refusals_are_told_apart(opened: Opened, method: str, status: str, kind: type[SourceError], text: str) -> None:
    with RtspScript(serve(SDP, PACKETS, **{method: answering(status)})) as camera:
        assert text in refused(opened, camera.url, kind)


def test_options_may_be_unknown(opened: Opened) -> None:
    with RtspScript(serve(SDP, PACKETS, OPTIONS=answering("501 Not Implemented"))) as camera:
        assert packets(opened(camera.url), 3) == PACKETS


def test_redirects_are_followed_to_their_end_and_not_for_ever(opened: Opened) -> None:
    with RtspScript(serve(SDP, PACKETS)) as there:
        location = ("Location", f"rtsp://127.0.0.1:{there.port}/there")
        with RtspScript(serve(SDP, PACKETS, DESCRIBE=answering("302 Moved", location))) as here:
            assert packets(opened(here.url), 3) == PACKETS
        assert there.requests[0].url == location[1]
    with RtspScript(serve(SDP, PACKETS, DESCRIBE=answering("301 Moved", ("Location", "again")))) as circle:
        assert "redirects without end" in refused(opened, circle.url)
    assert circle.methods().count("DESCRIBE") == 6


@pytest.mark.parametrize("location", ["http://127.0.0.1/", "rtsp://", "rtsp://h:0/"])
def test_a_redirect_to_elsewhere_is_not_understood(opened: Opened, location: str) -> None:
    moved = answering("302 Moved", ("Location", location))
    with RtspScript(serve(SDP, PACKETS, DESCRIBE=moved)) as camera:
        if location.startswith("rtsp"):
            refused(opened, camera.url, NotUnderstoodError)
        else:
            assert "404" not in refused(opened, camera.url)


class Shifted:
    """The machine's clock, set forward at will."""

    shift_s = 0.0

    def mono(self) -> float:
        return SYSTEM_CLOCK.mono() + self.shift_s

    def wall(self) -> float:
        return SYSTEM_CLOCK.wall() + self.shift_s


@pytest.mark.parametrize("public", ["OPTIONS, GET_PARAMETER", "OPTIONS"])
def test_the_session_is_kept_alive_at_half_its_time(opened: Opened, public: str) -> None:
    kept: list[RtspRequest] = []

    def play(connection: ScriptedConnection) -> None:
        options = answering("200 OK", ("Public", public))
        setup = answering("200 OK", ("Transport", "RTP/AVP/TCP;interleaved=0-1"), ("Session", "abc;timeout=20"))
        connection.reply(greet(connection, SDP, OPTIONS=options, SETUP=setup))
        connection.send(interleaved(PACKETS[0]))
        kept.append(connection.ask())
        connection.reply(kept[0], "401 Unauthorized", [("WWW-Authenticate", 'Digest realm="a", nonce="2", stale=true')])
        connection.send(interleaved(PACKETS[1]))
        kept.append(connection.ask())
        connection.reply(kept[1])
        connection.send(interleaved(PACKETS[2]))
        connection.ask()

    clock = Shifted()
    with RtspScript(play) as camera:
        session = opened(camera.url, clock=clock)

        def one() -> list[bytes]:
            got: list[bytes] = []
            while not got:
                got = session.receive(clock.mono() + 5.0)
            return got

        assert one() == PACKETS[:1]
        clock.shift_s += 9.0
        assert session.receive(None) == []
        assert len(camera.requests) == 4
        clock.shift_s += 1.5
        assert one() == PACKETS[1:2]
        clock.shift_s += 1.5  # the nonce was too old: again, not much later
        assert one() == PACKETS[2:3]
    assert [request.method for request in kept] == ["GET_PARAMETER" if "GET" in public else "OPTIONS"] * 2
    assert kept[0].headers["Session"] == "abc"
    assert 'nonce="2"' in kept[1].headers["Authorization"]


def test_the_cameras_own_requests_are_answered(opened: Opened) -> None:
    heard: list[bytes] = []

    def play(connection: ScriptedConnection) -> None:
        connection.reply(greet(connection, SDP))
        connection.send(
            b"SET_PARAMETER rtsp://a RTSP/1.0\r\nCSeq: 9\r\nContent-Length: 2\r\n\r\nhi" + interleaved(PACKETS[0])
        )
        heard.append(connection.socket.recv(1000))
        connection.send(b"TEARDOWN rtsp://a RTSP/1.0\r\nCSeq: 10\r\n\r\n")
        connection.ask()

    with RtspScript(play) as camera:
        session = opened(camera.url)
        assert packets(session, 1) == PACKETS[:1]
        with pytest.raises(SourceError, match="ended the stream"):
            packets(session, 1)
        session.close()
    assert heard == [b"RTSP/1.0 200 OK\r\nCSeq: 9\r\n\r\n"]


def test_a_certificate_that_the_camera_signed_itself_is_taken(opened: Opened, tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    with RtspScript(serve(SDP, PACKETS), certificate=(made.cert, made.key)) as camera:
        session = opened(camera.url)
        assert packets(session, 3) == PACKETS
        session.close()
    assert camera.requests[0].url.startswith("rtsps://")
    with RtspScript(lambda connection: connection.send(b"RTSP/1.0 400 Bad Request\r\n\r\n")) as plain:
        assert "TLS" in refused(opened, plain.url.replace("rtsp:", "rtsps:"), NotUnderstoodError, timeout_s=2.0)


@pytest.mark.parametrize("when", ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"])
def test_silence_in_the_middle_is_an_error_in_time(opened: Opened, when: str) -> None:
    def silent(connection: ScriptedConnection, request: RtspRequest) -> bool:
        connection.send(b"RTSP/1.0 200 OK\r\nCSeq")
        connection.ask()
        return True

    with RtspScript(serve(SDP, PACKETS, **{when: silent})) as camera:
        assert "no answer within 0.3 s" in refused(opened, camera.url, timeout_s=0.3)


@pytest.mark.parametrize("at_once", [1, 5000])
def test_a_camera_that_sends_on_and_never_answers_is_an_error_in_time(opened: Opened, at_once: int) -> None:
    def send_on(connection: ScriptedConnection, request: RtspRequest) -> bool:
        while True:
            connection.send(interleaved(PACKETS[0]) * at_once)

    with RtspScript(serve(SDP, PACKETS, DESCRIBE=send_on)) as camera:
        assert "no answer within 0.3 s" in refused(opened, camera.url, timeout_s=0.3)
