"""Which keys of the configuration hold a secret."""

from __future__ import annotations

import re

_SECRET_KEY = re.compile(r"password|passphrase|token|secret|api_?key|^code$", re.IGNORECASE)

_ADDRESSES = frozenset(("url", "webhook"))  # of notification targets: their tokens stand anywhere in them


def is_secret_key(key: str) -> bool:
    """Whether the value of `key` is a secret as a whole; a path to a file with one is not."""
    return key in _ADDRESSES or (_SECRET_KEY.search(key) is not None and not key.endswith("_file"))


def is_masked_everywhere(key: str) -> bool:
    """Whether the secret under `key` is masked in any text; a keypad's few digits would be found in times and ids."""
    return is_secret_key(key) and key.lower() != "code"
