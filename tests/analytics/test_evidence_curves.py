from __future__ import annotations

import math

import pytest

from detector.analytics.evidence_curves import HEIGHTS, SCORES, EvidenceCurves
from support.evidence import counts, made_curves


def test_a_score_that_people_have_tells_for_a_person_and_one_of_nobody_against() -> None:
    curves = made_curves()
    assert curves.weigh(0.85, 15.0, dark=False) > 1.0
    assert curves.weigh(0.15, 15.0, dark=False) < -0.5
    assert curves.weigh(0.0, 15.0, dark=False) < 0.0, "people are found more often than nobody is"


def test_the_same_score_tells_another_thing_by_height_and_light() -> None:
    likely, unlikely = (900, 100), (100, 900)
    alike = (500, 450)
    small_only = counts({(1, 4): likely, (1, 1): unlikely, (3, 4): alike, (3, 1): alike})
    curves = made_curves(bright=small_only, dark=counts({(1, 4): alike, (1, 1): alike}))
    assert curves.weigh(0.55, 9.0, dark=False) > 1.0
    assert curves.weigh(0.55, 30.0, dark=False) < curves.weigh(0.55, 9.0, dark=False)
    assert curves.weigh(0.55, 9.0, dark=True) < curves.weigh(0.55, 9.0, dark=False)


def test_a_better_score_never_tells_less() -> None:
    curves = made_curves(bright=counts({(2, 5): (50, 5), (2, 6): (1, 20), (2, 3): (30, 60)}))
    told = [curves.weigh(score, 15.0, dark=False) for score in (0.1, 0.35, 0.45, 0.55, 0.65, 0.75, 0.9)]
    assert told == sorted(told)


def test_few_looks_tell_little_and_none_tells_nothing() -> None:
    nothing = made_curves(bright=counts({}), dark=counts({}))
    assert {nothing.weigh(score, 15.0, dark=False) for score in (0.0, 0.2, 0.9)} == {0.0}
    one, many = (made_curves(bright=counts({(2, 7): (n, 0)}), dark=counts({})) for n in (1, 1000))
    assert 0.0 < one.weigh(0.9, 15.0, dark=False) < many.weigh(0.9, 15.0, dark=False)


def test_counts_of_another_shape_are_refused() -> None:
    good = counts({})
    for wrong in (good[:-1], [[[-1, 0]] * len(SCORES)] * len(HEIGHTS), [row[:-1] for row in good]):
        with pytest.raises(ValueError, match="counts must be"):
            EvidenceCurves(bright=wrong, dark=good, bar=math.log(100.0))
