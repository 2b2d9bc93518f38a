"""One HTTP connection to a camera: GET with a deadline in each read, logging in, redirects, keep-alive."""

from __future__ import annotations

import contextlib
import http.client
import io
import re
import select
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urljoin

import av.error

from detector.capture import dial
from detector.capture.auth import Credentials, challenges
from detector.capture.av_errors import network_error
from detector.capture.dial import Resolver
from detector.core.clock import Clock
from detector.core.errors import SourceError
from detector.core.urls import split_url

_REDIRECTS = 5
_TRIES = 6  # of one request: unknown, then each way to log in that is offered, then with a fresh nonce
_PLACE = re.compile(r"(?P<host>\[[^\]]*\]|[^:@\[\]]+)(?::(?P<port>\d{1,5}))?")
_PORTS = {"http": 80, "https": 443}
_CHUNK = 1 << 16
_TAIL_READS, _TAIL_S = 4, 0.5  # for what comes behind a picture; a longer answer is given up with its connection
_MAX_BODY = 1 << 16  # of an answer that only says no
_MOVED = (301, 302, 303, 307, 308)
_STATUS: dict[int, type[av.error.FFmpegError]] = {
    400: av.error.HTTPBadRequestError,
    401: av.error.HTTPUnauthorizedError,
    403: av.error.HTTPForbiddenError,
    404: av.error.HTTPNotFoundError,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTarget:
    """Where to connect and what to ask for; `path` with its query."""

    scheme: str
    host: str
    port: int
    path: str = field(repr=False)
    user: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)

    @property
    def address(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}{self.path}"

    def redirected(self, location: str) -> HttpTarget:
        """Where `location` leads; the user goes along only to the same host and port (or its port for TLS), and never
        from TLS to none.
        """
        target = parse(urljoin(self.address, location))
        usual = (self.scheme, target.scheme) == ("http", "https") and target.port == _PORTS["https"]
        same = target.host == self.host and (target.port == self.port or usual)
        stays = same and (self.scheme, target.scheme) != ("https", "http")
        if target.user is not None or not stays:
            return target
        return HttpTarget(
            scheme=target.scheme,
            host=target.host,
            port=target.port,
            path=target.path,
            user=self.user,
            password=self.password,
        )


def parse(url: str) -> HttpTarget:
    """The parts of `url`; ValueError, without the URL in it, where it is none of HTTP."""
    found = split_url(url.strip())
    if found is None or found.scheme not in _PORTS:
        raise ValueError("not an HTTP URL")
    place = _PLACE.fullmatch(found.place)
    path = found.rest.partition("#")[0]
    number = int(place["port"] or _PORTS[found.scheme]) if place is not None else 0
    if place is None or not 0 < number < 65536 or not path.isprintable() or " " in path:
        raise ValueError("not an HTTP URL")
    return HttpTarget(
        scheme=found.scheme,
        host=place["host"].strip("[]"),
        port=number,
        path=path if path.startswith("/") else f"/{path}",
        user=found.user,
        password=found.password,
    )


class _TimedSocket(io.RawIOBase):
    """A socket to read from until a deadline, as http.client knows none of its own."""

    def __init__(self, connection: socket.socket, clock: Clock) -> None:
        self.connection, self._clock, self.deadline = connection, clock, 0.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._hurry()
        return self.connection.recv_into(buffer)

    def sendall(self, data: bytes) -> None:
        self._hurry()
        self.connection.sendall(data)

    def makefile(self, *_: object) -> io.BufferedReader:
        return io.BufferedReader(_Borrowed(self), _CHUNK)

    def waiting(self) -> bool:
        """Whether bytes are there to be read at once."""
        if isinstance(self.connection, ssl.SSLSocket) and self.connection.pending():
            return True
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        self.connection.close()
        super().close()

    def _hurry(self) -> None:
        left_s = self.deadline - self._clock.mono()
        if left_s <= 0.0:
            raise TimeoutError
        self.connection.settimeout(left_s)


class _Borrowed(io.RawIOBase):
    """The socket of a response that may be closed without hanging up."""

    def __init__(self, timed: _TimedSocket) -> None:
        self._timed = timed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._timed.readinto(buffer)


