"""A signed POST of the alert's JSON, for programs.

Headers: `X-Detector-Timestamp` (epoch s of this try), `X-Detector-Id` (the alert's id: the same in every try) and
`X-Detector-Signature`: `sha256=` and the hex HMAC-SHA256 (RFC 2104) of the timestamp, a full stop and the body, with
the target's secret. docs/notifications.md says how a receiver checks it.
"""

from __future__ import annotations

import hashlib
import hmac
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from detector import __version__
from detector.alerts.payloads import encode
from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.errors import one_line

from .notice import Notice, NotifyError

TIMESTAMP, SIGNATURE, ALERT_ID = "X-Detector-Timestamp", "X-Detector-Signature", "X-Detector-Id"
TIMEOUT_S = 10.0


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """An alert goes where the configuration says, and nowhere else."""

    def redirect_request(self, *_request: Any) -> None:
        return None


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """The value of `X-Detector-Signature`."""
    return f"sha256={hmac.new(secret, timestamp.encode() + b'.' + body, hashlib.sha256).hexdigest()}"


class WebhookTarget:
    """Any answer of 2xx is a receipt; redirects are not followed."""

    def __init__(self, *, url: str, secret: str, clock: Clock = SYSTEM_CLOCK, timeout_s: float = TIMEOUT_S) -> None:
        self._url, self._secret, self._clock, self._timeout_s = url, secret.encode(), clock, timeout_s
        split = urlsplit(url)
        self._shown = f"{split.scheme}://{split.hostname}{f':{split.port}' if split.port else ''}"
        self._opener = urllib.request.build_opener(_NoRedirects)

    def send(self, notice: Notice) -> None:
        body, timestamp = encode(notice.document), str(int(self._clock.wall()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"detector/{__version__}",
            TIMESTAMP: timestamp,
            ALERT_ID: str(notice.document["id"]),
            SIGNATURE: signature(self._secret, timestamp, body),
        }
        request = urllib.request.Request(self._url, data=body, headers=headers, method="POST")  # noqa: S310 - http(s) alone, by the config
        try:
            with self._opener.open(request, timeout=self._timeout_s):
                return
        except urllib.error.HTTPError as error:
            with error:
                raise NotifyError(f"{self._shown} answers {error.code}: check the address and the secret") from None
        except (urllib.error.URLError, HTTPException, OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise NotifyError(
                f"{self._shown} cannot be reached: {one_line(str(reason)) or type(reason).__name__}"
            ) from None
