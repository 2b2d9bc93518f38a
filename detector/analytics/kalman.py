"""Constant-velocity Kalman filters for many boxes at once, for any time step.

The state of a box is cx, cy, w, h in px, each with its velocity in px/s. Noise and measurement act on
each of the four separately, so the usual 8x8 filter separates into four of 2x2 (position, velocity),
solved here in closed form over arrays [N, 4] without a loop or a matrix inverse.

Motion is an integrated Ornstein-Uhlenbeck process (Singer, 1970; Bar-Shalom, Li and Kirubarajan,
"Estimation with Applications to Tracking and Navigation", 2001, section 8.2): a velocity of standard
deviation `sigma` that decays with the time constant `tau`. Over short steps this is the
constant-velocity model of SORT and ByteTrack. The uncertainty is right for a step of 0.04 s and for one
of several seconds, and does not depend on the steps that a span of time is divided into.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.intp]
_MIN_SIZE = 1.0  # px: a predicted box keeps a positive size


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionModel:
    """How people move in the picture; lengths are shares of the box's height h, times are seconds.

    `sigma` (h/s) is how fast people move, `tau` (s) how long they keep that velocity: a person of 1.75 m
    walks at 1.4 m/s, which is 0.8 h/s, for several seconds. Width and height change by approach
    and by posture: more slowly (`size_sigma`), and for a shorter time (`size_tau`). `measure` is the standard
    deviation of a detection's centre and size (h), `weak` that of a low-score one.
    """

    sigma: float = 1.0
    tau: float = 8.0
    size_sigma: float = 0.1
    size_tau: float = 0.5
    measure: float = 0.05
    weak: float = 0.1

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0.0 < getattr(self, field.name) < 100.0:
                raise ValueError(f"{field.name} must be between 0 and 100, got {getattr(self, field.name)}")

    @property
    def taus(self) -> Array:
        return np.array([self.tau, self.tau, self.size_tau, self.size_tau])

    @property
    def sigma_shares(self) -> Array:
        return np.array([self.sigma, self.sigma, self.size_sigma, self.size_sigma])

    @property
    def measure_shares(self) -> Array:
        return np.full(4, self.measure)

    @property
    def weak_shares(self) -> Array:
        return np.full(4, self.weak)


def to_center(boxes: Array) -> Array:
    """x1, y1, x2, y2 [N, 4] to cx, cy, w, h [N, 4]."""
    size = boxes[:, 2:] - boxes[:, :2]
    return np.concatenate((boxes[:, :2] + size / 2, size), axis=1)


def to_corners(centers: Array) -> Array:
    """cx, cy, w, h [N, 4] to x1, y1, x2, y2 [N, 4]."""
    half = centers[:, 2:] / 2
    return np.concatenate((centers[:, :2] - half, centers[:, :2] + half), axis=1)


@dataclass(frozen=True, slots=True)
class Beliefs:
    """Gaussian beliefs about N boxes: five arrays [N, 4] in one, `moments` [5, N, 4].

    In order: mean (px), velocity (px/s), and the 2x2 covariance's three different entries:
    variance (px^2), covariance (px^2/s), velocity's variance (px^2/s^2).
    """

    moments: Array

    @property
    def mean(self) -> Array:
        mean: Array = self.moments[0]
        return mean

    @property
    def variance(self) -> Array:
        variance: Array = self.moments[2]
        return variance

    @property
    def boxes(self) -> Array:
        """x1, y1, x2, y2 [N, 4] px."""
        return to_corners(self.mean)

    def take(self, index: Index) -> Beliefs:
        return Beliefs(self.moments[:, index])

    def replaced(self, index: Index, part: Beliefs) -> Beliefs:
        """These, with `part` at the places `index`."""
        moments = self.moments.copy()
        moments[:, index] = part.moments
        return Beliefs(moments)

    def joined(self, other: Beliefs) -> Beliefs:
        return Beliefs(np.concatenate((self.moments, other.moments), axis=1))


def _variance(centers: Array, shares: Array) -> Array:
    """Variances [N, 4] from standard deviations given as shares of the height, [4] or [N, 4]."""
    return np.square(centers[:, 3:] * shares)


def born(boxes: Array, model: MotionModel) -> Beliefs:
    """Beliefs about boxes [N, 4] px measured once: position as exact as the measurement, velocity unknown."""
    mean = _sane(to_center(boxes))
    none = np.zeros_like(mean)
    place, pace = _variance(mean, model.measure_shares), _variance(mean, model.sigma_shares)
    return Beliefs(np.stack((mean, none, place, none, pace)))


def predict(now: Beliefs, dt: Array, model: MotionModel) -> Beliefs:
    """`now` predicted `dt` [N] seconds (>= 0) ahead."""
    mean, velocity, var, cov, velocity_var = now.moments
    tau = model.taus
    share = dt[:, None] / tau
    keep = np.exp(-share)
    lost = 1.0 - keep
    reach = tau * lost
    steady = _variance(mean, model.sigma_shares)
    # Exact discretisation; the bracket is 2/3 (dt/tau)^3 for small steps, where rounding may go below 0.
    noise = tau**2 * np.maximum(2.0 * share - 2.0 * lost - lost**2, 0.0)
    ahead = _sane(mean + reach * velocity)
    place = var + 2.0 * reach * cov + reach**2 * velocity_var + noise * steady
    both = keep * (cov + reach * velocity_var) + tau * lost**2 * steady
    pace = keep**2 * velocity_var + (1.0 - keep**2) * steady
    return Beliefs(np.stack((ahead, keep * velocity, place, both, pace)))


def correct(now: Beliefs, boxes: Array, weak: NDArray[np.bool_], model: MotionModel) -> Beliefs:
    """`now` after boxes [N, 4] px were measured; `weak` [N] marks low-score boxes, which are less exact."""
    mean, velocity, var, cov, velocity_var = now.moments
    shares = np.where(weak[:, None], model.weak_shares, model.measure_shares)
    spread = var + _variance(mean, shares)
    gain, velocity_gain = var / spread, cov / spread
    miss = to_center(boxes) - mean
    rest = 1.0 - gain
    place = _sane(mean + gain * miss)
    pace = velocity_var - velocity_gain * cov
    return Beliefs(np.stack((place, velocity + velocity_gain * miss, rest * var, rest * cov, pace)))


def _sane(mean: Array) -> Array:
    np.maximum(mean[:, 2:], _MIN_SIZE, out=mean[:, 2:])
    return mean
