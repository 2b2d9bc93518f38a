"""Which network addresses a camera set over HTTP may lead to: none of this machine or of its link alone.

Whoever may set a source could otherwise read services that trust the machine itself (loopback), or a
cloud's metadata (169.254.169.254, link-local).
"""

from __future__ import annotations

import ipaddress
import re
import socket
import unicodedata
from urllib.parse import unquote

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")
_THIS_NETWORK = ipaddress.IPv4Network("0.0.0.0/8")


def literal(host: str) -> Address | None:
    """The address that `host` spells out, None for a name.

    Every spelling that the C library's inet_aton takes: 0x7f000001, 2130706433, 0177.0.0.1, 127.1.
    """
    text = unicodedata.normalize("NFKC", unquote(host)).strip("[]").partition("%")[0].rstrip(".")
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        pass
    if not re.fullmatch(r"[0-9a-fA-FxX.]+", text):
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(text))
    except OSError:
        return None


def is_local_only(address: Address) -> bool:
    """Whether it is loopback, link-local, multicast, broadcast or unspecified, an IPv4 inside IPv6 unwrapped."""
    address = _unwrapped(address)
    if isinstance(address, ipaddress.IPv4Address) and (address in _THIS_NETWORK or address.is_reserved):
        return True
    return address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified


def _unwrapped(address: Address) -> Address:
    if not isinstance(address, ipaddress.IPv6Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and (address in _NAT64 or (address in _COMPATIBLE and int(address) > 1)):
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address if inner is None else inner


def names_this_machine(host: str) -> bool:
    """Whether `host` itself, without a look-up, says a local-only address or this machine's own name for itself."""
    found = literal(host)
    if found is not None:
        return is_local_only(found)
    name = unicodedata.normalize("NFKC", unquote(host)).lower().rstrip(".")
    return (
        name == "localhost"
        or name.endswith((".localhost", ".localdomain"))
        or name in ("ip6-localhost", "ip6-loopback")
    )


def bind_fault(host: str, port: int) -> str | None:
    """Why nothing can listen on TCP `host`:`port` now, with what to do; None where it can (port 0: any)."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "no such host"
        return f"cannot listen on {host} port {port} ({reason}): use an address of this machine and a free port"
    return None
