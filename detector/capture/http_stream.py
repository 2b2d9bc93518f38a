"""A camera's HTTP stream over a connection of our own: who is connected to is decided at connect time.

A URL may come over the API. Its host is looked up here, each address is judged, and the very address
that was judged is connected to, after every redirect again: a name that changes its address in
between, or a redirect, leads to no service of this machine or of its link. A host that the URL itself
spells as such an address is let through: the configuration file alone can hold one.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import io
import ipaddress
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin

import av.error

from detector.core.addresses import is_local_only, literal, names_this_machine
from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.errors import SourceError
from detector.core.urls import SplitUrl, split_url

from .rtsp.auth import Credentials, challenges

if TYPE_CHECKING:
    from typing_extensions import Buffer

Resolver = Callable[[str, int], list[str]]
_REFUSALS: dict[int, type[av.error.FFmpegError]] = {
    400: av.error.HTTPBadRequestError,
    401: av.error.HTTPUnauthorizedError,
    403: av.error.HTTPForbiddenError,
    404: av.error.HTTPNotFoundError,
}
_PORTS = {"http": 80, "https": 443}
_REDIRECTS = 5
_TRIES = 3  # of one URL: unknown, then known, then with a nonce that is not stale
_AGENT = "detector"
_REDIRECTED = (301, 302, 303, 307, 308)


def look_up(host: str, port: int) -> list[str]:
    """The addresses of `host`; raises OSError (EIO) for an unknown one."""
    try:
        return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (socket.gaierror, UnicodeError):
        raise OSError(errno.EIO, "the host is unknown") from None


def _refusal(status: int) -> av.error.FFmpegError:
    kind = _REFUSALS.get(status) or (av.error.HTTPServerError if status >= 500 else av.error.HTTPClientError)
    return kind(status, "")


class _BoundedReader(io.RawIOBase):
    """A socket's bytes, each wait for them bounded by what `left_s` says is left."""

    def __init__(self, sock: socket.socket, left_s: Callable[[], float]) -> None:
        self._sock, self._left_s = sock, left_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        self._sock.settimeout(self._left_s())
        return self._sock.recv_into(buffer)


