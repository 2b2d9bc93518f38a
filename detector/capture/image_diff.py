"""How much two pictures of one camera differ, so that many alike are not taken for many."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.core.types import Pixels

_CELLS = (16, 12)  # of the picture that is compared, columns and rows
_THUMB = (96, 72)  # px it is made from: a far-off person still darkens one of its cells

Grid = NDArray[np.float32]


def grid(pixels: Pixels) -> Grid:
    """The brightness of a BGR picture in cells, float32 [rows, columns], its mean taken off: a lamp is nothing new."""
    small = cv2.resize(pixels, _THUMB, interpolation=cv2.INTER_AREA)
    found = cv2.resize(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), _CELLS, interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.asarray(found - found.mean(), np.float32)


def max_difference(one: Grid, other: Grid) -> float:
    """Grey levels of 255 by which the most changed cell differs; a sensor's noise alone gives about one."""
    return float(np.abs(one - other).max())
