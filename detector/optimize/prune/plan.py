"""The plan of a pruning job: its phases and how long each takes here, from one measured step; and one bar over all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from detector.core.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """`seconds` are estimated; a phase that an earlier run finished is `done`."""

    name: str
    what: str
    seconds: float
    done: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunePlan:
    """The phases in order; `kept` is the folder that holds what is done, `resumed` what an earlier run left there."""

    phases: Sequence[Phase]
    kept: str
    resumed: str | None = None
    note: str | None = None

    @property
    def seconds(self) -> float:
        """Of what is left."""
        return sum(phase.seconds for phase in self.phases if not phase.done)

    def lines(self) -> list[str]:
        """For people."""
        rows = [
            f"  {phase.what}: {'done' if phase.done else f'about {duration(phase.seconds)}'}" for phase in self.phases
        ]
        head = f"plan: about {duration(self.seconds)} in all, by one step of each kind measured now"
        tail = f"kept in {self.kept} at least once a minute: after a stop the same command continues"
        notes = [text for text in (self.note, self.resumed) if text]
        return [head, *rows, tail, *notes]


class Bar:
    """Turns each phase's progress into seconds of the whole plan."""

    def __init__(self, plan: PrunePlan, report: Progress) -> None:
        self._report = report
        self._starts, self._phases, passed = dict[str, float](), dict[str, Phase](), 0.0
        for phase in plan.phases:
            self._starts[phase.name], self._phases[phase.name] = passed, phase
            passed += phase.seconds
        self._total = max(1, round(passed))

    def of(self, name: str) -> Progress:
        """What a phase reports to; done and total in whatever it counts."""
        phase, start = self._phases[name], self._starts[name]

        def report(done: int, total: int | None, what: str) -> None:
            share = min(1.0, done / total) if total else 0.0
            self._report(min(self._total, round(start + share * phase.seconds)), self._total, what)

        report(0, None, name)
        return report


def duration(seconds: float) -> str:
    """Such as 40 s, 12 min, 1 h 10 min."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
