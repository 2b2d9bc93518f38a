"""Small files of Linux's sysfs: one value each; some are root's, some disappear with their device."""

from __future__ import annotations

from pathlib import Path


def read_number(path: Path) -> float | None:
    """A file's first number; None where it cannot be read."""
    words = (read_text(path) or "").split()
    try:
        return float(words[0])
    except (ValueError, IndexError):
        return None


def read_text(path: Path) -> str | None:
    """A file's text without the line's end; None where it cannot be read."""
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
