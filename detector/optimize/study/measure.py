"""Measures speed interleaved: in every round each subject runs a short burst, in rotating order."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from detector.core.errors import InferenceError, ModelError

from .child_process import Child
from .power import PowerMeter
from .subject import StudySubject

BURST = 3
"""Counted runs in a burst, after one that is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Of one subject: ms from picture in hand to boxes, `infer_ms` of it the model's; watts and joules a picture.

    `round_ms` is the median of each round: those of one group ran in the same rounds, so they can be paired.
    """

    p50_ms: float
    p99_ms: float
    infer_ms: float
    samples: int
    peak_mib: float | None
    watts: float | None
    version: str
    precision: str
    round_ms: tuple[float, ...] = ()

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Speed:
        """What dataclasses.asdict made, after JSON; raises KeyError or TypeError for anything else."""
        return cls(**{**document, "round_ms": tuple(document["round_ms"])})


@dataclass(slots=True)
class _RunSamples:
    total: list[float] = field(default_factory=list)
    infer: list[float] = field(default_factory=list)
    watts: list[float] = field(default_factory=list)
    rounds: list[float] = field(default_factory=list)
    peak: float | None = None


def measure(
    subjects: Sequence[StudySubject],
    pictures: Sequence[Path],
    *,
    rounds: int,
    meter: PowerMeter,
    judge: Callable[[Child], None],
    progress: Callable[[], None],
) -> dict[StudySubject, Speed | str]:
    """The speed of each subject, or why it has none; `progress` is called once a subject and round.

    Then `judge` is called with each child that ran, while it is there. Raises what `judge` raises but for
    InferenceError, which becomes the subject's reason.
    """
    found: dict[StudySubject, Speed | str] = {}
    with ExitStack() as stack:
        children: dict[StudySubject, Child] = {}
        for subject in subjects:
            try:
                children[subject] = stack.enter_context(Child(subject))
            except ModelError as error:
                found[subject] = str(error)
        samples = {subject: _RunSamples() for subject in children}
        for turn in range(rounds):
            order = list(children)
            for place in range(len(order)):
                subject = order[(turn + place) % len(order)]  # so that none always runs after the same other
                try:
                    _burst(children[subject], pictures[turn % len(pictures)], samples[subject], meter)
                except InferenceError as error:
                    found[subject] = str(error)
                    children.pop(subject).close()
                progress()
        for subject, child in children.items():
            found[subject] = _speed(samples[subject], child)
            try:
                judge(child)
            except InferenceError as error:
                found[subject] = str(error)
            child.close()
    return found


def _burst(child: Child, picture: Path, samples: _RunSamples, meter: PowerMeter) -> None:
    meter.start()
    burst = child.run(picture, BURST)
    watts = meter.stop()
    samples.total += burst.total_ms
    samples.infer += burst.infer_ms
    samples.rounds.append(statistics.median(burst.total_ms))
    samples.peak = burst.peak_mib
    if watts is not None:
        samples.watts.append(watts)


def _speed(samples: _RunSamples, child: Child) -> Speed:
    return Speed(
        p50_ms=float(np.percentile(samples.total, 50)),
        p99_ms=float(np.percentile(samples.total, 99)),
        infer_ms=float(np.percentile(samples.infer, 50)),
        samples=len(samples.total),
        peak_mib=samples.peak,
        watts=float(np.mean(samples.watts)) if samples.watts else None,
        version=child.versions["version"],
        precision=child.versions["precision"],
        round_ms=tuple(samples.rounds),
    )
