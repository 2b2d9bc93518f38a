"""Runs a study: makes every form, measures every variant with the baselines, evaluates it, and stores the results."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detector.core.errors import ModelError
from detector.core.files import file_sha256, key_of
from detector.core.progress import Progress, quiet
from detector.inference.input_sizes import InputSize
from detector.models.accuracy.matches import Drop, Matches, drop_of

from .child_process import Child
from .forms import MAKERS, Making
from .grid import variants
from .measure import Speed, measure
from .power import PowerMeter
from .request import EAGER, ORT, StudyRequest, baselines, versions
from .results_cache import Cells
from .settle import Settled
from .subject import StudySubject, subject
from .variant import MODEL, Variant, VariantForm

VERSION = 3
"""Of what a cell says: raised whenever cells kept by an older program must not be read."""

_GROUP = 6
"""Variants that are measured together: more share their baselines, fewer are lost when it is stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A measured variant: `baselines` by name, measured in the same rounds; a text says why there is none.

    `accuracy` maps a set's name to its `ap` and `ap50`, `drops` to the loss against the model in FP32; `bytes` is the
    file's size.
    """

    variant: Variant
    key: str
    sha256: str
    bytes: int
    speed: Speed
    baselines: dict[str, Speed | str]
    accuracy: dict[str, dict[str, float]]
    drops: dict[str, Drop]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyOutcome:
    """`failed` says of each variant that could not be measured why; `reference` is ONNX Runtime FP32's accuracy.

    `settled` is how the fastest compare, measured again together; None where there was nothing to settle.
    """

    cells: list[Cell]
    failed: dict[Variant, str]
    reference: dict[str, dict[str, float]]
    eager: dict[str, dict[str, float]] | None
    files: dict[VariantForm, Path]
    sensor: str | None
    settled: Settled | None = None


class Study:
    """One run over the grid; what was finished before is taken from the folder `cells` in `request.out`."""

    def __init__(self, request: StudyRequest, *, progress: Progress = quiet, meter: PowerMeter | None = None) -> None:
        self._request = request
        self._cells = Cells(request.out / "cells")
        self._accuracy = Cells(request.out / "cells" / "accuracy")
        self._progress = progress
        self._meter = PowerMeter() if meter is None else meter
        self._files: dict[VariantForm, Path] = {}
        self._failed: dict[Variant, str] = {}
        self._digests: dict[Path, str] = {}
        self._drops: dict[str, dict[str, Drop]] = {}
        self._done = 0
        self._total: int | None = None

    @property
    def finished(self) -> tuple[int, int]:
        """How many variants are kept, and of how many."""
        grid = variants(self._request.limits)
        return sum(1 for variant in grid if self._kept(variant) is not None), len(grid)

    def run(self) -> StudyOutcome:
        """Raises DetectorError where nothing can be measured or kept; a variant's own failure is no such thing."""
        grid = variants(self._request.limits)
        self._make(grid)
        todo = [v for v in grid if v not in self._failed and self._kept(v) is None]
        groups = list(_groups(todo))
        self._total = self._done + sum(len(g) + 4 for g in groups) * (self._request.rounds + 1)
        for group in groups:
            self._measure(group)
        cells = [cell for variant in grid if (cell := self._kept(variant)) is not None]
        return StudyOutcome(
            cells=cells,
            failed=self._failed,
            reference=self._of_baseline(ORT) or {},
            eager=self._of_baseline(EAGER),
            files=self._files,
            sensor=self._meter.sensor,
        )

    def _digest(self, path: Path) -> str:
        if path not in self._digests:
            self._digests[path] = file_sha256(path)
        return self._digests[path]

    def _step(self, what: str, count: int = 1) -> None:
        self._done += count
        self._progress(self._done, self._total, what)

    def _make(self, grid: Sequence[Variant]) -> None:
        """Each form's file; what cannot be made fails its variants."""
        forms = list(dict.fromkeys(variant.form for variant in grid))
        for form in forms:
            self._progress(self._done, self._total, f"making {form}")
            try:
                self._files[form] = self._made(form)
            except ModelError as error:
                for variant in grid:
                    if variant.form == form:
                        self._failed[variant] = str(error)

    def _made(self, form: VariantForm) -> Path:
        request, calibration = self._request, self._request.calibration
        making = Making(
            path=request.path if form.source == MODEL else request.candidates[form.source],
            shape=form.shape,
            person_only=form.person_only,
            pictures=() if calibration is None else calibration.pictures,
            spec=request.spec,
        )
        return MAKERS[form.precision].make(making)

    def _measure(self, group: Sequence[Variant]) -> None:
        request, threads, shape = self._request, group[0].runtime.threads, group[0].form.shape
        against = baselines(request, shape, threads)
        subjects = {variant: subject(variant, self._files[variant.form], request.spec) for variant in group}
        judged = {*subjects.values(), *(against[name] for name in (ORT, EAGER) if name in against)}

        def judge(child: Child) -> None:
            if child.subject in judged:
                self._step(f"judging {child.subject.label}")
                self._judge(child)

        found = measure(
            [*against.values(), *subjects.values()],
            request.sets[0].timed(),
            rounds=request.rounds,
            meter=self._meter,
            judge=judge,
            progress=lambda: self._step(f"{len(group)} variants at {shape[0]}x{shape[1]}"),
        )
        references = {name: found[one] for name, one in against.items()}
        if isinstance(reference := references[ORT], str):
            raise ModelError(f"{request.path.name} does not run as it is: {reference}")
        for variant, one in subjects.items():
            speed = found[one]
            if isinstance(speed, str):
                self._failed[variant] = speed
                continue
            beside = {name: s if isinstance(s, str) else dataclasses.asdict(s) for name, s in references.items()}
            document = {"speed": dataclasses.asdict(speed), "baselines": beside}
            self._cells.put(self._key(variant), document)

    def _judge(self, child: Child) -> None:
        """Measures its accuracy, once for all numbers of threads."""
        key = self._accuracy_key(child.subject)
        if self._accuracy.get(key) is None:
            self._accuracy.put(key, {one.name: child.evaluate(one) for one in self._request.sets})

    def _of_baseline(self, name: str) -> dict[str, dict[str, float]] | None:
        request = self._request
        one = baselines(request, request.base, 1).get(name)
        found = None if one is None else self._accuracy.get(self._accuracy_key(one))
        return None if found is None else _figures(found)

    def _dropped(self, key: str, found: dict[str, Any]) -> dict[str, Drop]:
        """By set: the loss against the model as it is, with its bound; raises KeyError, TypeError or ValueError."""
        if key not in self._drops:
            request = self._request
            original = self._accuracy.get(self._accuracy_key(baselines(request, request.base, 1)[ORT])) or {}
            self._drops[key] = {
                name: drop_of(Matches.from_json(original[name]["matches"]), Matches.from_json(each["matches"]))
                for name, each in found.items()
            }
        return self._drops[key]

    def _accuracy_key(self, one: StudySubject) -> str:
        sets = [each.digest for each in self._request.sets]
        return key_of(
            VERSION, self._digest(Path(one.path)), one.engine, one.half, one.shape, one.spec, sets, versions()
        )

    def _key(self, variant: Variant) -> str:
        request = self._request
        parts = (
            variant,
            self._digest(self._files[variant.form]),
            request.sha256,
            request.checkpoint and self._digest(request.checkpoint),
            request.spec,
            request.rounds,
            [each.digest for each in request.sets],
        )
        return key_of(VERSION, versions(), *parts)

    def _kept(self, variant: Variant) -> Cell | None:
        if variant.form not in self._files:
            return None
        key, file = self._key(variant), self._files[variant.form]
        judged = self._accuracy_key(subject(variant, file, self._request.spec))
        found, accuracy = self._cells.get(key), self._accuracy.get(judged)
        if found is None or accuracy is None:
            return None
        try:
            return Cell(
                variant=variant,
                key=key,
                sha256=self._digest(file),
                bytes=file.stat().st_size,
                speed=Speed.from_json(found["speed"]),
                baselines={n: s if isinstance(s, str) else Speed.from_json(s) for n, s in found["baselines"].items()},
                accuracy=_figures(accuracy),
                drops=self._dropped(judged, accuracy),
            )
        except (KeyError, TypeError, ValueError):  # a truncated or edited file
            return None


def _figures(kept: dict[str, Any]) -> dict[str, dict[str, float]]:
    """By set: what is shown of an accuracy."""
    return {name: {figure: found[figure] for figure in ("ap", "ap50", "images")} for name, found in kept.items()}


def _groups(todo: Sequence[Variant]) -> Iterator[list[Variant]]:
    """At most `_GROUP` with the same number of threads and the same input."""

    def kind(variant: Variant) -> tuple[int, InputSize]:
        return variant.runtime.threads, variant.form.shape

    for _, same in itertools.groupby(sorted(todo, key=kind), key=kind):
        left = list(same)
        count = -(-len(left) // _GROUP)
        size = -(-len(left) // count)  # even groups: no variant is measured alone
        yield from (left[start : start + size] for start in range(0, len(left), size))
