"""Options' texts as values, and options that belong together."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from detector.core.errors import UsageError

if TYPE_CHECKING:
    from detector.models.accuracy.gate import LabelledPictures


INPUT_MULTIPLE = 32
"""The sides of a model's input are multiples of its coarsest stride."""


def sides(text: str, option: str = "--size", *, square: bool = False, multiple: int = 1) -> tuple[int, int]:
    """Width and height in px, both multiples of `multiple`; with `square` one number does for both. Raises UsageError."""
    found = re.fullmatch(r"([1-9]\d{0,4})(?:[xX]([1-9]\d{0,4}))?", text)
    if found is None or not (found[2] or square):
        either = ", or one number for a square" if square else ""
        raise UsageError(f"{option} {text}: give width and height in px as 640x384{either}")
    width, height = int(found[1]), int(found[2] or found[1])
    if width % multiple or height % multiple:
        raise UsageError(f"{option} {text}: both sides must be multiples of {multiple}")
    return width, height


def labelled(images: Path | None, annotations: Path | None) -> LabelledPictures | None:
    """What --images and --annotations name; None for neither. Raises UsageError for one without the other."""
    from detector.models.accuracy.gate import LabelledPictures

    if images is None and annotations is None:
        return None
    if images is None or annotations is None:
        raise UsageError("--images and --annotations go together: the pictures and their ground truth")
    return LabelledPictures(images=images, annotations=annotations)
