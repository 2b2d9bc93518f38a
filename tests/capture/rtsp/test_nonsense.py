"""Nonsense of every kind, in the middle of what is right: one plain error, in time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.capture.rtsp.session import RtspSession
from detector.core.clock import SYSTEM_CLOCK
from detector.core.errors import SourceError
from detector.core.redact import redact
from support.rtsp_script import PASSWORD, RtspScript, ScriptedConnection, greet
from support.rtsp_video import coded

SDP = coded(frames=1).sdp()

_NONSENSE = st.one_of(
    st.binary(max_size=200),
    st.sampled_from(
        [
            b"RTSP/1.0 200 OK\r\n\r\n",
            b"RTSP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"RTSP/1.0 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
            b"RTSP/1.0 999 \r\n\r\n",
            b"RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: Digest\r\n\r\n",
            b'RTSP/1.0 401 \r\nWWW-Authenticate: Digest nonce="\xff", algorithm=MD5\r\n\r\n',
            b"RTSP/1.0 302 Found\r\nLocation: rtsp://[/\r\n\r\n",
            b"RTSP/1.0 200 OK\r\nTransport: TCP;interleaved=999\r\nSession: ;timeout=0\r\n\r\n",
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            b"PLAY_NOTIFY * RTSP/1.0\r\n\r\n",
            b"$\x00\x00\x00",
            b"$\x00\xff\xff",
            b"A" * 70_000,
            b"\x00" * 70_000,
            b"RTSP/1.0 200 OK\r\nContent-Length: 12\r\n\r\nm=video 0 R\n",
        ]
    ),
)


def open_and_receive(session: RtspSession) -> None:
    session.open()
    while True:
        session.receive(SYSTEM_CLOCK.mono() + 2.0)


@settings(max_examples=60, deadline=None)
@given(st.lists(_NONSENSE, max_size=4), st.integers(0, 4))
def test_nonsense_ends_in_one_plain_error_in_time(nonsense: list[bytes], after: int) -> None:
    """`after` so many good answers; then the camera says its nonsense and hangs up."""

    def play(connection: ScriptedConnection) -> None:
        try:
            request = greet(
                connection,
                SDP,
                **{
                    method: (lambda c, _: c.send(b"".join(nonsense)) or c.socket.shutdown(1) or True)
                    for method in ("OPTIONS", "DESCRIBE", "SETUP")[after : after + 1]
                },
            )
        except EOFError:
            return
        if after == 4:
            connection.reply(request)
        connection.send(b"".join(nonsense))

    started = SYSTEM_CLOCK.mono()
    with RtspScript(play) as camera:
        session = RtspSession(url=camera.url, shown=redact(camera.url), timeout_s=2.0, clock=SYSTEM_CLOCK)
        try:
            with pytest.raises(SourceError) as caught:
                open_and_receive(session)
        finally:
            session.close()
    assert PASSWORD not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert SYSTEM_CLOCK.mono() - started < 6.0
