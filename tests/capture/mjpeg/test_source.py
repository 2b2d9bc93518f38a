"""HTTP cameras as they are in the field, each played over loopback."""

from __future__ import annotations

import collections
import collections.abc
import hashlib
import itertools
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from detector.capture.mjpeg.source import HttpSource
from detector.capture.source import CameraRefusedError, CapturedImage
from detector.core.clock import SYSTEM_CLOCK
from detector.core.errors import SourceError
from support.http_camera import PASSWORD, HttpCamera, HttpRequest, numbered_jpeg
from support.mosquitto import make_certificates
from support.stamped import read_ms

PICTURES = [numbered_jpeg(i) for i in range(10)]
Respond = Callable[[HttpRequest], None]


def opened(url: str, timeout_s: float = 3.0, poll_fps: float = 20.0) -> HttpSource:
    source = HttpSource(url=url, timeout_s=timeout_s, poll_fps=poll_fps)
    source.open()
    return source


def number(picture: CapturedImage) -> int:
    return read_ms(picture.image.luma())


def why(url: str, timeout_s: float = 1.0) -> str:
    """What is said where the camera cannot be opened or read: one line, in time, without the password."""
    source, started = HttpSource(url=url, timeout_s=timeout_s), SYSTEM_CLOCK.mono()
    with pytest.raises(SourceError) as caught:
        collections.deque(pictures_of(source), maxlen=0)
    source.close()
    assert SYSTEM_CLOCK.mono() - started < 3 * timeout_s + 1.0
    text = str(caught.value)
    assert "\n" not in text
    assert "p@s" not in text
    assert "p%40s" not in text
    return text


def pictures_of(source: HttpSource) -> collections.abc.Iterator[CapturedImage]:
    source.open()
    while True:
        yield source.read()


def stream(
    parts: list[bytes],
    *,
    kind: str = "multipart/x-mixed-replace; boundary=frame",
    start: bytes = b"",
    pause_s: float = 0.03,
) -> Respond:
    """A camera that sends `parts` in turn, then waits."""

    def respond(request: HttpRequest) -> None:
        request.send(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\n".encode(), start)
        for part in parts:
            request.send(part)
            time.sleep(pause_s)
        request.socket.recv(1)

    return respond


def part(jpeg: bytes, form: str) -> bytes:
    length = b"Content-Length: %d" % len(jpeg)
    return {
        "usual": b"--frame\r\nContent-Type: image/jpeg\r\n" + length + b"\r\n\r\n" + jpeg + b"\r\n",
        "no length": b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg + b"\r\n",
        "wrong length": b"--frame\r\nContent-Length: 17\r\n\r\n" + jpeg + b"\r\n",
        "headers first": b"Content-Type: image/jpeg\r\n" + length + b"\r\n\r\n" + jpeg + b"\r\n--frame\r\n",
        "headers first, no length": b"Content-Type: image/jpeg\r\n\r\n" + jpeg + b"\r\n--frame\r\n",
        "LF": b"--frame\nContent-Type: image/jpeg\n" + length + b"\n\n" + jpeg + b"\n",
        "LF, headers first": b"Content-Type: image/jpeg\n\n" + jpeg + b"\n--frame\n",
        "no headers": b"--frame\r\n\r\n" + jpeg + b"\r\n",
        "boundary alone": b"--frame\r\n" + jpeg,
        "nothing": jpeg,
        "filled up": b"--frame\r\n\r\n" + jpeg + bytes(500) + b"\r\n",
    }[form]


FORMS = [
    *("usual", "no length", "wrong length", "headers first", "headers first, no length", "LF", "LF, headers first"),
    *("no headers", "boundary alone", "nothing", "filled up"),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("thumbnail", [False, True])
def test_r6_parts_of_every_form(form: str, thumbnail: bool) -> None:
    pictures = [numbered_jpeg(i, thumbnail=thumbnail) for i in range(10)]
    with HttpCamera(stream([part(picture, form) for picture in pictures])) as camera:
        source = opened(camera.url)
        got = [source.read()]
        while number(got[-1]) < 9:
            got.append(source.read())
        source.close()
    assert [number(picture) for picture in got] == sorted({number(picture) for picture in got})
    assert len(got) >= 5
    assert {picture.image.width for picture in got} == {320}
    assert got[0].media_s == 0.0
    assert all(
        b.media_s is not None and a.media_s is not None and b.media_s > a.media_s for a, b in itertools.pairwise(got)
    )
    assert len(camera.requests) == 1


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/x-mixed-replace;boundary=--x",
        'Multipart/X-Mixed-Replace; boundary="a b"',
        "multipart/x-mixed-replace",
        "application/octet-stream",
        "video/x-motion-jpeg",
        "text/plain",
    ],
)
def test_r6_content_types_of_every_form(kind: str) -> None:
    parts = [part(picture, "headers first").replace(b"--frame", b"----x") for picture in PICTURES]
    with HttpCamera(stream(parts, kind=kind)) as camera:
        source = opened(camera.url)
        assert number(source.read()) in range(10)
        source.close()


def test_r6_chunked_cut_anywhere_and_one_picture_a_second() -> None:
    body = b"".join(part(picture, "usual") for picture in PICTURES[:2])
    chunks = [body[i : i + 700] for i in range(0, len(body), 700)]

    def respond(request: HttpRequest) -> None:
        request.send(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n")
        request.send(b"Transfer-Encoding: chunked\r\n\r\n")
        for chunk in chunks:
            request.send(b"%x\r\n" % len(chunk), chunk, b"\r\n")
            time.sleep(1.0 / len(chunks))
        request.socket.recv(1)

    with HttpCamera(respond) as camera:
        source = opened(camera.url)
        assert [number(source.read()) for _ in range(2)] == [0, 1]
        source.close()


def test_r6_pictures_cut_short_are_left_out_and_the_next_comes() -> None:
    parts = [
        part(picture if i % 3 else picture[: len(picture) // 2], "no length") for i, picture in enumerate(PICTURES)
    ]
    with HttpCamera(stream(parts)) as camera:
        source = opened(camera.url)
        numbers = [number(source.read())]
        while numbers[-1] < 8:
            numbers.append(number(source.read()))
        assert not {0, 3, 6, 9} & set(numbers)
        assert "pictures cut short left out" in source.notes
        source.close()


def test_r6_a_camera_that_never_sends_an_end_marker() -> None:
    with HttpCamera(stream([part(picture[:-2], "no length") for picture in PICTURES])) as camera:
        source = opened(camera.url)
        assert number(source.read()) in range(2, 10)
        source.close()


def test_a_reader_that_is_slow_gets_the_newest() -> None:
    with HttpCamera(stream([part(picture, "usual") for picture in PICTURES], pause_s=0.0)) as camera:
        source = opened(camera.url)
        time.sleep(0.5)
        assert number(source.read()) == 9
        assert source.counts.skipped == 9
        source.close()


def hashed(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def takes(request: HttpRequest, way: str) -> bool:
    """Whether the request's answer is right for `way`: Basic, Digest, or none."""
    answer = request.headers.get("Authorization", "")
    if way == "Basic":
        return answer == "Basic Y2FtOnBAcy9zOnc="
    fields = dict(re.findall(r'(\w+)="?([^",]*)"?', answer))
    first, last = hashed(f"cam:c:{PASSWORD}"), hashed(f"GET:{request.path}")
    return way == "" or fields.get("response") == hashed(
        f"{first}:n:{fields.get('nc')}:{fields.get('cnonce')}:auth:{last}"
    )


@pytest.mark.parametrize("way", ["", "Basic", "Digest"])
def test_r6_single_pictures_are_asked_for_at_the_rate_over_one_connection(way: str) -> None:
    count = itertools.count()

    def respond(request: HttpRequest) -> None:
        if takes(request, way):
            request.answer("200 OK", "Content-Type: image/jpeg", body=numbered_jpeg(next(count)))
            return
        offered = ['WWW-Authenticate: Digest realm="c", nonce="n", qop="auth"'] if way == "Digest" else []
        request.answer("401 Unauthorized", *offered, 'WWW-Authenticate: Basic realm="c"', body=b"<p>no</p>")

    with HttpCamera(respond) as camera:
        source = opened(camera.url, poll_fps=10.0)
        started = SYSTEM_CLOCK.mono()
        assert [number(source.read()) for _ in range(6)] == list(range(6))
        assert 0.4 < SYSTEM_CLOCK.mono() - started < 2.0
        assert source.notes == ("single pictures, asked for 10 times a second",)
        source.close()
    assert {request.connection for request in camera.requests} == {0}
    refused = [i for i, request in enumerate(camera.requests) if not takes(request, way)]
    assert refused == ([0] if way else []), "only the first is asked without a login"


def test_r6_single_pictures_of_a_camera_that_hangs_up_each_time() -> None:
    count = itertools.count()

    def respond(request: HttpRequest) -> None:
        request.send(b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n\r\n", numbered_jpeg(next(count)))
        raise ConnectionResetError

    with HttpCamera(respond) as camera:
        source = opened(camera.url)
        assert [number(source.read()) for _ in range(4)] == [0, 1, 2, 3]
        source.close()


def test_r6_a_connection_that_was_given_up_between_two_pictures_is_opened_again() -> None:
    count = itertools.count()

    def respond(request: HttpRequest) -> None:
        request.answer("200 OK", "Content-Type: image/jpeg", body=numbered_jpeg(next(count)))
        raise ConnectionResetError  # though it said nothing of the kind

    with HttpCamera(respond) as camera:
        source = opened(camera.url)
        assert [number(source.read()) for _ in range(4)] == [0, 1, 2, 3]
        source.close()


def test_r6_basic_after_a_refused_digest() -> None:
    nonces = itertools.count()

    def respond(request: HttpRequest) -> None:
        if takes(request, "Basic"):
            stream([part(picture, "usual") for picture in PICTURES])(request)
            return
        digest = f'WWW-Authenticate: Digest realm="c", nonce="{next(nonces)}"'
        request.answer("401 Unauthorized", digest, 'WWW-Authenticate: Basic realm="c"')

    with HttpCamera(respond) as camera:
        source = opened(camera.url)
        source.read()
        assert source.notes == ("Basic instead of Digest",)
        source.close()
    assert len(camera.requests) == 3


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_r6_redirects_are_followed_and_the_password_stays_with_its_host(status: str) -> None:
    def respond(request: HttpRequest) -> None:
        if request.path == "/video":
            request.answer(status, "Location: ../live?a=1")
        elif request.path == "/live?a=1":
            stream([part(picture, "usual") for picture in PICTURES])(request)
        else:
            request.answer("404 Not Found")

    with HttpCamera(respond) as camera:
        source = opened(camera.url)
        source.read()
        source.close()

    asked = list[HttpRequest]()

    def other(request: HttpRequest) -> None:
        asked.append(request)
        request.answer("401 Unauthorized", 'WWW-Authenticate: Basic realm="c"')

    with (
        HttpCamera(other) as there,
        HttpCamera(lambda request: request.answer(status, f"Location: http://127.0.0.1:{there.port}/x")) as here,
    ):
        assert "401" in why(here.url)
    assert [request.headers.get("Authorization") for request in asked] == [None]


def test_a_certificate_that_the_camera_signed_itself_is_taken(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    parts = [part(picture, "usual") for picture in PICTURES]
    with HttpCamera(stream(parts), certificate=(made.cert, made.key)) as camera:
        source = opened(camera.url)
        numbers = [number(source.read())]
        while numbers[-1] < 9:
            numbers.append(number(source.read()))
        assert numbers == sorted(set(numbers))
        source.close()
    with HttpCamera(stream(parts)) as plain:
        assert why(plain.url.replace("http:", "https:"))


def test_redirects_without_end_are_an_error() -> None:
    with HttpCamera(lambda request: request.answer("302 Found", "Location: /video")) as camera:
        assert "redirects without end" in why(camera.url)
    assert len(camera.requests) == 6


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ("401 Unauthorized", "401"),
        ("403 Forbidden", "403"),
        ("404 Not Found", "404"),
        ("503 Busy", "5xx"),
        ("410 Gone", "URL"),
    ],
)
def test_refusals_are_told_apart(status: str, text: str) -> None:
    with HttpCamera(lambda request: request.answer(status, 'WWW-Authenticate: Basic realm="c"')) as camera:
        assert text in why(camera.url)
        if status.startswith("401"):
            with pytest.raises(CameraRefusedError):
                opened(camera.url)


def test_what_is_no_video_is_said() -> None:
    with HttpCamera(
        lambda request: request.answer("200 OK", "Content-Type: text/html", body=b"<!-- a page -->")
    ) as camera:
        assert "not a video stream" in why(camera.url)
    with HttpCamera(lambda request: request.answer("200 OK", "Content-Type: image/jpeg", body=b"no picture")) as camera:
        assert "no whole picture" in why(camera.url)
    with HttpCamera(lambda request: request.send(b"SSH-2.0-OpenSSH_9.2\r\n")) as camera:
        assert why(camera.url)


@pytest.mark.parametrize("when", ["head", "body", "picture", "between"])
def test_silence_and_dripping_are_an_error_in_time(when: str) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
    whole = head + part(PICTURES[0], "usual") + part(PICTURES[1], "usual")
    sent = {"head": 20, "body": len(head), "picture": len(head) + 500, "between": len(whole)}[when]

    def respond(request: HttpRequest) -> None:
        request.send(whole[:sent])
        for _ in range(200):
            request.send(b"x" if when in ("picture", "between") else b"")
            time.sleep(0.05)

    with HttpCamera(respond) as camera:
        assert "within 0.5 s" in why(camera.url, timeout_s=0.5)


def test_a_flood_without_pictures_takes_neither_time_nor_memory() -> None:
    def respond(request: HttpRequest) -> None:
        request.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n\xff\xd8\xff\xda\x00\x02"
        )
        while True:
            request.send(bytes(1 << 16))

    with HttpCamera(respond) as camera:
        assert "no whole JPEG picture" in why(camera.url, timeout_s=1.0)


def test_fifty_reconnects_leak_nothing(leaks: Callable[[], tuple[int, int]]) -> None:
    with HttpCamera(stream([part(picture, "usual") for picture in PICTURES], pause_s=0.0)) as camera:

        def once() -> None:
            source = opened(camera.url)
            source.read()
            source.close()

        once()
        time.sleep(0.1)
        before = leaks()
        for _ in range(50):
            once()
        time.sleep(0.1)
        assert leaks() <= before
