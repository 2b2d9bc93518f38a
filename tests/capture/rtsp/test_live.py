"""The whole client against a real RTSP server."""

from __future__ import annotations

import collections
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from detector.capture.rtsp.source import RtspSource
from detector.capture.source import CapturedImage, DecodeCounts
from detector.core.clock import SYSTEM_CLOCK
from detector.core.errors import EndOfStreamError, SourceError
from support.rtsp_server import RtspServer, why_not
from support.stamped import age_s, legible_ms


@pytest.fixture
def opened() -> Iterator[Callable[..., RtspSource]]:
    sources: list[RtspSource] = []

    def make(url: str, timeout_s: float = 20.0) -> RtspSource:
        source = RtspSource(url=url, timeout_s=timeout_s)
        sources.append(source)
        source.open()
        return source

    yield make
    for source in sources:
        source.close()


def open_and_read(source: RtspSource) -> CapturedImage:
    source.open()
    return source.read()


def why(url: str, timeout_s: float = 5.0) -> str:
    """What is said when `url` cannot be opened or read; it comes in time and names no secret."""
    source = RtspSource(url=url, timeout_s=timeout_s)
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


def until_error(source: RtspSource) -> SourceError:
    with pytest.raises(SourceError) as caught:
        collections.deque(iter(source.read, None), maxlen=0)
    assert not isinstance(caught.value, EndOfStreamError)
    return caught.value


def test_pictures_are_fresh_ordered_and_timed(rtsp: RtspServer, opened: Callable[..., RtspSource]) -> None:
    source = opened(rtsp.url)
    grabs = [source.read() for _ in range(30)]
    assert age_s(grabs[-1].image.luma()) < 1.0
    assert all(grab.mono is not None for grab in grabs)
    stamps = legible_ms(grab.image.luma() for grab in grabs)
    assert len(stamps) >= 28  # a lossy codec may smear a few
    assert stamps == sorted(set(stamps))
    assert grabs[0].media_s == 0.0
    assert grabs[-1].media_s is not None
    assert abs(grabs[-1].media_s - (stamps[-1] - stamps[0]) / 1000) < 0.2


def test_a_new_size_in_mid_stream_is_the_frames_own(rtsp: RtspServer, opened: Callable[..., RtspSource]) -> None:
    source = opened(rtsp.url)
    assert source.read().image.bgr().shape == (240, 320, 3)
    rtsp.resize(640, 360)
    for _ in range(300):
        grab = source.read()
        if grab.image.width == 640:
            break
    assert grab.image.bgr().shape == (360, 640, 3)
    assert grab.mono is not None


def test_a_servers_b_frames_come_in_order(opened: Callable[..., RtspSource]) -> None:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with RtspServer(b_frames=2) as server:
        source = opened(server.url)
        stamps = legible_ms(source.read().image.luma() for _ in range(30))
    assert len(stamps) >= 28  # a lossy codec may smear a few
    assert stamps == sorted(set(stamps))


def test_a_stall_is_an_error_in_time(rtsp: RtspServer, opened: Callable[..., RtspSource]) -> None:
    source = opened(rtsp.url, timeout_s=1.0)
    source.read()
    rtsp.stall()
    start = SYSTEM_CLOCK.mono()
    error = until_error(source)
    assert 0.9 <= SYSTEM_CLOCK.mono() - start < 3.0
    assert "no answer within 1 s" in str(error)
    assert "no answer within 1 s" in why(rtsp.url, timeout_s=1.0)


class Leaping:
    """A clock in which, `after` so many looks, this process stood still for longer than any time-out."""

    def __init__(self) -> None:
        self.after, self._leapt_s = 0, 0.0

    def mono(self) -> float:
        self.after -= 1
        if self.after == 0:
            time.sleep(0.3)  # the camera goes on meanwhile
            self._leapt_s += 100.0
        return SYSTEM_CLOCK.mono() + self._leapt_s

    def wall(self) -> float:
        return SYSTEM_CLOCK.wall()


def test_a_process_that_stood_still_goes_on_without_a_new_connection(rtsp: RtspServer) -> None:
    clock = Leaping()
    source = RtspSource(url=rtsp.url, timeout_s=5.0, clock=clock)
    source.open()
    source.read()
    for looks in range(1, 9):  # wherever in a read it happens
        clock.after = looks
        source.read()
        source.read()
    source.close()


def test_a_server_that_dies_and_returns(rtsp: RtspServer, opened: Callable[..., RtspSource]) -> None:
    source = opened(rtsp.url)
    source.read()
    rtsp.kill()
    assert "camera" in str(until_error(source))
    assert "refused" in why(rtsp.url)
    rtsp.start()
    source.open()
    assert source.read().media_s == 0.0


def test_refusals_are_told_apart(rtsp: RtspServer) -> None:
    assert "401" in why(rtsp.url_without_credentials)
    assert "401" in why(rtsp.url.replace("cam:", "wrong:"))
    assert "404" in why(rtsp.url + "/nothing")


@pytest.mark.parametrize("scheme", ["rtsp", "rtsps"])
def test_a_host_that_accepts_and_says_nothing(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"{scheme}://cam:p%40ss:w@127.0.0.1:{silent.getsockname()[1]}/live"
        assert "no answer within 0.5 s" in why(url, timeout_s=0.5)


def test_a_host_that_does_not_exist() -> None:
    # Longer than a name may be: the resolver says no by itself, without asking the network.
    assert "unknown" in why(f"rtsp://cam:p%40ss@{'x' * 70}/live")


def test_a_closed_source_says_so_and_its_repr_hides_the_password() -> None:
    source = RtspSource(url="rtsp://cam:p%40ss@127.0.0.1:1/live", timeout_s=1.0)
    with pytest.raises(SourceError, match="not open"):
        source.read()
    assert repr(source) == "RtspSource(rtsp://***@127.0.0.1:1/live)"
    assert source.counts == DecodeCounts()


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, float("nan")])
def test_refuses_to_wait_for_ever(timeout_s: float) -> None:
    with pytest.raises(ValueError, match="timeout_s"):
        RtspSource(url="rtsp://127.0.0.1/live", timeout_s=timeout_s)


def test_twenty_reconnects_leak_nothing(rtsp: RtspServer, leaks: Callable[[], tuple[int, int]]) -> None:
    source = RtspSource(url=rtsp.url, timeout_s=5.0)
    wrong = RtspSource(url=rtsp.url.replace("cam:", "wrong:"), timeout_s=5.0)

    def once() -> None:
        assert open_and_read(source).mono is not None
        source.close()
        with pytest.raises(SourceError):
            wrong.open()

    once()  # what the libraries set up once and keep
    before = leaks()
    for _ in range(20):
        once()
    assert leaks() <= before
