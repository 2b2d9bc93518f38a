"""A cache of one's own that has the usual one's models and clips: what is measured there changes nobody's choice."""

from __future__ import annotations

from pathlib import Path

from detector.core.files import cache_dir

FETCHED = ("models", "clips")


def private_cache(folder: Path) -> Path:
    """`folder` as a value for DETECTOR_CACHE; what is fetched into it goes to the usual cache."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in FETCHED:
        there = cache_dir() / name
        there.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(there.resolve(), target_is_directory=True)
    return folder
