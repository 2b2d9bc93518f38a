"""Connects to a camera's HTTP host: whether an address may be connected to is decided at connect time.

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
from collections.abc import Callable

from detector.core.addresses import is_local_only, literal, names_this_machine
from detector.core.errors import SourceError

Resolver = Callable[[str, int], list[str]]


def look_up(host: str, port: int) -> list[str]:
    """The addresses of `host`; raises OSError (EIO) for an unknown one."""
    try:
        return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (socket.gaierror, UnicodeError):
        raise OSError(errno.EIO, "the host is unknown") from None


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
    error: OSError = ConnectionRefusedError()
    for address in _allowed(host, port, first_host=first_host, resolve=resolve, shown=shown):
        try:
            plain = socket.create_connection((address, port), timeout=left_s())
        except OSError as failed:
            error = failed
            continue
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _secured(plain, host, left_s) if secure else plain
    raise error


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
