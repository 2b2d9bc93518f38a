from __future__ import annotations

import collections
import socket
from collections.abc import Callable
from urllib.parse import quote

import pytest

from detector.capture.network import NetworkSource
from detector.capture.rtsp.source import RtspSource
from detector.capture.source import CapturedImage
from detector.core.clock import SYSTEM_CLOCK
from detector.core.errors import EndOfStreamError, SourceError
from support.mjpeg_server import MjpegServer
from support.rtsp_server import RtspServer, why_not
from support.stamped import age_s, legible_ms


def opened(url: str, timeout_s: float = 20.0) -> NetworkSource:
    source = NetworkSource(url=url, timeout_s=timeout_s)
    source.open()
    return source


def open_and_read(source: NetworkSource) -> None:
    source.open()
    source.read()


def why(url: str, timeout_s: float = 5.0) -> str:
    """What is said when `url` cannot be opened or read; it comes in time and names no secret."""
    source = NetworkSource(url=url, timeout_s=timeout_s)
    start = SYSTEM_CLOCK.mono()
    with pytest.raises(SourceError) as caught:
        open_and_read(source)
    source.close()
    source.close()
    text = str(caught.value)
    assert SYSTEM_CLOCK.mono() - start < timeout_s + 2.0
    assert "\n" not in text
    for secret in ("cam:", "p@s", "p%40s", "s:w", "wrong"):
        assert secret not in text
    assert caught.value.__cause__ is None
    return text


def until_error(source: NetworkSource) -> SourceError:
    with pytest.raises(SourceError) as caught:
        collections.deque(iter(source.read, None), maxlen=0)
    source.close()
    assert not isinstance(caught.value, EndOfStreamError)
    return caught.value


def read_until(source: NetworkSource, done: Callable[[CapturedImage], bool]) -> CapturedImage:
    for _ in range(300):
        grab = source.read()
        if done(grab):
            return grab
    pytest.fail("never came")


def test_rtsp_pictures_are_fresh_ordered_and_timed(rtsp: RtspServer) -> None:
    source = opened(rtsp.url)
    grabs = [source.read() for _ in range(30)]
    assert age_s(grabs[-1].image.luma()) < 1.0
    source.close()
    stamps = legible_ms(grab.image.luma() for grab in grabs)
    assert len(stamps) >= 15  # a lossy codec smears some, on a busy machine more: 21 and 27 of 30 were seen
    assert stamps == sorted(set(stamps))
    assert grabs[0].media_s == 0.0
    assert grabs[-1].media_s is not None
    assert abs(grabs[-1].media_s - (stamps[-1] - stamps[0]) / 1000) < 0.2


def test_rtsp_new_size_in_mid_stream_is_the_frames_own(rtsp: RtspServer) -> None:
    source = opened(rtsp.url)
    assert source.read().image.bgr().shape == (240, 320, 3)
    rtsp.resize(640, 360)
    grab = read_until(source, lambda g: g.image.width == 640)
    assert grab.image.bgr().shape == (360, 640, 3)
    assert grab.image.luma().shape == (360, 640)
    assert age_s(grab.image.luma()) < 2.0  # the bars of the new picture can be read: nothing was stretched
    source.close()


def test_rtsp_b_frames_come_in_order() -> None:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with RtspServer(b_frames=2) as server:
        source = opened(server.url)
        stamps = legible_ms(source.read().image.luma() for _ in range(30))
        source.close()
    assert len(stamps) >= 28  # a lossy codec may smear a few
    assert stamps == sorted(set(stamps))


def test_rtsp_stall_is_an_error_in_time(rtsp: RtspServer) -> None:
    source = opened(rtsp.url, timeout_s=1.0)
    source.read()
    rtsp.stall()
    start = SYSTEM_CLOCK.mono()
    error = until_error(source)
    assert 0.9 <= SYSTEM_CLOCK.mono() - start < 3.0
    assert "no answer within 1 s" in str(error)
    assert "no answer within 1 s" in why(rtsp.url, timeout_s=1.0)


def test_rtsp_server_that_dies_and_returns(rtsp: RtspServer) -> None:
    source = opened(rtsp.url)
    source.read()
    rtsp.kill()
    assert "camera" in str(until_error(source))
    assert "refused" in why(rtsp.url)
    rtsp.start()
    source.open()
    assert source.read().media_s == 0.0
    source.close()


def test_rtsp_refusals_are_told_apart(rtsp: RtspServer) -> None:
    assert "401" in why(rtsp.url_without_credentials)
    assert "401" in why(rtsp.url.replace("cam:", "wrong:"))
    assert "404" in why(rtsp.url + "/nothing")


