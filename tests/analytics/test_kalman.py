from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.analytics.kalman import Array, Beliefs, MotionModel, born, correct, predict, to_center, to_corners

MODEL = MotionModel()
BOXES = np.array([[100.0, 200.0, 140.0, 300.0], [500.0, 100.0, 620.0, 400.0]])
STRONG = np.zeros(2, np.bool_)


def seconds(dt: float) -> Array:
    return np.full(2, dt)


def walked() -> Beliefs:
    """Two people, seen at 0, 0.1, ... 0.9 s, who go right at 80 px/s."""
    beliefs = born(BOXES, MODEL)
    for k in range(1, 10):
        seen = BOXES + np.array([8.0 * k, 0, 8.0 * k, 0])
        beliefs = correct(predict(beliefs, seconds(0.1), MODEL), seen, STRONG, MODEL)
    return beliefs


def test_corners_and_centers_are_inverse() -> None:
    assert to_center(BOXES)[0].tolist() == [120.0, 250.0, 40.0, 100.0]
    assert to_corners(to_center(BOXES)) == pytest.approx(BOXES)


def test_velocity_is_learnt_and_carries_on() -> None:
    ahead = predict(walked(), seconds(0.5), MODEL)
    assert ahead.boxes[:, 0] == pytest.approx(BOXES[:, 0] + 72 + 40, abs=6)


@settings(deadline=None)
@given(first=st.floats(0.0, 3.0), second=st.floats(0.0, 3.0))
def test_two_steps_are_as_good_as_one(first: float, second: float) -> None:
    start = walked()
    once = predict(start, seconds(first + second), MODEL)
    twice = predict(predict(start, seconds(first), MODEL), seconds(second), MODEL)
    # The noise is scaled by the height, which itself is predicted: equal but for that.
    assert twice.moments == pytest.approx(once.moments, rel=2e-2, abs=1e-6)


@settings(deadline=None)
@given(dt=st.floats(0.01, 5.0), dx=st.floats(-50, 50), dh=st.floats(-20, 20))
def test_closed_form_equals_the_matrix_filter(dt: float, dx: float, dh: float) -> None:
    """The textbook filter with 2x2 matrices, for the centre's x and for the height of the first box."""
    start, seen = walked(), BOXES + np.array([dx, 0, dx, dh])
    ahead = predict(start, seconds(dt), MODEL)
    after = correct(ahead, seen, STRONG, MODEL)
    height, predicted_height = start.mean[0, 3], ahead.mean[0, 3]
    for axis, sigma, tau in ((0, MODEL.sigma, MODEL.tau), (3, MODEL.size_sigma, MODEL.size_tau)):
        mean, velocity, var, cov, velocity_var = start.moments[:, 0, axis]
        keep = np.exp(-dt / tau)
        move = np.array([[1.0, tau * (1.0 - keep)], [0.0, keep]])
        noise = _noise_by_quadrature(dt, tau, sigma * height)
        x = move @ np.array([mean, velocity])
        p = move @ np.array([[var, cov], [cov, velocity_var]]) @ move.T + noise
        gain = p[:, 0] / (p[0, 0] + (MODEL.measure * predicted_height) ** 2)
        x = x + gain * (to_center(seen)[0, axis] - x[0])
        p = p - np.outer(gain, p[0])
        expected = [x[0], x[1], p[0, 0], p[0, 1], p[1, 1]]
        assert after.moments[:, 0, axis] == pytest.approx(expected, rel=1e-4, abs=1e-6)


def _noise_by_quadrature(dt: float, tau: float, sigma: float) -> Array:
    """The integral of F(s) G q G' F(s)' over the step, by Simpson's rule: no closed form in common."""
    s = np.linspace(0.0, dt, 2001)
    weights = np.ones_like(s)
    weights[1:-1:2], weights[2:-1:2] = 4.0, 2.0
    weights *= (s[1] - s[0]) / 3.0
    response = np.stack((tau * (1.0 - np.exp(-s / tau)), np.exp(-s / tau)))
    integral: Array = (2.0 * sigma**2 / tau) * np.einsum("is,js,s->ij", response, response, weights)
    return integral


def test_no_time_changes_nothing() -> None:
    start = walked()
    assert predict(start, seconds(0.0), MODEL).moments == pytest.approx(start.moments)


def test_weak_measurement_moves_less() -> None:
    ahead = predict(walked(), seconds(0.1), MODEL)
    after = correct(ahead, ahead.boxes + 10.0, np.array([False, True]), MODEL)
    moved = (after.mean - ahead.mean)[:, 0] / 10.0
    assert 0.0 < moved[1] < moved[0] < 1.0


def test_boxes_never_collapse() -> None:
    beliefs = born(np.array([[10.0, 10.0, 10.0, 10.0]]), MODEL)
    for _ in range(5):
        beliefs = predict(beliefs, np.array([1.0]), MODEL)
        beliefs = correct(beliefs, np.array([[10.0, 10.0, 10.0, 10.0]]), np.array([False]), MODEL)
        assert (beliefs.mean[:, 2:] >= 1.0).all()


@pytest.mark.parametrize("name", ["sigma", "tau", "size_sigma", "size_tau", "measure", "weak"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), 1e3])
def test_wrong_model_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        MotionModel(**{name: value})
