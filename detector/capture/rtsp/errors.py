"""An RTSP camera's refusals as errors of one line each."""

from __future__ import annotations

import av.error

from detector.capture.av_errors import network_error
from detector.core.errors import SourceError
from detector.core.redact import redact

# Final answers: FFmpeg would get the same one.
_REFUSALS: dict[int, type[av.error.FFmpegError]] = {
    401: av.error.HTTPUnauthorizedError,
    403: av.error.HTTPForbiddenError,
    404: av.error.HTTPNotFoundError,
}


_NOT_ENOUGH_BANDWIDTH = 453  # RFC 2326, section 11.3; cameras say so of their number of viewers


class NotUnderstoodError(SourceError):
    """The camera sends something that this client does not support; FFmpeg may."""


def not_understood(what: str, *, shown: str) -> NotUnderstoodError:
    return NotUnderstoodError(redact(f"{shown}: {what}"))


def udp_only(what: str, *, shown: str) -> SourceError:
    """FFmpeg over TCP would get the very same answer; UDP is for the user to choose, as it loses packets."""
    return SourceError(redact(f"{shown}: this camera {what}: it offers UDP only; set transport: udp for this camera"))


def refusal(status: int, *, shown: str, timeout_s: float) -> SourceError:
    """The error for an RTSP `status` other than 2xx; one that FFmpeg might avoid is NotUnderstoodError."""
    if status == _NOT_ENOUGH_BANDWIDTH:
        return SourceError(
            redact(
                f"{shown}: the camera serves no more viewers (453); close others, or take a stream of a lower bit rate"
            )
        )
    kind = _REFUSALS.get(status) or (av.error.HTTPServerError if 500 <= status < 600 else None)
    if kind is None:
        return not_understood(f"the camera answers with status {status}", shown=shown)
    return network_error(kind(status, ""), shown=shown, timeout_s=timeout_s)
