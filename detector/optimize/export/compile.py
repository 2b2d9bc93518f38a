"""Stores a model in a runtime's own format, and measures what that saves."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from detector.core.errors import ModelError
from detector.core.types import Image
from detector.inference.agreement import Limits, Verdict
from detector.inference.backends.onnxruntime import save_optimised
from detector.inference.backends.openvino import save_ir
from detector.inference.detector import PersonDetector
from detector.inference.factory import load_detector
from detector.inference.spec import InputSpec
from detector.models.accuracy.gate import compare

Target = Literal["onnxruntime", "openvino"]
SUFFIXES: dict[Target, str] = {"onnxruntime": ".ort.onnx", "openvino": ".xml"}
_PAYS = 0.95  # of the time before: what is nearer is noise
_LIMITS = Limits(min_persons=1)  # the file computes what it computed before: one person is enough to see that


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """Medians in ms, one thread, taken in turns. `plain` is the ONNX file in the same runtime, `base` in ONNX Runtime.

    `verdict`: how the compiled file's detections stand against ONNX Runtime's of the ONNX file.
    """

    target: Target
    size: int
    verdict: Verdict
    load_ms: float
    plain_load_ms: float
    base_load_ms: float
    run_ms: float
    plain_run_ms: float
    base_run_ms: float

    @property
    def paid(self) -> str:
        """What it was good for, in words."""
        found = []
        if self.load_ms < _PAYS * self.plain_load_ms:
            found.append(f"it loads in {self.load_ms / self.plain_load_ms:.0%} of the time")
        if self.run_ms < _PAYS * self.plain_run_ms:
            found.append(f"it runs in {self.run_ms / self.plain_run_ms:.0%} of the time")
        if self.run_ms < _PAYS * self.base_run_ms and self.target != "onnxruntime":
            found.append(f"the runtime takes {self.run_ms / self.base_run_ms:.0%} of ONNX Runtime's time")
        return "; ".join(found) or "it did not pay: neither loading nor running is faster than with the ONNX file"


def compile_model(
    source: Path,
    output: Path,
    target: Target,
    pictures: Sequence[Image],
    *,
    spec: InputSpec | None = None,
    runs: int = 15,
) -> Compiled:
    """Writes `source` compiled for `target`; raises ModelError, and writes nothing when its detections differ.

    On `pictures`, of which at least one must show a person.
    """
    save = save_ir if target == "openvino" else save_optimised
    save(source, output)
    try:
        return _measured(source, output, target, pictures, spec, runs)
    except BaseException:
        for path in _files(output, target):
            path.unlink(missing_ok=True)
        raise


def _files(output: Path, target: Target) -> tuple[Path, ...]:
    return (output, output.with_suffix(".bin")) if target == "openvino" else (output,)


def _measured(
    source: Path, output: Path, target: Target, pictures: Sequence[Image], spec: InputSpec | None, runs: int
) -> Compiled:
    opened: dict[str, Callable[[], PersonDetector]] = {
        "compiled": lambda: load_detector(path=output, name="compiled", spec=spec, backend=target, threads=1),
        "plain": lambda: load_detector(path=source, name="plain", spec=spec, backend=target, threads=1),
        "base": lambda: load_detector(path=source, name="base", spec=spec, backend="onnxruntime", threads=1),
    }
    loads = _load_times(opened)
    detectors = {name: load() for name, load in opened.items()}
    try:
        verdict = compare(detectors["base"], detectors["compiled"], pictures, limits=_LIMITS)
        if not verdict.accepted:
            raise ModelError(f"{source.name} compiled for {target} is not what it was: {verdict.why}; nothing was kept")
        times = _run_times(detectors, pictures[0], runs)
    finally:
        for detector in detectors.values():
            detector.close()
    return Compiled(
        target=target,
        size=sum(path.stat().st_size for path in _files(output, target)),
        verdict=verdict,
        load_ms=loads["compiled"], plain_load_ms=loads["plain"], base_load_ms=loads["base"],
        run_ms=times["compiled"], plain_run_ms=times["plain"], base_run_ms=times["base"],
    )  # fmt: skip


def _load_times(opened: dict[str, Callable[[], PersonDetector]], repeats: int = 3) -> dict[str, float]:
    """From the file to the first result, best of a few: the first ones read from the disk."""
    best: dict[str, float] = {}
    for _ in range(repeats):
        for name, load in opened.items():
            begun = time.perf_counter()
            load().close()
            best[name] = min(best.get(name, float("inf")), (time.perf_counter() - begun) * 1e3)
    return best


def _run_times(detectors: dict[str, PersonDetector], picture: Image, runs: int) -> dict[str, float]:
    """Medians of the bare model, in turns, so that what else the machine does falls on all alike."""
    found: dict[str, list[float]] = {name: [] for name in detectors}
    for detector in detectors.values():
        detector.detect_image(picture)
    for _ in range(runs):
        for name, detector in detectors.items():
            found[name].append(detector.run_bare())
    return {name: statistics.median(times) for name, times in found.items()}
