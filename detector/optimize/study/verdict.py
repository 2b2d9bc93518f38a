"""Makes a study's document from its measurements: factors, Pareto front, winner."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from detector import __version__
from detector.core.system_info import machine

from .factors import Lever, levers
from .measure import Speed
from .pareto import Point, front, winner
from .request import BASELINES, EAGER, FOLDED, ORT, SAME_INPUT, StudyRequest, versions
from .study import Cell, StudyOutcome

Document = dict[str, Any]


def document(request: StudyRequest, outcome: StudyOutcome) -> Document:
    """All that report.json says. Times are brought to one scale; see `_rows`."""
    unit = _units(outcome.cells)
    rows = _rows(request, outcome, unit)
    points = [Point(key=row["key"], ms=row["p50_ms"], drop=row["drop"]) for row in rows]
    best = winner(points, request.max_drop)
    on_front = [point.key for point in front(points)]
    for row in rows:
        row["on_front"] = row["key"] in on_front
        row["within_budget"] = row["drop"] <= request.max_drop + 1e-9
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
        "sets": [{"name": one.name, "pictures": len(one.files)} for one in request.sets],
        "calibration": used and {"pictures": len(used.pictures), "sha256": used.digest, "shared": used.shared},
        "power": outcome.sensor or "no sensor",
        "rounds": request.rounds,
        "reference": outcome.reference,
        "eager_accuracy": outcome.eager,
        "baselines": _baselines(outcome.cells, request),
        "noise": _noise(outcome.cells, request),
        "cells": sorted(rows, key=lambda row: float(row["p50_ms"])),
        "failed": [{"label": str(variant), "reason": why} for variant, why in outcome.failed.items()],
        "front": on_front,
        "winner": None if best is None else best.key,
        "levers": [dataclasses.asdict(lever) for lever in [*_folding(outcome.cells), *levers(ms, drops, request.base)]],
    }


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
    for cell in outcome.cells:
        reference = cell.baselines[ORT]
        assert isinstance(reference, Speed)  # a group without it is not kept
        scale = unit[cell.variant.runtime.threads] / reference.p50_ms
        speed = cell.speed
        p50 = speed.p50_ms * scale
        drops = {name: (outcome.reference[name]["ap"] - found["ap"]) * 100 for name, found in cell.accuracy.items()}
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
                "drop": max(drops.values()),
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
