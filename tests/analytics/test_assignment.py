from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.analytics.assignment import pair


def test_nothing_above_the_floor_pairs_nothing() -> None:
    rows, columns = pair(np.array([[0.1, 0.0]]), np.array([0]), np.array([0, 1]), floor=0.2)
    assert (rows.tolist(), columns.tolist()) == ([], [])


def test_only_the_given_rows_and_columns_take_part() -> None:
    likeness = np.array([[0.9, 0.8, 0.0], [0.7, 0.6, 0.5]])
    rows, columns = pair(likeness, np.array([1]), np.array([1, 2]), floor=0.2)
    assert (rows.tolist(), columns.tolist()) == ([1], [1])


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**16))
def test_sum_above_the_floor_is_the_best_there_is(n: int, m: int, seed: int) -> None:
    likeness, floor = np.random.default_rng(seed).random((n, m)), 0.4
    rows, columns = pair(likeness, np.arange(n), np.arange(m), floor=floor)
    assert len(set(rows.tolist())) == len(rows)
    assert len(set(columns.tolist())) == len(columns)
    assert (likeness[rows, columns] >= floor).all()
    gains = np.pad(np.maximum(likeness - floor, 0.0), ((0, 4 - n), (0, 4 - m)))
    best = max(gains[np.arange(4), list(order)].sum() for order in permutations(range(4)))
    assert (likeness[rows, columns] - floor).sum() == pytest.approx(best, abs=1e-6)


@settings(deadline=None)  # the first example imports SciPy
@given(st.integers(1, 14), st.integers(1, 14), st.integers(0, 2**16), st.booleans())
def test_large_and_tied_tables_sum_to_what_scipy_finds(n: int, m: int, seed: int, tied: bool) -> None:
    optimize = pytest.importorskip("scipy.optimize", reason="comes with motmetrics, not with the project")
    likeness = np.random.default_rng(seed).random((n, m))
    if tied:
        likeness = np.round(likeness * 4) / 4
    rows, columns = pair(likeness, np.arange(n), np.arange(m), floor=0.0)
    assert len(rows) == len(set(rows.tolist())) == len(set(columns.tolist())) == min(n, m)
    assert likeness[rows, columns].sum() == pytest.approx(likeness[optimize.linear_sum_assignment(-likeness)].sum())