def test_mjpeg_pictures_are_fresh_and_timed(mjpeg: MjpegServer) -> None:
    source = opened(mjpeg.url)
    grabs = [source.read() for _ in range(10)]
    assert age_s(grabs[-1].image.luma()) < 1.0
    assert grabs[0].image.bgr().shape == (240, 320, 3)
    assert grabs[0].media_s == 0.0
    mjpeg.size = (640, 360)
    grab = read_until(source, lambda g: g.image.width == 640)
    assert grab.image.bgr().shape == (360, 640, 3)
    source.close()


def test_mjpeg_stall_is_an_error_in_time(mjpeg: MjpegServer) -> None:
    source = opened(mjpeg.url, timeout_s=1.0)
    source.read()
    mjpeg.stall.set()
    start = SYSTEM_CLOCK.mono()
    assert "no answer within 1 s" in str(until_error(source))
    assert SYSTEM_CLOCK.mono() - start < 3.0
    assert "no answer within 1 s" in why(mjpeg.url, timeout_s=1.0)


def test_mjpeg_server_that_hangs_up_dies_and_returns(mjpeg: MjpegServer) -> None:
    source = opened(mjpeg.url)
    source.read()
    mjpeg.hang_up()
    assert "camera" in str(until_error(source))
    mjpeg.stop()
    assert "refused" in why(mjpeg.url)
    mjpeg.start()
    source.open()
    source.read()
    source.close()


def test_mjpeg_refusals_are_told_apart(mjpeg: MjpegServer) -> None:
    assert "401" in why(mjpeg.url.replace("cam:", "wrong:"))
    assert "404" in why(mjpeg.url.replace("/video", "/nothing"))
    assert "5xx" in why(mjpeg.url.replace("/video", "/broken"))
    assert "check the URL" in why(mjpeg.url.replace("/video", "/text"))


ODD = "p#s/s? w'9\"@<x>100%"


@pytest.mark.parametrize("written", [ODD, quote(ODD, safe="")])
def test_r3_an_odd_password_logs_in_raw_and_encoded(written: str) -> None:
    with MjpegServer(user="cam", password=ODD) as server:
        source = opened(f"http://cam:{written}@127.0.0.1:{server.port}/video")
        assert source.read().image.width == 320
        source.close()


@pytest.mark.parametrize("written", [ODD, quote(ODD, safe="")])
def test_r3_an_odd_password_logs_in_to_rtsp(written: str) -> None:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with RtspServer(user="cam", password=ODD) as server:
        url = server.url_without_credentials.replace("://", f"://cam:{written}@")
        for source in (NetworkSource(url=url, timeout_s=20.0), RtspSource(url=url, timeout_s=20.0)):
            source.open()
            assert source.read().image.width == 320
            source.close()


@pytest.mark.parametrize("scheme", ["rtsp", "rtsps", "http", "https"])
def test_a_host_that_accepts_and_says_nothing(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"{scheme}://cam:p%40ss:w@127.0.0.1:{silent.getsockname()[1]}/live"
        assert "no answer within 0.5 s" in why(url, timeout_s=0.5)


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_host_that_does_not_exist(scheme: str) -> None:
    # Longer than a name may be: the resolver says no by itself, without asking the network.
    assert "unknown" in why(f"{scheme}://cam:p%40ss@{'x' * 70}/live")


def test_a_closed_source_says_so_and_its_repr_hides_the_password() -> None:
    source = NetworkSource(url="rtsp://cam:p%40ss@127.0.0.1:1/live", timeout_s=1.0)
    with pytest.raises(SourceError, match="not open"):
        source.read()
    assert repr(source) == "NetworkSource(rtsp://***@127.0.0.1:1/live)"


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, float("nan")])
def test_refuses_to_wait_for_ever(timeout_s: float) -> None:
    with pytest.raises(ValueError, match="timeout_s"):
        NetworkSource(url="rtsp://127.0.0.1/live", timeout_s=timeout_s)


def test_twenty_reconnects_leak_nothing(
    rtsp: RtspServer, mjpeg: MjpegServer, leaks: Callable[[], tuple[int, int]]
) -> None:
    sources = [NetworkSource(url=url, timeout_s=5.0) for url in (rtsp.url, mjpeg.url)]
    wrong = NetworkSource(url=rtsp.url.replace("cam:", "wrong:"), timeout_s=5.0)

    def once() -> None:
        for source in sources:
            source.open()
            source.read()
            source.close()
        with pytest.raises(SourceError):
            wrong.open()

    once()  # what the libraries set up once and keep
    mjpeg.stop()
    mjpeg.start()
    before = leaks()
    for _ in range(20):
        once()
    mjpeg.stop()  # joins its handlers, whose sockets are this process's too
    mjpeg.start()
    assert leaks() <= before
