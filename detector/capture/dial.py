"""A TCP connection to a camera, within a deadline."""

from __future__ import annotations

import errno
import socket

from detector.core.clock import Clock

# A lost SYN is sent again after 1, 3 and 7 s (RFC 6298): a camera that comes back after the third would be waited for
# four seconds more. A new attempt begins at once.
_ATTEMPT_S = 3.5


def connect(host: str, port: int, deadline: float, clock: Clock) -> socket.socket:
    """A blocking socket to the first of the host's addresses that takes one, until `deadline` (monotonic s).

    Raises TimeoutError, or another OSError (EIO for an unknown host). The resolver has time limits of its own.
    """
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):  # a label too long for a name is a UnicodeError
        raise OSError(errno.EIO, "no address") from None
    failure: OSError = OSError(errno.EIO, "no address")
    while True:
        for family, kind, protocol, _, address in addresses:
            left_s = deadline - clock.mono()
            if left_s <= 0.0:
                raise TimeoutError
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(min(left_s, _ATTEMPT_S))
                connection.connect(address)
            except OSError as exc:
                connection.close()
                failure = exc
            else:
                return connection
        if not isinstance(failure, TimeoutError):
            raise failure
