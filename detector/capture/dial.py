"""Connects to a camera's host; for HTTP, whether an address may be connected to is decided at connect time.

A URL may come over the API. Its host is looked up here, each address is judged, and the very address that was judged
is connected to, after every redirect again: a name that changes its address in between, or a redirect, leads to no
service of this machine or of its link. A host that the URL itself spells as such an address is let through: the
configuration file alone can hold one.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import ssl
from collections.abc import Callable, Sequence

from detector.core.addresses import is_local_only, literal, names_this_machine
from detector.core.errors import SourceError

Resolver = Callable[[str, int], list[str]]
# A lost SYN is sent again after 1, 3 and 7 s (RFC 6298): a camera that returns after the third would be waited for four
# seconds more. A new attempt begins at once.
_ATTEMPT_S = 3.5


def look_up(host: str, port: int) -> list[str]:
    """The addresses of `host`; raises OSError (EIO) for an unknown one."""
    try:
        return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (socket.gaierror, UnicodeError):
        raise OSError(errno.EIO, "the host is unknown") from None


def open_socket(addresses: Sequence[str], port: int, *, left_s: Callable[[], float]) -> socket.socket:
    """A connection to the first of `addresses` that accepts one, tried until `left_s` raises TimeoutError.

    Raises the last address's OSError where none answers with silence alone.
    """
    error: OSError = ConnectionRefusedError()
    while True:
        for address in addresses:
            try:
                return socket.create_connection((address, port), timeout=min(left_s(), _ATTEMPT_S))
            except OSError as failed:
                error = failed
            left_s()
        if not isinstance(error, TimeoutError):
            raise error


def connect(
    host: str,
    port: int,
    *,
    first_host: str,
    secure: bool,
    left_s: Callable[[], float],
    resolve: Resolver = look_up,
    shown: str,
) -> socket.socket:
    """A connection to `host`, with TLS where `secure`; `first_host` is the one of the URL before any redirect.

    `left_s` says how many seconds are left, and may raise TimeoutError. Raises OSError, and SourceError for an address
    that is not allowed, `shown` being the camera in it.
    """
    addresses = _allowed(host, port, first_host=first_host, resolve=resolve, shown=shown)
    plain = open_socket(addresses, port, left_s=left_s)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return _secured(plain, host, left_s) if secure else plain


def _allowed(host: str, port: int, *, first_host: str, resolve: Resolver, shown: str) -> list[str]:
    """The addresses of `host`, none of them of this machine unless the first URL's host says so itself."""
    spelled = literal(host)
    found = [str(spelled)] if spelled is not None else resolve(host, port)
    if names_this_machine(first_host) and host == first_host:
        return found
    if not found or any(is_local_only(ipaddress.ip_address(address.partition("%")[0])) for address in found):
        raise SourceError(
            f"{shown}: its host, or where it redirects to, is this machine itself or link-local: an http(s) "
            "camera may be there only where its URL in the config file spells that address"
        )
    return found


def _secured(plain: socket.socket, host: str, left_s: Callable[[], float]) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Cameras sign their certificates themselves; FFmpeg (before 9) does not check them either.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        plain.settimeout(left_s())
        return context.wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise
