"""How much two pictures of one camera differ, to leave out similar ones."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.core.types import Pixels

_CELLS = (16, 12)  # of the picture that is compared, columns and rows
_THUMB = (96, 72)  # px it is made from: a distant person still changes one of its cells

Grid = NDArray[np.float32]


def grid(pixels: Pixels) -> Grid:
    """The brightness of a BGR picture in cells, float32 [rows, columns], minus its mean: a change of light is not new."""
    small = cv2.resize(pixels, _THUMB, interpolation=cv2.INTER_AREA)
    found = cv2.resize(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), _CELLS, interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.asarray(found - found.mean(), np.float32)


def max_difference(one: Grid, other: Grid) -> float:
    """The difference of the most changed cell, grey levels 0..255; sensor noise alone gives about one."""
    return float(np.abs(one - other).max())
