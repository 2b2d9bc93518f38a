"""Makes a study's document from its measurements: factors, Pareto front, ties, winner."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from detector import __version__
from detector.core.system_info import machine

from .factors import Lever, levers
from .measure import Speed
from .noise import ratio
from .pareto import Point, by_rule, front, leaders
from .request import BASELINES, EAGER, FOLDED, ORT, SAME_INPUT, StudyRequest, versions
from .settle import MOST, Settled
from .study import Cell, StudyOutcome

Document = dict[str, Any]
RULE = "the smaller file, then the name"
"""How a tie is broken."""


def document(request: StudyRequest, outcome: StudyOutcome) -> Document:
    """All that report.json says. Times are brought to one scale; see `_rows`."""
    unit = _units(outcome.cells)
    rows = _rows(request, outcome, unit)
    points = _points(rows)
    best = _best(points, outcome.settled)
    on_front = [point.key for point in front(points)]
    for row in rows:
        row["on_front"] = row["key"] in on_front
    ms = {cell.variant: row["p50_ms"] for cell, row in zip(outcome.cells, rows, strict=True)}
    drops = {cell.variant: row["drop"] for cell, row in zip(outcome.cells, rows, strict=True)}
    used = request.calibration
    return {
        "detector": __version__,
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        "model": {"name": request.name, "sha256": request.sha256, "input": list(request.base)},
        "checkpoint": None if request.checkpoint is None else request.checkpoint.name,
        "max_ap_drop": request.max_drop,
        "sets": [_set(one.name, len(one.files), outcome.cells) for one in request.sets],
        "calibration": used and {"pictures": len(used.pictures), "sha256": used.digest, "note": used.note},
        "power": outcome.sensor or "no sensor",
        "rounds": request.rounds,
        "reference": outcome.reference,
        "eager_accuracy": outcome.eager,
        "baselines": _baselines(outcome.cells, request),
        "noise": _noise(outcome.cells, request),
        "tie": _tie(points, outcome.settled),
        "cells": sorted(rows, key=lambda row: float(row["p50_ms"])),
        "failed": [{"label": str(variant), "reason": why} for variant, why in outcome.failed.items()],
        "front": on_front,
        "winner": None if best is None else best.key,
        "levers": [dataclasses.asdict(lever) for lever in [*_folding(outcome.cells), *levers(ms, drops, request.base)]],
    }


def _set(name: str, pictures: int, cells: Sequence[Cell]) -> Document:
    persons = next((cell.drops[name].persons for cell in cells if name in cell.drops), None)
    return {"name": name, "pictures": pictures, "persons": persons}


def contenders(request: StudyRequest, outcome: StudyOutcome) -> list[str]:
    """The keys of the fastest within the budget that noise does not tell apart; one is the fastest, none is allowed."""
    rows = _rows(request, outcome, _units(outcome.cells))
    return [point.key for point in leaders(_points(rows), MOST)]


def _points(rows: Sequence[Document]) -> list[Point]:
    return [
        Point(
            key=row["key"],
            ms=row["p50_ms"],
            drop=row["drop"],
            low_ms=row["low_ms"],
            high_ms=row["high_ms"],
            allowed=row["within_budget"],
            bytes=row["bytes"],
            name=row["label"],
        )
        for row in rows
    ]


def _tied(points: Sequence[Point], settled: Settled | None) -> list[Point]:
    """Those that share the first place, one of them alone where there is no tie."""
    first = leaders(points, MOST)
    if settled is None:
        return first
    keys = settled.tied or (settled.fastest,)
    return [point for point in first if point.key in keys]


def _best(points: Sequence[Point], settled: Settled | None) -> Point | None:
    tied = _tied(points, settled)
    return by_rule(tied) if tied else None


def _tie(points: Sequence[Point], settled: Settled | None) -> Document | None:
    """Who could not be told apart, by how much they differ, and how it was broken; None where one is the fastest."""
    tied = _tied(points, settled)
    if settled is None and len(tied) < 2:
        return None
    again = (
        None if settled is None else {"rounds": settled.rounds, "seconds": settled.seconds, "limit_s": settled.limit_s}
    )
    rows = []
    for point in leaders(points, MOST):
        found = None if settled is None else settled.ratios.get(point.key)
        interval = None if found is None else [found.median, found.low, found.high]
        rows.append({"key": point.key, "label": point.name, "over_fastest": interval, "tied": point in tied})
    return {"variants": rows, "again": again, "tied": len(tied) > 1, "rule": RULE}


def _units(cells: Sequence[Cell]) -> dict[int, float]:
    """Ms of ONNX Runtime FP32 by number of threads: the median over all groups."""
    found: dict[int, list[float]] = {}
    for cell in cells:
        if isinstance(speed := cell.baselines[ORT], Speed):
            found.setdefault(cell.variant.runtime.threads, []).append(speed.p50_ms)
    return {threads: statistics.median(values) for threads, values in found.items()}


def _rows(request: StudyRequest, outcome: StudyOutcome, unit: dict[int, float]) -> list[Document]:
    """One a cell. A machine is not equally fast all the time: ms are the cell's ratio to the ONNX Runtime baseline of
    its own rounds, times that baseline's median over all rounds. Factors are ratios within the same rounds.
    """
    rows = []
    same = _noise(outcome.cells, request) or 0.0
    for cell in outcome.cells:
        reference = cell.baselines[ORT]
        assert isinstance(reference, Speed)  # a group without it is not kept
        scale = unit[cell.variant.runtime.threads] / reference.p50_ms
        speed = cell.speed
        p50 = speed.p50_ms * scale
        worst = max(cell.drops.values(), key=lambda drop: drop.points)
        least = max(cell.drops.values(), key=lambda drop: drop.bound)
        spread = max(_spread(speed, reference), same / 2)  # two groups' rounds differ as the same thing twice does
        rows.append(
            {
                "key": cell.key,
                "label": str(cell.variant),
                "form": {**dataclasses.asdict(cell.variant.form), "shape": list(cell.variant.form.shape)},
                "runtime": dataclasses.asdict(cell.variant.runtime),
                "computes": speed.precision,
                "sha256": cell.sha256,
                "bytes": cell.bytes,
                "accuracy": cell.accuracy,
                "drop": worst.points,
                "drop_bound": least.bound if math.isfinite(least.bound) else None,
                "within_budget": all(drop.proven(request.max_drop) for drop in cell.drops.values()),
                "not_proven": None if worst.points > request.max_drop else _not_proven(cell, request.max_drop),
                "low_ms": p50 * (1 - spread),
                "high_ms": p50 * (1 + spread),
                "p50_ms": p50,
                "p99_ms": speed.p99_ms * scale,
                "infer_ms": speed.infer_ms * scale,
                "raw_p50_ms": speed.p50_ms,
                "samples": speed.samples,
                "fps": 1000 / p50,
                "peak_mib": speed.peak_mib,
                "watts": speed.watts,
                "joules": None if speed.watts is None else speed.watts * speed.p50_ms / 1000,
                **{
                    f"over_{name}": one.p50_ms / speed.p50_ms
                    if isinstance(one := cell.baselines.get(name), Speed)
                    else None
                    for name in BASELINES
                },
            }
        )
        if rows[-1]["over_eager_same_input"] is None and cell.variant.form.shape == request.base:
            rows[-1]["over_eager_same_input"] = rows[-1]["over_eager"]
    return rows


def _spread(speed: Speed, reference: Speed) -> float:
    """Half the interval of the time over the baseline's, as a share; both ran in the same rounds."""
    if not speed.round_ms or len(speed.round_ms) != len(reference.round_ms):
        return 0.0
    return ratio(speed.round_ms, reference.round_ms).half_width


