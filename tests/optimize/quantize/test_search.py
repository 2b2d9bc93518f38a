"""The fewest layers in floats, in few trials."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from detector.optimize.quantize.search import fewest


@given(st.integers(0, 200), st.integers(0, 250))
def test_it_finds_the_number_from_which_on_the_budget_holds(most: int, limit: int) -> None:
    asked: list[int] = []

    def holds(count: int) -> bool:
        asked.append(count)
        return count >= limit

    found = fewest(most, holds)
    assert found == (limit if limit <= most else None)
    assert len(set(asked)) == len(asked), "each trial costs seconds"
    assert max(asked) <= most
    assert len(asked) <= 3 + 2 * math.log2(most + 1)


@given(st.sets(st.integers(0, 60)), st.integers(0, 60))
def test_the_answer_itself_was_tried_whatever_the_budget_does(good: set[int], most: int) -> None:
    found = fewest(most, lambda count: count in good)
    assert found is None or found in good
