"""The callback for progress reports of long work."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, "int | None", str], None]
"""Called with (done, total, text): total None is unknown; `text` says what is being done."""


def quiet(_done: int, _total: int | None, _what: str) -> None:
    """A Progress that shows nothing."""
