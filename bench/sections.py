"""Sections of engines/README.md that commands of their own write: each between two marks, the rest left alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

_SECTION = re.compile(r"<!-- by python -m bench\.(\w+) -->\n.*?<!-- end of bench\.\1 -->\n", re.DOTALL)


def kept(page: Path) -> str:
    """The marked sections of `page`, for a command that writes all the rest anew."""
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    return "".join(f"\n{found[0]}" for found in _SECTION.finditer(text))


def put(page: Path, name: str, lines: Sequence[str]) -> None:
    """Replaces what `bench.name` wrote before, or adds it at the end."""
    section = "\n".join([f"<!-- by python -m bench.{name} -->", *lines, f"<!-- end of bench.{name} -->", ""])
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    found = next((found for found in _SECTION.finditer(text) if found[1] == name), None)
    text = f"{text}\n{section}" if found is None else text[: found.start()] + section + text[found.end() :]
    page.write_text(text, encoding="utf-8")
