"""The bound: it covers what it says it covers, and is the same for the same pictures."""

from __future__ import annotations

import numpy as np
import pytest

from detector.models.accuracy.bootstrap import Weights, upper_bound


def test_what_is_the_same_in_every_picture_has_no_spread() -> None:
    assert upper_bound(lambda weights: float((weights * 0.25).sum() / weights.sum()), 10) == pytest.approx(0.25)


def test_the_same_pictures_give_the_same_bound_and_a_higher_level_a_higher_one() -> None:
    losses = np.random.default_rng(1).normal(0.2, 1.0, 40)

    def mean(weights: Weights) -> float:
        return float((weights * losses).sum() / weights.sum())

    assert upper_bound(mean, 40) == upper_bound(mean, 40)
    assert losses.mean() < upper_bound(mean, 40, level=0.6) < upper_bound(mean, 40) < upper_bound(mean, 40, level=0.99)


def test_it_covers_the_true_loss_about_nine_times_in_ten() -> None:
    """200 sets of 40 pictures each, with a true mean loss of 1."""
    random = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        losses = random.exponential(1.0, 40)
        covered += upper_bound(lambda w, some=losses: float((w * some).sum() / w.sum()), 40) >= 1.0  # type: ignore[misc]
    assert 165 <= covered <= 195


def test_it_is_never_below_the_loss_itself_and_nan_is_the_worst() -> None:
    assert upper_bound(lambda weights: 1.0 if (weights == 1).all() else 0.0, 10) == 1.0
    assert upper_bound(lambda weights: float("nan") if weights[0] == 0 else 0.0, 10) == float("inf")
