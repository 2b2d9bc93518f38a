"""The figures of the last hour and day, for small plots: kept in memory, a restart begins anew."""

from __future__ import annotations

import statistics
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from detector.core.clock import Clock

STEP_S: Final = 10.0
DAY_STEP_S: Final = 300.0
HOUR_POINTS, DAY_POINTS = 360, 288

Figure = float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureSample:
    """One moment, `wall` in epoch s; figures by `NAME` of the camera, or "" for the whole device, then by key."""

    wall: float
    figures: Mapping[str, Mapping[str, Figure]]


class FigureHistory:
    """`tick` from one thread, often; `document` from any. `status` gives the status document."""

    def __init__(self, *, status: Callable[[], Mapping[str, Any]], clock: Clock) -> None:
        self._status, self._clock = status, clock
        self._lock = threading.Lock()
        self._hour: deque[FigureSample] = deque(maxlen=HOUR_POINTS)
        self._day: deque[FigureSample] = deque(maxlen=DAY_POINTS)
        self._part: list[FigureSample] = []  # of the day's next point
        self._next_mono = clock.mono()

    def tick(self) -> None:
        """Take a sample, where the last one is `STEP_S` ago."""
        now = self._clock.mono()
        if now < self._next_mono:
            return
        self._next_mono = now + STEP_S
        sample = FigureSample(wall=self._clock.wall(), figures=_figures(self._status()))
        with self._lock:
            self._hour.append(sample)
            self._part.append(sample)
            if len(self._part) * STEP_S >= DAY_STEP_S:
                self._day.append(_joined(self._part))
                self._part = []

    def document(self, *, day: bool) -> dict[str, Any]:
        """As `api.figure_documents.FigureSeries` names it: of the last day, or of the last hour."""
        with self._lock:
            samples = [*self._day, *([_joined(self._part)] if self._part else [])] if day else list(self._hour)
        return {
            "step_s": DAY_STEP_S if day else STEP_S,
            "times": [round(sample.wall, 1) for sample in samples],
            "series": _series(samples),
        }


def _figures(status: Mapping[str, Any]) -> dict[str, dict[str, Figure]]:
    infer = status["model"]["infer_ms"]
    found: dict[str, dict[str, Figure]] = {"": {"infer_p50_ms": infer["p50"], "infer_p99_ms": infer["p99"]}}
    for name, camera in status["cameras"].items():
        found[name] = {
            "detect_fps": camera["detect_fps"],
            "people": camera["people"],
            "latency_p50_ms": camera["latency_ms"]["p50"],
            "latency_p99_ms": camera["latency_ms"]["p99"],
        }
    return found


def _joined(samples: list[FigureSample]) -> FigureSample:
    """One sample of several: means, but the most people and the worst p99."""
    names = dict.fromkeys(name for sample in samples for name in sample.figures)
    figures = {}
    for name in names:
        rows = [sample.figures[name] for sample in samples if name in sample.figures]
        figures[name] = {key: _one(key, [value for row in rows if (value := row[key]) is not None]) for key in rows[0]}
    return FigureSample(wall=samples[-1].wall, figures=figures)


def _one(key: str, values: list[float]) -> Figure:
    if not values:
        return None
    return max(values) if key == "people" or "p99" in key else statistics.fmean(values)


def _series(samples: list[FigureSample]) -> dict[str, dict[str, list[Figure]]]:
    """By camera and key, one value a sample; None where the camera was not there or nothing was measured."""
    keys = {name: tuple(rows) for sample in samples for name, rows in sample.figures.items()}
    return {
        name: {key: [_rounded(sample.figures.get(name, {}).get(key)) for sample in samples] for key in rows}
        for name, rows in keys.items()
    }


def _rounded(value: Figure) -> Figure:
    return None if value is None else round(value, 2)
