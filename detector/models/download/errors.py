"""The error of a source that cannot provide a file."""

from __future__ import annotations


class UnavailableError(Exception):
    """A source cannot provide the file; `str()` is the reason in a few words. `ensure` turns it into a ModelError."""
