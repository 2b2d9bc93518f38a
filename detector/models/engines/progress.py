"""TensorRT's nested phases as one progress value that never decreases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, SupportsInt

from detector.core.progress import Progress

if TYPE_CHECKING:
    import tensorrt as trt

Cancelled = Callable[[], bool]
TOTAL = 1000


@dataclass(slots=True)
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


class Phases:
    """The open phases and their progress: TensorRT's IProgressMonitor without TensorRT."""

    def __init__(self, report: Progress, cancelled: Cancelled) -> None:
        self._report, self._cancelled = report, cancelled
        self._open: dict[str, _Phase] = {}
        self._shown = 0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        self._open[name] = _Phase(parent, max(1, steps))
        self._notify(name)

    def step(self, name: str, step: int) -> bool:
        """False ends the build."""
        if name in self._open:
            self._open[name].done = step + 1
            self._notify(name)
        return not self._cancelled()

    def finish(self, name: str) -> None:
        self._open.pop(name, None)

    def _notify(self, name: str) -> None:
        # Phases of unknown cost begin and end: the value shown never decreases.
        self._shown = max(self._shown, int(TOTAL * self._fraction(name)))
        self._report(min(self._shown, TOTAL), TOTAL, name)

    def _fraction(self, name: str) -> float:
        phase: _Phase | None = self._open[name]
        inner = 0.0
        while phase is not None:
            inner = min(1.0, (min(phase.done, phase.steps) + inner) / phase.steps)
            phase = None if phase.parent is None else self._open.get(phase.parent)
        return inner


def monitor(phases: Phases) -> trt.IProgressMonitor:
    """`phases` as TensorRT's IProgressMonitor. Its methods must not raise: they are called from C++."""
    from detector.inference.tensorrt.library import trt

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: SupportsInt) -> None:
            phases.start(phase_name, parent_phase, int(num_steps))

        def step_complete(self, phase_name: str, step: SupportsInt) -> bool:
            return phases.step(phase_name, int(step))

        def phase_finish(self, phase_name: str) -> None:
            phases.finish(phase_name)

    return Monitor()
