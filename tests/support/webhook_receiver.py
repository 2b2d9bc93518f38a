"""What a program that receives the signed webhook checks, written against its description alone."""

from __future__ import annotations

import hashlib
import hmac

REPLAY_S = 300.0


def is_authentic(secret: bytes, *, timestamp: str, given: str, body: bytes, now: float) -> bool:
    """Signed with `secret`, and at most REPLAY_S seconds from `now`, epoch s."""
    if not (timestamp.isascii() and timestamp.isdigit()) or abs(now - int(timestamp)) > REPLAY_S:
        return False
    wanted = hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(f"sha256={wanted}".encode(), given.encode("utf-8", "replace"))
