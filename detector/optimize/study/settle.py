"""Measures the fastest variants again, all in the same rounds, until they separate or time is up; the rest is a tie."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from detector.core.errors import InferenceError, ModelError

from .child_process import Child
from .measure import BURST
from .noise import Ratio, ratio
from .subject import StudySubject

SECONDS = 60.0
MOST = 6
"""Variants that are measured again: more share too few rounds."""

_FIRST, _EVERY = 8, 4  # rounds before the first look, and between two
_LEVEL = 0.99  # looked at many times, a narrower interval would separate what is the same
_ALIKE = 0.02  # nearer than this is a tie however long it is measured: two processes of one file differ by as much


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """`ratios` by key: each one's time over the fastest's, with its interval (99 %); `tied` cannot be told from it.

    `rounds` were run in `seconds`, of `limit_s` allowed.
    """

    fastest: str
    ratios: Mapping[str, Ratio]
    tied: tuple[str, ...]
    rounds: int
    seconds: float
    limit_s: float


def settle(
    leaders: Mapping[str, StudySubject],
    pictures: Sequence[Path],
    *,
    limit_s: float = SECONDS,
    progress: Callable[[float], None] = lambda _seconds: None,
    clock: Callable[[], float] = time.monotonic,
) -> Settled | None:
    """How the `leaders` (by key) compare; None where fewer than two of them run. `progress` is given seconds spent."""
    with ExitStack() as stack:
        children: dict[str, Child] = {}
        for key, subject in leaders.items():
            try:
                children[key] = stack.enter_context(Child(subject))
            except ModelError:  # it ran a moment ago, so memory is short: the others are settled without it
                continue
        if len(children) < 2:
            return None
        return _settled(children, pictures, limit_s, progress, clock)


def _settled(
    children: dict[str, Child],
    pictures: Sequence[Path],
    limit_s: float,
    progress: Callable[[float], None],
    clock: Callable[[], float],
) -> Settled | None:
    started, turn = clock(), 0
    times: dict[str, list[float]] = {key: [] for key in children}
    ratios: dict[str, Ratio] = {}
    while True:
        _round(children, times, pictures[turn % len(pictures)], turn)
        turn += 1
        spent = clock() - started
        progress(spent)
        if len(children) < 2:
            return None
        look = turn >= _FIRST and turn % _EVERY == 0
        if look or spent >= limit_s:
            fastest, found = compared(times, list(children))
            ratios |= found
            for key in [key for key, each in found.items() if key != fastest and each.low > 1.0 + _ALIKE]:
                children.pop(key).close()  # separated: the time left is the others'
            undecided = [key for key in children if key != fastest and not _alike(found[key])]
            if not undecided or spent >= limit_s:
                tied = tuple(children) if len(children) > 1 else ()
                return Settled(
                    fastest=fastest, ratios=ratios, tied=tied, rounds=turn, seconds=round(spent, 1), limit_s=limit_s
                )


def compared(times: Mapping[str, Sequence[float]], among: Sequence[str]) -> tuple[str, dict[str, Ratio]]:
    """The fastest of them by the median over all rounds, and each one's time over its, paired by round."""
    fastest = min(among, key=lambda key: (statistics.median(times[key]), key))
    return fastest, {key: ratio(times[key], times[fastest], level=_LEVEL) for key in among}


def _alike(found: Ratio) -> bool:
    return found.low > 1.0 - _ALIKE and found.high < 1.0 + _ALIKE


def _round(children: dict[str, Child], times: dict[str, list[float]], picture: Path, turn: int) -> None:
    order = list(children)
    for place in range(len(order)):
        key = order[(turn + place) % len(order)]  # so that none always runs after the same other
        try:
            times[key].append(statistics.median(children[key].run(picture, BURST).total_ms))
        except InferenceError:
            children.pop(key).close()
