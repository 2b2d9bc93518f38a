"""How a source says that it cannot give a file."""

from __future__ import annotations


class UnavailableError(Exception):
    """A source cannot give the file; `str()` is the reason in a few words. `ensure` turns it into a ModelError."""
