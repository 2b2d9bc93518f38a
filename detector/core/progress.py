"""How long work reports how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, "int | None", str], None]
"""Called with what is done, of how much (None: unknown, show a pulse), and in words what is being done."""


def quiet(_done: int, _total: int | None, _what: str) -> None:
    """A Progress that shows nothing."""
