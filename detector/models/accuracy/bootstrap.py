"""The paired bootstrap over pictures: how large a loss may be, given that other pictures could have been drawn.

Pictures are drawn again with replacement, the same ones for the reference and for the candidate, so that what is hard
in a picture cancels out (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 8 and 13).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.9
"""Of the bound: with this probability the loss on pictures like these is no larger (one-sided)."""

FEWEST = 8
"""Pictures with persons: with fewer, drawing again shows too little of what other pictures would."""

_DRAWS, _MANY, _DRAWS_OF_MANY = 1000, 500, 200  # many pictures take long to draw, and give steadier bounds
_SEED = 20_261_201  # any: the same pictures give the same bound

Weights = NDArray[np.int64]
"""How often each picture was drawn, [pictures]."""


def upper_bound(loss: Callable[[Weights], float], pictures: int, *, level: float = LEVEL) -> float:
    """The percentile bound of `loss`, a function of how often each of the pictures counts; NaN counts as the worst.

    The bound is never below the loss with each picture counted once.
    """
    random = np.random.default_rng(_SEED)
    share = np.full(pictures, 1.0 / pictures)
    draws = _DRAWS if pictures <= _MANY else _DRAWS_OF_MANY
    drawn = np.array([loss(random.multinomial(pictures, share).astype(np.int64)) for _ in range(draws)])
    found = np.sort(np.where(np.isnan(drawn), np.inf, drawn))
    bound = float(found[max(0, int(np.ceil(level * draws)) - 1)])
    return max(bound, float(loss(np.ones(pictures, np.int64))))
