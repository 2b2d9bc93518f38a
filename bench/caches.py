"""A cache of its own for a service that chooses its model's form: nobody else's choice has a say, or is changed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))  # the cache is the tests' own

from support.caches import private_cache

__all__ = ["environment", "private_cache"]


def environment(cache: Path | None) -> dict[str, str] | None:
    """For a child that is to have `cache` for its own; None: as we have it."""
    return None if cache is None else {**os.environ, "DETECTOR_CACHE": str(cache)}
