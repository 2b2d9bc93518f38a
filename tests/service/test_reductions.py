from __future__ import annotations

import itertools

import pytest

from detector.models.autotune.reduced import ReducedForm
from detector.service.reductions import Reduction, rate_shares, reduction

FORMS = (ReducedForm(name="tiny", size=(320, 320), cost=0.6), ReducedForm(name="nano", size=(416, 416), cost=0.3))


@pytest.mark.parametrize(
    ("fps", "least", "shares"),
    [
        (10.0, 2.0, (0.7, 0.5, 0.35, 0.25, 0.2)),
        (10.0, 8.0, (0.8,)),
        (5.0, 2.0, (0.7, 0.5, 0.4)),
        (2.0, 2.0, ()),
        (1.0, 2.0, ()),
    ],
)
def test_the_rate_goes_down_to_its_least(fps: float, least: float, shares: tuple[float, ...]) -> None:
    assert rate_shares(fps, least) == pytest.approx(shares)


def test_the_rate_comes_first_then_the_input_then_the_model_and_each_step_costs_less() -> None:
    shares = rate_shares(10.0, 2.0)
    steps = [reduction(level, 0, shares, FORMS) for level in range(len(shares) + len(FORMS) + 1)]
    assert steps[0] == Reduction()
    assert [step.form for step in steps] == [None] * 6 + list(FORMS)
    assert all(more.cost > less.cost for more, less in itertools.pairwise(steps))
    assert str(steps[2]) == "50% of detect_fps"
    assert str(steps[-1]) == "20% of detect_fps with nano at 416x416"


def test_load_alone_makes_the_model_smaller_and_the_rate_stays() -> None:
    shares = rate_shares(10.0, 2.0)
    assert str(reduction(0, 1, shares, FORMS)) == "the full detect_fps with tiny at 320x320"
    assert reduction(7, 1, shares, FORMS).form == FORMS[1], "the smaller of both wishes"
    assert reduction(3, 2, (), ()) == Reduction(), "nothing to step through"
