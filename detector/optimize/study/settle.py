"""Measures the fastest variants again, all in the same rounds, until they separate or time is up; the rest is a tie."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
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
_ALIKE_MS = 0.15  # so do those of a model that takes half a millisecond


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

        def started(keys: Sequence[str]) -> dict[str, Child]:
            return _started({key: leaders[key] for key in keys}, stack)

        children = started(list(leaders))
        if len(children) < 2:
            return None
        return _settled(children, started, pictures, limit_s, progress, clock)


def _started(leaders: Mapping[str, StudySubject], stack: ExitStack) -> dict[str, Child]:
    children: dict[str, Child] = {}
    for key, subject in leaders.items():
        # One that does not load ran a moment ago, so memory is short: the others are settled without it.
        with suppress(ModelError):
            children[key] = stack.enter_context(Child(subject))
    return children


def _settled(
    children: dict[str, Child],
    started: Callable[[Sequence[str]], dict[str, Child]],
    pictures: Sequence[Path],
    limit_s: float,
    progress: Callable[[float], None],
    clock: Callable[[], float],
) -> Settled | None:
    began, turn = clock(), 0
    seen: set[tuple[str, str]] = set()
    times: dict[str, list[float]] = {key: [] for key in children}
    ratios: dict[str, Ratio] = {}
    while True:
        _round(children, times, pictures[turn % len(pictures)], turn)
        turn += 1
        spent = clock() - began
        progress(spent)
        if len(children) < 2:
            return None
        rounds, over = max(map(len, times.values())), spent >= limit_s
        if not over and (rounds < _FIRST or rounds % _EVERY):
            continue
        fastest, found = compared(times, list(children))
        ratios |= found
        alike = max(_ALIKE, _ALIKE_MS / statistics.median(times[fastest]))
        separated = [key for key, each in found.items() if key != fastest and each.low > 1.0 + alike]
        new = {(fastest, key) for key in separated} - seen
        for key in separated:
            if (fastest, key) in seen and (key, fastest) not in seen:
                children.pop(key).close()  # separated twice: the time left is the others'
        if new and not over:
            seen |= new
            children = _again(children, started)
            times = {key: [] for key in children}
            continue
        if over or all(key == fastest or _alike(found[key], alike) for key in children):
            tied = tuple(children) if len(children) > 1 else ()
            return Settled(
                fastest=fastest, ratios=ratios, tied=tied, rounds=turn, seconds=round(spent, 1), limit_s=limit_s
            )


def _again(children: Mapping[str, Child], started: Callable[[Sequence[str]], dict[str, Child]]) -> dict[str, Child]:
    """The same in new processes: where one process has its memory makes a difference that its rounds all share."""
    for child in children.values():
        child.close()
    return started(list(children))


def compared(times: Mapping[str, Sequence[float]], among: Sequence[str]) -> tuple[str, dict[str, Ratio]]:
    """The fastest of them by the median over all rounds, and each one's time over its, paired by round."""
    fastest = min(among, key=lambda key: (statistics.median(times[key]), key))
    return fastest, {key: ratio(times[key], times[fastest], level=_LEVEL) for key in among}


def _alike(found: Ratio, bound: float) -> bool:
    return found.low > 1.0 - bound and found.high < 1.0 + bound


def _round(children: dict[str, Child], times: dict[str, list[float]], picture: Path, turn: int) -> None:
    order = list(children)
    for place in range(len(order)):
        key = order[(turn + place) % len(order)]  # so that none always runs after the same other
        try:
            times[key].append(statistics.median(children[key].run(picture, BURST).total_ms))
        except InferenceError:
            children.pop(key).close()
