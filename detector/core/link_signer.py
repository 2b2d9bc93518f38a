"""Addresses that hold for one thing and a limited time, signed so that they need no token.

The signature is HMAC-SHA256 over the path and the expiry (RFC 2104), cut to 128 bits.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict
from pathlib import Path

from .clock import SYSTEM_CLOCK, Clock
from .errors import StorageError
from .files import write_atomically

KEY_FILE = "link-key"
_KEY_BYTES = 32
_SIGNATURE_DIGITS = 32  # hex: half of SHA-256, the least that RFC 2104 recommends
_REMEMBERED = 4096
_SLACK_S = 120.0  # by so much time servers correct a clock that is right


class LinkSigner:
    """Signs paths and checks them; thread-safe. `lifetime_s`: how long an address holds.

    The expiry is epoch seconds, but the clock may jump. For what this process signed the monotonic clock decides. For
    what an earlier one signed the wall clock does; an expiry further away than any that could be given now is refused,
    or a link signed while the clock was years ahead would hold for years.
    """

    def __init__(self, key: bytes, *, lifetime_s: float, clock: Clock = SYSTEM_CLOCK) -> None:
        if len(key) < _KEY_BYTES or lifetime_s <= 0:
            raise ValueError(f"the key must have {_KEY_BYTES} bytes and the lifetime be above 0")
        self._key, self._lifetime_s, self._clock = key, lifetime_s, clock
        self._lock = threading.Lock()
        self._until: OrderedDict[str, float] = OrderedDict()  # signature -> monotonic s

    def sign(self, path: str) -> str:
        """`path` with an expiry and a signature as its query."""
        expires = str(int(self._clock.wall() + self._lifetime_s))
        signature = self._signature(path, expires)
        with self._lock:
            self._until[signature] = self._clock.mono() + self._lifetime_s
            self._until.move_to_end(signature)
            if len(self._until) > _REMEMBERED:
                self._until.popitem(last=False)
        return f"{path}?expires={expires}&signature={signature}"

    def problem(self, path: str, *, expires: str, signature: str) -> str | None:
        """Why the address does not hold, in a few words; None where it does. Takes as long for any wrong signature."""
        right = self._signature(path, expires)
        if not hmac.compare_digest(right.encode(), signature.encode("utf-8", "replace")):
            return "this address was altered, or signed with another key"
        with self._lock:
            until = self._until.get(right)
        left = int(expires) - self._clock.wall() if until is None else until - self._clock.mono()
        return None if 0 < left <= self._lifetime_s + _SLACK_S else "this address has expired"

    def _signature(self, path: str, expires: str) -> str:
        # The number of the version and the line breaks keep other uses of the key apart.
        text = f"detector link v1\n{path}\n{expires}".encode("utf-8", "replace")
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()[:_SIGNATURE_DIGITS]


def load_key(folder: Path) -> bytes:
    """The key in `folder`, made there the first time, readable by its owner alone. Raises StorageError.

    A file that is no key is replaced: addresses signed before do not hold any more.
    """
    path = folder / KEY_FILE
    try:
        if path.exists():
            path.chmod(0o600)
            if len(key := path.read_bytes()) == _KEY_BYTES:
                return key
        key = secrets.token_bytes(_KEY_BYTES)
        write_atomically(path, key, mode=0o600)
    except OSError as error:
        raise StorageError(
            f"cannot keep the key of signed addresses in {path}: {error.strerror}; make it writable"
        ) from None
    return key