class HttpConnection:
    """Gets `url`, again and again over the same connection where the camera keeps it.

    Every call ends by its `deadline`, monotonic s. Raises SourceError in plain words, and ValueError for an answer
    that is no HTTP.
    """

    def __init__(
        self, *, url: str, shown: str, timeout_s: float, clock: Clock, resolve: Resolver = dial.look_up
    ) -> None:
        self._url, self._shown, self._timeout_s, self._clock = url, shown, timeout_s, clock
        self._resolve = resolve
        self._target: HttpTarget | None = None
        self._credentials: Credentials | None = None
        self._socket: _TimedSocket | None = None
        self._response: http.client.HTTPResponse | None = None
        self._used = False  # whether this connection has answered before

    @property
    def fell_back(self) -> bool:
        """Whether the camera refused Digest, which it had offered, and took Basic."""
        credentials = self._credentials
        return credentials is not None and credentials.fell_back and credentials.scheme == "basic"

    def get(self, deadline: float) -> http.client.HTTPResponse:
        """The answer to a GET: 200, its body not read yet."""
        target = self._target or self._set_target(parse(self._url))
        for _ in range(_REDIRECTS + 1):
            response = self._answered(target, deadline)
            location = response.headers.get("Location")
            if response.status not in _MOVED or not location:
                break
            self.close()
            target = self._set_target(target.redirected(location))
        else:
            raise SourceError(f"{self._shown}: the camera redirects without end; check the URL")
        if response.status != 200:
            self.close()
            raise self._refusal(response.status)
        return response

    def read(self, deadline: float, size: int = _CHUNK) -> bytes:
        """What comes next of the body, at most `size` bytes; b"" at its end."""
        response, timed = self._response, self._socket
        if response is None or timed is None:
            raise SourceError(f"{self._shown}: not open")
        timed.deadline = deadline
        with self._explained():
            return response.read1(size)

    def waiting(self) -> bool:
        """Whether more of the body is there at once."""
        return self._socket is not None and self._socket.waiting()

    def finish(self) -> None:
        """The picture was read: the connection is kept where the camera keeps it, and the answer ends soon."""
        response = self._response
        if response is None or response.will_close:
            self.close()
            return
        with contextlib.suppress(SourceError, ValueError):
            for _ in range(_TAIL_READS):
                if not self.read(self._clock.mono() + _TAIL_S):
                    response.close()
                    self._response = None
                    return
        self.close()

    def close(self) -> None:
        response, self._response = self._response, None
        timed, self._socket = self._socket, None
        self._used = False
        if response is not None:
            response.close()
        if timed is not None:
            timed.close()

    def _set_target(self, target: HttpTarget) -> HttpTarget:
        self._target = target
        self._credentials = Credentials(user=target.user, password=target.password) if target.user is not None else None
        return target

    def _answered(self, target: HttpTarget, deadline: float) -> http.client.HTTPResponse:
        for _ in range(_TRIES):
            response = self._requested(target, deadline)
            if response.status != 401:
                if self._credentials is not None:
                    self._credentials.succeeded()
                return response
            offered = challenges(response.headers.get_all("WWW-Authenticate") or [])
            self._skip_body(response)
            if self._credentials is None or not self._credentials.choose(offered):
                break
        self.close()
        raise self._refusal(401)

    def _requested(self, target: HttpTarget, deadline: float) -> http.client.HTTPResponse:
        """One request and the head of its answer, on a new connection where the camera gave the old one up."""
        again = self._used
        try:
            return self._exchanged(target, deadline)
        except SourceError:
            if not again or self._clock.mono() >= deadline:
                raise
            return self._exchanged(target, deadline)

    def _exchanged(self, target: HttpTarget, deadline: float) -> http.client.HTTPResponse:
        try:
            with self._explained():
                timed = self._socket or self._connected(target, deadline)
                self._socket, timed.deadline = timed, deadline
                timed.sendall(self._request(target))
                response = http.client.HTTPResponse(cast("socket.socket", timed), method="GET")
                self._response = response
                response.begin()
                self._used = True
                return response
        except (SourceError, ValueError):
            self.close()
            raise

    def _request(self, target: HttpTarget) -> bytes:
        host = f"[{target.host}]" if ":" in target.host else target.host
        port = "" if target.port == _PORTS[target.scheme] else f":{target.port}"
        lines = [f"GET {target.path} HTTP/1.1", f"Host: {host}{port}", "User-Agent: detector", "Accept: */*"]
        answer = self._credentials.header("GET", target.path) if self._credentials is not None else None
        lines += [f"Authorization: {answer}"] if answer is not None else []
        return "\r\n".join([*lines, "", ""]).encode()

    def _connected(self, target: HttpTarget, deadline: float) -> _TimedSocket:
        def left_s() -> float:
            left = deadline - self._clock.mono()
            if left <= 0.0:
                raise TimeoutError
            return left

        connection = dial.connect(
            target.host,
            target.port,
            first_host=parse(self._url).host,
            secure=target.scheme == "https",
            left_s=left_s,
            resolve=self._resolve,
            shown=self._shown,
        )
        return _TimedSocket(connection, self._clock)

    def _skip_body(self, response: http.client.HTTPResponse) -> None:
        """To the end of an answer that only says no; a connection with a long one is given up."""
        with contextlib.suppress(SourceError), self._explained():
            if len(response.read(_MAX_BODY)) < _MAX_BODY and not response.will_close:
                response.close()
                self._response = None
                return
        self.close()

    def _refusal(self, status: int) -> SourceError:
        kind = _STATUS.get(status)
        if kind is None:
            kind = av.error.HTTPServerError if status >= 500 else av.error.HTTPClientError
        return network_error(kind(status, ""), shown=self._shown, timeout_s=self._timeout_s)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """What goes wrong on the network, as a SourceError in plain words; what is no HTTP, as a ValueError."""
        try:
            yield
        except SourceError:
            raise
        except (http.client.RemoteDisconnected, http.client.IncompleteRead):
            raise SourceError(f"{self._shown}: the camera ended the stream") from None
        except http.client.HTTPException:
            raise ValueError("its answer is not HTTP") from None
        except ssl.SSLError:
            raise SourceError(f"{self._shown}: the camera's TLS is not understood; check the URL") from None
        except OSError as exc:
            raise network_error(exc, shown=self._shown, timeout_s=self._timeout_s) from None
