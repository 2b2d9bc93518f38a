"""Pairing boxes: overlaps, and the best one-to-one assignment above a threshold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.intp]


def pair(likeness: Array, rows: Index, columns: Index, *, floor: float) -> tuple[Index, Index]:
    """The pairing of `rows` with `columns` with the highest sum of `likeness` [N, M].

    Returns two index arrays of equal length. Pairs below `floor` are left out of the sum and of the result.
    Deterministic: the same input gives the same pairs, ties included.
    """
    part = likeness[rows[:, None], columns[None, :]]
    allowed = part >= floor
    if not allowed.any():
        return rows[:0], columns[:0]
    # Forbidden pairs gain nothing, so an allowed pair is never given up for one.
    first, second = _best(np.where(allowed, part - floor + 1e-9, 0.0))
    kept = allowed[first, second]
    return rows[first[kept]], columns[second[kept]]


def _best(gain: Array) -> tuple[Index, Index]:
    """The one-to-one pairing of all rows or all columns of `gain` [N, M] with the highest sum; rows in order.

    Shortest augmenting paths with dual prices (Jonker and Volgenant 1987). SciPy has the same, but takes 0.3 s
    at every start and 40 MB in every process.
    """
    if gain.shape[0] > gain.shape[1]:
        columns, rows = _best(gain.T)
        order = np.argsort(rows)
        return rows[order], columns[order]
    owner = _owners(-gain)
    taken = np.flatnonzero(owner >= 0)
    order = np.argsort(owner[taken])
    return owner[taken][order], taken[order]


def _owners(cost: Array) -> Index:
    """For each column of `cost` [N, M], N <= M, its row in the assignment of least cost, or -1."""
    rows, columns = cost.shape
    row_price, column_price = np.zeros(rows), np.zeros(columns)
    owner = np.full(columns, -1, np.intp)
    for row in range(rows):
        # Dijkstra's shortest path from `row` over assigned columns to a free one, in reduced costs.
        length, before = np.full(columns, np.inf), np.full(columns, -1, np.intp)
        settled, here, so_far = np.zeros(columns, np.bool_), row, 0.0
        while True:
            onward = so_far + cost[here] - row_price[here] - column_price
            shorter = ~settled & (onward < length)
            length[shorter], before[shorter] = onward[shorter], here
            nearest = int(np.where(settled, np.inf, length).argmin())
            so_far = float(length[nearest])
            if owner[nearest] < 0:
                break
            settled[nearest], here = True, int(owner[nearest])
        row_price[row] += so_far
        row_price[owner[settled]] += so_far - length[settled]
        column_price[settled] -= so_far - length[settled]
        _shift(owner, before, row, nearest)
    return owner


def _shift(owner: Index, before: Index, row: int, column: int) -> None:
    """Assign `column`, and each one on the path back to `row`, to the row before it on the path."""
    left = {int(held): index for index, held in enumerate(owner) if held >= 0}
    while True:
        owner[column] = taker = int(before[column])
        if taker == row:
            return
        column = left[taker]
