"""The bytes of one RTSP connection: a socket with deadlines."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

from detector.capture.dial import look_up, open_socket
from detector.core.clock import Clock

from .framing import Framing, Interleaved
from .message import RtspMessage

_T = TypeVar("_T")
_CHUNK = 1 << 17
# A camera faster than this program must neither block it nor fill its memory. Larger than any item.
_HELD = 1 << 20  # bytes waiting
_SLICE_S = 1.0  # how often the injected clock is read while waiting


class RtspTransport:
    """Sends and receives until a deadline in `clock`'s monotonic seconds, then raises TimeoutError.

    Raises OSError for failures of the network and ValueError for bytes that are not RTSP.
    """

    def __init__(self, *, host: str, port: int, secure: bool, deadline: float, clock: Clock) -> None:
        self._clock = clock
        self.received_mono = clock.mono()
        self.framing = Framing()
        self._space = memoryview(bytearray(_CHUNK))  # reused for each read
        self._socket = _connected(host, port, deadline, clock)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.setblocking(False)
            self._secured, self._polls = (
                secure,
                {event: self._polled(event) for event in (select.POLLIN, select.POLLOUT)},
            )
            if secure:
                self._secure(host, deadline)
        except BaseException:
            self._socket.close()
            raise

    def send(self, data: bytes, deadline: float) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._until(deadline, select.POLLOUT, partial(self._socket.send, rest)) :]

    def wait(self, deadline: float) -> None:
        """Receive the next bytes; raises EOFError if the camera closed the connection."""
        if self._clock.mono() >= deadline:
            raise TimeoutError  # also for a camera that never pauses
        if self.framing.held >= _HELD:
            return
        if not self._secured:  # TLS may hold bytes that poll does not report; without TLS a first try would mostly fail
            self._poll(select.POLLIN, deadline)
        self._received(self._until(deadline, select.POLLIN, self._receive))

    def silent(self) -> bool:
        """Whether certainly nothing is there; cheaper than `drain`, which finds out by an exception."""
        return not self._secured and not self.framing.held and not self._polls[select.POLLIN].poll(0)

    def drain(self) -> bool:
        """Receive what is there, without waiting; False if there is only the end of the connection."""
        parts, held, ended = list[bytes](), self.framing.held, False
        while held < _HELD and not ended:
            try:
                count = self._receive()
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            parts.append(bytes(self._space[:count]))
            held, ended = held + count, count == 0
        if any(parts):
            self.received_mono = self._clock.mono()
            self.framing.add(*parts)
            return True
        return not ended

    def items(self) -> Iterator[RtspMessage | Interleaved]:
        """The complete items in the received bytes, up to a limit; the rest is for the next call."""
        return self.framing.items()

    def close(self) -> None:
        self._socket.close()

    def _receive(self) -> int:
        return self._socket.recv_into(self._space)

    def _received(self, count: int) -> None:
        if not count:
            raise EOFError
        self.received_mono = self._clock.mono()
        self.framing.add(self._space[:count])

    def _secure(self, host: str, deadline: float) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # Cameras have self-signed certificates; FFmpeg (before 9) does not verify them either.
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        secured = context.wrap_socket(self._socket, server_hostname=host, do_handshake_on_connect=False)
        self._socket = secured
        try:
            self._until(deadline, select.POLLIN, secured.do_handshake)
        except ssl.SSLError:
            raise ValueError("the camera's TLS is not understood") from None

    def _until(self, deadline: float, event: int, act: Callable[[], _T]) -> _T:
        """The result of `act`, retried when the socket is ready; TLS may need the other direction."""
        while True:
            try:
                return act()
            except (BlockingIOError, ssl.SSLWantReadError):
                self._poll(event, deadline)
            except ssl.SSLWantWriteError:
                self._poll(select.POLLOUT, deadline)

    def _poll(self, event: int, deadline: float) -> None:
        left_s = deadline - self._clock.mono()
        if left_s <= 0.0:
            raise TimeoutError
        self._polls[event].poll(min(left_s, _SLICE_S) * 1000.0)

    def _polled(self, event: int) -> select.poll:
        poll = select.poll()
        poll.register(self._socket, event)  # by its number, which TLS keeps
        return poll


def _connected(host: str, port: int, deadline: float, clock: Clock) -> socket.socket:
    """A connection to one of the host's addresses; the resolver has time limits of its own."""

    def left_s() -> float:
        left = deadline - clock.mono()
        if left <= 0.0:
            raise TimeoutError
        return left

    # A link-local IPv6 address keeps its zone only as it was written.
    return open_socket([host] if "%" in host else look_up(host, port), port, left_s=left_s)
