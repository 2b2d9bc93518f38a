"""Options' texts as values, and options that belong together."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from detector.core.errors import UsageError

if TYPE_CHECKING:
    from detector.models.accuracy.gate import LabelledPictures


def sides(text: str, option: str = "--size", *, square: bool = False) -> tuple[int, int]:
    """Width and height in px; with `square` one number does for both. Raises UsageError."""
    found = re.fullmatch(r"([1-9]\d{0,4})(?:[xX]([1-9]\d{0,4}))?", text)
    if found is None or not (found[2] or square):
        either = ", or one number for a square" if square else ""
        raise UsageError(f"{option} {text}: give width and height in px as 640x384{either}")
    return int(found[1]), int(found[2] or found[1])


def labelled(images: Path | None, annotations: Path | None) -> LabelledPictures | None:
    """What --images and --annotations name; None for neither. Raises UsageError for one without the other."""
    from detector.models.accuracy.gate import LabelledPictures

    if images is None and annotations is None:
        return None
    if images is None or annotations is None:
        raise UsageError("--images and --annotations go together: the pictures and their ground truth")
    return LabelledPictures(images=images, annotations=annotations)