def _not_proven(cell: Cell, allowed: float) -> str | None:
    """The set on which it is not shown to hold the budget, in words."""
    return next((drop.why(allowed) for drop in cell.drops.values() if not drop.proven(allowed)), None)


def _baselines(cells: Sequence[Cell], request: StudyRequest) -> Document:
    """By name and number of threads: the median ms over the groups, or why there is none."""
    found: Document = {}
    absent = "PyTorch is not installed" if request.checkpoint else "no --checkpoint was given"
    for name, label in BASELINES.items():
        told = [(cell.variant.runtime.threads, cell.baselines[name]) for cell in cells if name in cell.baselines]
        times: dict[int, list[Speed]] = {}
        for threads, speed in told:
            if isinstance(speed, Speed):
                times.setdefault(threads, []).append(speed)
        if name == SAME_INPUT:  # of several sizes: no one number
            continue
        reason = next((speed for _, speed in told if isinstance(speed, str)), None if told else absent)
        found[name] = {
            "label": label,
            "reason": reason,
            "p50_ms": {str(t): statistics.median(s.p50_ms for s in speeds) for t, speeds in sorted(times.items())},
            "infer_ms": {str(t): statistics.median(s.infer_ms for s in speeds) for t, speeds in sorted(times.items())},
            "peak_mib": max((s.peak_mib or 0.0 for speeds in times.values() for s in speeds), default=None),
        }
    return found


def _noise(cells: Sequence[Cell], request: StudyRequest) -> float | None:
    """How far two measurements of the very same thing lie apart, at worst: the baseline is in the grid, too."""
    found = []
    for cell in cells:
        form, runtime = cell.variant.form, cell.variant.runtime
        same = form.precision == "fp32" and not form.person_only and form.shape == request.base
        reference = cell.baselines[ORT]
        if same and runtime.backend == "onnxruntime" and isinstance(reference, Speed):
            found.append(abs(cell.speed.p50_ms / reference.p50_ms - 1))
    return max(found, default=None)


def _folding(cells: Sequence[Cell]) -> list[Lever]:
    """What the exporters' folding of normalisations, and leaving PyTorch, are worth: between the baselines."""
    found = []
    for name, before, after in (
        ("normalisation folded, in PyTorch", EAGER, FOLDED),
        ("ONNX Runtime for PyTorch, folded", FOLDED, ORT),
    ):
        pairs = {(cell.baselines.get(before), cell.baselines.get(after)) for cell in cells}
        factors = [b.p50_ms / a.p50_ms for b, a in pairs if isinstance(b, Speed) and isinstance(a, Speed)]
        if factors:
            found.append(Lever.of(name, factors))
    return found
