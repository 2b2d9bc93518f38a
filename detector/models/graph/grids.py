"""The tables of detection heads: each cell's position and stride, over the three grids."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from detector.inference.layout import STRIDES

from .graph import Array

Sides = tuple[int, int]  # width, height in px
_Table = Callable[[Sides], Array]


def regrid(values: Array, old: Sides, new: Sides) -> Array | None:
    """`values`, a table over the cells of an `old` input, for a `new` one; None if it is not a known table.

    Tables are recognised by exact equality: corners or centres of cells, in cells or px, strides once or for x and y;
    cells first or last, with any axes of length 1; all grids or one of them.
    """
    core = np.squeeze(values)
    for table in _tables():
        for turned in (False, True):
            was = table(old)
            if turned:
                was = was.T
            if was.shape == core.shape and np.array_equal(was.astype(values.dtype), core):
                made = table(new).T if turned else table(new)
                # The axes of length 1 stay; the axis of cells takes the new length.
                lengths = iter(made.shape)
                shape = [1 if side == 1 else next(lengths) for side in values.shape]
                return made.astype(values.dtype).reshape(shape)
    return None


def _tables() -> Iterator[_Table]:
    for strides in (STRIDES, *((stride,) for stride in STRIDES)):
        for offset in (0.0, 0.5):
            for in_px in (False, True):
                yield partial(_places, strides=strides, offset=offset, in_px=in_px)
        yield partial(_strides, strides=strides)
        yield partial(_strides, strides=strides, pairs=True)


def _places(sides: Sides, *, strides: tuple[int, ...], offset: float, in_px: bool) -> Array:
    """Column and row of each cell [N,2]."""
    grids = []
    for stride in strides:
        columns, rows = np.meshgrid(np.arange(sides[0] // stride), np.arange(sides[1] // stride))
        grids.append((np.stack((columns, rows), axis=-1).reshape(-1, 2) + offset) * (stride if in_px else 1))
    return np.concatenate(grids)


def _strides(sides: Sides, *, strides: tuple[int, ...], pairs: bool = False) -> Array:
    """Each cell's stride [N]; with `pairs` for x and for y [N,2]."""
    found = np.concatenate([np.full((sides[0] // s) * (sides[1] // s), float(s)) for s in strides])
    return np.repeat(found[:, None], 2, axis=1) if pairs else found
