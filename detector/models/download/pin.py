"""The exact size and sha256 of a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from detector.core.files import file_sha256

_SHORT = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class FileHash:
    """A file's exact size in bytes and its SHA-256 in lower-case hex."""

    size: int
    sha256: str

    def fault(self, path: Path) -> str | None:
        """What is wrong with the file at `path`, or None; raises OSError when it cannot be read."""
        size = path.stat().st_size
        if size != self.size:
            return f"expected {self.size} bytes, got {size}"
        found = file_sha256(path)
        if found != self.sha256:
            return f"expected sha256 {self.sha256[:_SHORT]}..., got {found[:_SHORT]}..."
        return None
