"""What a file must be, to the byte."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

_CHUNK = 1 << 20
_SHORT = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A file's exact size in bytes and its SHA-256 in lower-case hex."""

    size: int
    sha256: str

    def fault(self, path: Path) -> str | None:
        """What is wrong with the file at `path`, or None; raises OSError when it cannot be read."""
        size = path.stat().st_size
        if size != self.size:
            return f"expected {self.size} bytes, got {size}"
        found = digest(path)
        if found != self.sha256:
            return f"expected sha256 {self.sha256[:_SHORT]}..., got {found[:_SHORT]}..."
        return None


def digest(path: Path) -> str:
    """The file's SHA-256 in lower-case hex."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            sha.update(chunk)
    return sha.hexdigest()