class _BoundedSocket:
    """What http.client uses of a socket."""

    def __init__(self, sock: socket.socket, left_s: Callable[[], float]) -> None:
        self._sock, self._left_s = sock, left_s

    def makefile(self, *_: object, **__: object) -> io.BufferedReader:
        return io.BufferedReader(_BoundedReader(self._sock, self._left_s))

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(self._left_s())
        self._sock.sendall(data)

    def close(self) -> None:
        """The stream closes the socket itself, after the response."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    split: SplitUrl
    host: str
    port: int

    @property
    def secure(self) -> bool:
        return self.split.scheme == "https"

    @property
    def path(self) -> str:
        return self.split.rest if self.split.rest.startswith("/") else f"/{self.split.rest}"


def _target(url: str) -> _Target:
    split = split_url(url)
    if split is None or split.scheme not in _PORTS:
        raise ConnectionRefusedError
    name, _, tail = split.place.rpartition("]")
    host = name.lstrip("[") if name else split.place.partition(":")[0]
    port = tail.partition(":")[2]
    return _Target(split=split, host=unquote(host), port=int(port) if port else _PORTS[split.scheme])


class HttpStream:
    """The body of one GET, as a file to read from.

    All waiting until the next `extend` takes at most `timeout_s` together. `open` and `read` raise
    OSError (TimeoutError included), FFmpeg's own errors for statuses, SourceError for an address that is not allowed.
    """

    def __init__(
        self, *, url: str, shown: str, timeout_s: float, clock: Clock = SYSTEM_CLOCK, resolve: Resolver = look_up
    ) -> None:
        self._url, self._shown, self._timeout_s = url, shown, timeout_s
        self._clock, self._resolve = clock, resolve
        self._deadline = 0.0
        self._socket: socket.socket | None = None
        self._response: http.client.HTTPResponse | None = None

    @property
    def content_type(self) -> str:
        """In lower case, without parameters; "" where nothing is open."""
        return "" if self._response is None else self._response.headers.get_content_type()

    def extend(self) -> None:
        """Another `timeout_s` from now."""
        self._deadline = self._clock.mono() + self._timeout_s

    def open(self) -> None:
        self.close()
        self.extend()
        first = target = _target(self._url)
        for _ in range(_REDIRECTS + 1):
            location = self._asked(target, first)
            if location is None:
                return
            self.close()
            target = _target(urljoin(f"{target.split.scheme}://{target.split.place}{target.path}", location))
        raise SourceError(f"{self._shown}: the camera redirects without end; check the URL")

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, as soon as there are some; b"" at the end."""
        try:
            return b"" if self._response is None else self._response.read1(size)
        except http.client.HTTPException:
            raise ConnectionResetError from None

    def close(self) -> None:
        response, self._response = self._response, None
        sock, self._socket = self._socket, None
        for item in (response, sock):
            if item is not None:
                with contextlib.suppress(OSError):
                    item.close()

    def _left_s(self) -> float:
        left = self._deadline - self._clock.mono()
        if left <= 0:
            raise TimeoutError
        return left

    def _asked(self, target: _Target, first: _Target) -> str | None:
        """The redirect's location, None once the body can be read."""
        credentials = _credentials(target, first)
        for attempt in range(_TRIES):
            response = self._get(target, first, credentials)
            if response.status in _REDIRECTED and (location := response.headers.get("Location")):
                return str(location)
            if 200 <= response.status < 300:
                return None
            offered = challenges(response.headers.get_all("WWW-Authenticate") or [])
            self.close()
            if response.status != 401 or credentials is None or not offered or (attempt and not offered[0].stale):
                raise _refusal(response.status)
            credentials.accept(offered[0])
        raise _refusal(401)

    def _get(self, target: _Target, first: _Target, credentials: Credentials | None) -> http.client.HTTPResponse:
        self._connect(target, first)
        connection = http.client.HTTPConnection(target.host, target.port)
        connection.sock = _BoundedSocket(self._socket, self._left_s)  # type: ignore[arg-type]  # all that is used of it
        headers = {"Host": target.split.place, "User-Agent": _AGENT, "Accept": "*/*", "Connection": "close"}
        authorization = None if credentials is None else credentials.header("GET", target.path)
        if authorization is not None:
            headers["Authorization"] = authorization
        try:
            connection.putrequest("GET", target.path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            self._response = connection.getresponse()
        except (http.client.HTTPException, ValueError):
            raise ConnectionResetError from None
        return self._response

    def _connect(self, target: _Target, first: _Target) -> None:
        error: OSError = ConnectionRefusedError()
        for address in self._allowed(target, first):
            try:
                self._socket = socket.create_connection((address, target.port), timeout=self._left_s())
                break
            except OSError as failed:
                error = failed
        else:
            raise error
        if target.secure:
            self._socket.settimeout(self._left_s())
            self._socket = _tls(self._socket, target.host)

    def _allowed(self, target: _Target, first: _Target) -> list[str]:
        """The addresses of the target, none of them of this machine unless the first URL's host says so itself."""
        if names_this_machine(first.host) and target.host == first.host:
            spelled = literal(target.host)
            return [str(spelled)] if spelled is not None else self._resolve(target.host, target.port)
        spelled = literal(target.host)
        found = [str(spelled)] if spelled is not None else self._resolve(target.host, target.port)
        if not found or any(is_local_only(ipaddress.ip_address(address.partition("%")[0])) for address in found):
            raise SourceError(
                f"{self._shown}: its host, or where it redirects to, is this machine itself or link-local: an http(s) "
                "camera may be there only where its URL in the config file spells that address"
            )
        return found


def _tls(plain: socket.socket, host: str) -> ssl.SSLSocket:
    # As FFmpeg by default: cameras' certificates are their own makers', for names that nobody uses.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        return context.wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise


def _credentials(target: _Target, first: _Target) -> Credentials | None:
    """Those of the redirect's own URL, or the first URL's on its own host, never from TLS to none."""
    split = target.split
    if split.info is None:
        same = (target.host, target.port) == (first.host, first.port) and (target.secure or not first.secure)
        split = first.split if same else split
    return None if split.user is None else Credentials(user=split.user, password=split.password)
