"""The secrets in a notification target's address: tokens stand anywhere in it, in the host's place too."""

from __future__ import annotations

import ipaddress
import re
from typing import Any
from urllib.parse import unquote

_SPLIT = re.compile(r"[/?&;:@=#,]+")
_LONG, _MIXED = 12, 6  # characters


def target_urls(document: Any) -> list[str]:
    """The addresses of a document's `notify` section."""
    targets = document.get("notify") if isinstance(document, dict) else None
    found = (
        [one.get(key) for one in targets or () if isinstance(one, dict) for key in ("url", "webhook")]
        if isinstance(targets, list)
        else []
    )
    return [url for url in found if isinstance(url, str)]


def secrets_of(url: str) -> list[str]:
    """The whole address, its password, and each part that looks like a token: long, or of letters and digits.

    Host names and addresses are no secrets: they name the broker and cameras too.
    """
    rest = url.strip().partition("://")[2]
    info, at, _ = rest.partition("@")
    password = info.partition(":")[2] if at else ""
    pieces = [piece for piece in _SPLIT.split(rest) if _is_token(piece)]
    found = [url.strip(), rest, password, *pieces]
    return [text for one in found for text in (one, unquote(one)) if text]


def _is_token(piece: str) -> bool:
    if _is_place(piece):
        return False
    mixed = any(c.isdigit() for c in piece) and any(c.isalpha() for c in piece)
    return len(piece) >= _LONG or (mixed and len(piece) >= _MIXED)


def _is_place(piece: str) -> bool:
    try:
        ipaddress.ip_address(piece.strip("[]"))
    except ValueError:
        return re.fullmatch(r"(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}|localhost|[0-9]{1,5}", piece) is not None
    return True
