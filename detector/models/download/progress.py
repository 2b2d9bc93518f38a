"""How a fetch tells that it goes on, and how a source says that it cannot help."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, "int | None", str], None]
"""Called with bytes done, bytes in all (None: unknown, show a pulse) and what is being done."""


def quiet(_done: int, _total: int | None, _what: str) -> None:
    """A Progress that tells nobody."""


class UnavailableError(Exception):
    """A source cannot give the file; `str()` is the reason in a few words. Never leaves `store`."""
