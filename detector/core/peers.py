"""How clients are counted where a limit is for each of them, and how their faults are logged."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from .clock import SYSTEM_CLOCK

_IPV6_SITE_BITS = 64  # RFC 6177: one customer's network is at least this large, so its addresses are one client


def peer_key(host: str) -> str:
    """`host` (an address as a socket gives it) as limits count it.

    An IPv4 address is itself, IPv6 counts by its /64, and all of the loopback is one: 127.0.0.2 is no other machine.
    What is no address (a Unix socket's name) counts as the loopback.
    """
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return "loopback"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback:
        return "loopback"
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((address, _IPV6_SITE_BITS), strict=False))


class LogLimit:
    """Lets one line in `period_s` (monotonic s) through, and counts all; not thread-safe.

    Who can cause one line can cause thousands: they would fill a disk and hide all others.
    """

    def __init__(self, *, period_s: float = 60.0, now: Callable[[], float] = SYSTEM_CLOCK.mono) -> None:
        self._period_s, self._now = period_s, now
        self._next = float("-inf")
        self.total = 0

    def due(self) -> bool:
        """Count one; whether a line should be written for it."""
        self.total += 1
        now = self._now()
        if now < self._next:
            return False
        self._next = now + self._period_s
        return True
