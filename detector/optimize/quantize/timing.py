"""Times bare model runs in turns, so that other load on the machine affects all alike."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from detector.inference.detector import PersonDetector

ROUNDS = 15


def race(detectors: Sequence[PersonDetector], *, rounds: int = ROUNDS) -> list[float]:
    """Each detector's ms of a bare run on a grey picture, the lower quartile; ratios are what they are good for.

    Load them with one thread: two that wait for each other's cores say more of the machine than of the model.
    """
    for detector in detectors:
        detector.warm_up()
        detector.run_bare()
    samples: list[list[float]] = [[] for _ in detectors]
    for turn in range(rounds):
        for place in range(len(detectors)):
            index = (turn + place) % len(detectors)  # so that none always runs after the same other
            samples[index].append(detectors[index].run_bare())
    return [statistics.quantiles(each, n=4)[0] for each in samples]
