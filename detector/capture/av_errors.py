"""FFmpeg's errors as one line each: what is wrong, and what to do."""

from __future__ import annotations

import builtins
import errno

import av.error

from detector.core.errors import SourceError
from detector.core.redact import redact

from .source import CameraRefusedError

# In order: the first class that matches is used.
_NETWORK: tuple[tuple[type[BaseException], str], ...] = (
    (av.error.HTTPUnauthorizedError, "the camera refuses the user name or password (401)"),
    (av.error.HTTPForbiddenError, "the camera forbids this stream to this user (403)"),
    (av.error.HTTPNotFoundError, "the camera has no such stream (404); check the path in the URL"),
    (av.error.HTTPBadRequestError, "the camera does not understand the request (400); check the path in the URL"),
    (
        av.error.HTTPClientError,
        "the camera refuses the request; check the URL; where it is over UDP only, set transport: udp",
    ),
    (av.error.HTTPServerError, "the camera reports an error of its own (5xx); it may be starting or overloaded"),
    (builtins.ConnectionRefusedError, "connection refused; is the camera on, and is the port right?"),
    (builtins.ConnectionResetError, "the camera closed the connection"),
    (builtins.BrokenPipeError, "the camera closed the connection"),
    (builtins.EOFError, "the camera ended the stream before it sent a picture"),
    (av.error.InvalidDataError, "what it sends is not a video stream; check the URL"),
    (av.error.ProtocolNotFoundError, "this kind of URL is not supported by the installed PyAV"),
)
_FILE: tuple[tuple[type[BaseException], str], ...] = (
    (builtins.FileNotFoundError, "no such file; check the path"),
    (builtins.IsADirectoryError, "this is a directory; name a video file"),
    (builtins.PermissionError, "may not be read; check the file's permissions"),
    (av.error.InvalidDataError, "not a video or picture that can be read; is it damaged, or another kind of file?"),
    (builtins.EOFError, "not a video or picture that can be read; it ends too early"),
)
_REFUSED = (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError)
_UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN)


def network_error(exc: BaseException, *, shown: str, timeout_s: float) -> SourceError:
    """The error for a camera at `shown` (already masked) that cannot be opened or read."""
    if isinstance(exc, (builtins.TimeoutError, av.error.ExitError)):
        return SourceError(f"{shown}: no answer within {timeout_s:g} s; is the camera on and reachable?")
    if isinstance(exc, builtins.OSError) and exc.errno in _UNREACHABLE:
        return SourceError(f"{shown}: the network cannot reach this host; check the address and the cabling")
    if isinstance(exc, builtins.OSError) and exc.errno == errno.EIO:
        return SourceError(f"{shown}: the host is unknown, or what answers there is not a camera; check the URL")
    kind = CameraRefusedError if isinstance(exc, _REFUSED) else SourceError
    return kind(f"{shown}: {_explanation(exc, _NETWORK)}")


def file_error(exc: BaseException, *, shown: str) -> SourceError:
    """The error for the file `shown` that cannot be opened or read."""
    return SourceError(f"{shown}: {_explanation(exc, _FILE)}")


def _explanation(exc: BaseException, table: tuple[tuple[type[BaseException], str], ...]) -> str:
    for kind, text in table:
        if isinstance(exc, kind):
            return text
    # Never str(exc): PyAV puts the URL with its password into it.
    detail = getattr(exc, "strerror", None) or type(exc).__name__
    return redact(f"cannot be read ({detail})")
