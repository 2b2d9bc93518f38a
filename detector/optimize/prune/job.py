"""A whole pruning job: prune, evaluate, fine-tune, evaluate, time, write; with the figures of every stage."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from detector.capture.pictures import folder_pictures, read_picture
from detector.core.errors import ModelError, UsageError
from detector.core.files import file_sha256, key_of
from detector.core.progress import Progress
from detector.core.types import Image
from detector.inference.factory import load_detector
from detector.models.accuracy.average_precision import read_truth
from detector.models.accuracy.gate import LabelledPictures
from detector.models.accuracy.holdout import Purpose, part
from detector.models.accuracy.likeness import likeness
from detector.models.accuracy.matches import Matches, drop_of
from detector.models.registry import sample_pictures
from detector.optimize.export import ultralytics_models
from detector.optimize.export.export import ExportOptions, export
from detector.optimize.export.traceable import from_ultralytics

from .dataset import FEWEST, Dataset
from .finetune import Schedule, finetune, step_seconds
from .importance import sensitivity
from .judging import accuracy, speeds, to_onnx
from .network import keep_deployed, positions, size_of
from .plan import Bar, Phase, PrunePlan
from .prune import check_share, prune
from .work import Work

_JUDGES = 24  # pictures to score the channels with
_SCORED = 7  # times that each of them scores: at first, and as channels go
_PRUNING_S, _EXPORT_S, _WRITE_S, _FIT_S, _READ_S = 4.0, 3.0, 8.0, 6.0, 0.015  # the small parts, s on a slow core


@dataclass(frozen=True, slots=True, kw_only=True)
class Lessons:
    """What to tune with: pictures, annotated or not, the size (w, h px) they are learned at, and for how long."""

    folder: Path
    annotations: Path | None
    size: tuple[int, int]
    steps: int
    epochs: int
    batch: int
    rate: float

    def schedule(self, pictures: int, *, seed: int) -> Schedule:
        """Epochs, where they are what was asked for, in steps."""
        steps = self.steps or max(1, round(self.epochs * pictures / self.batch))
        return Schedule(steps=steps, batch=self.batch, rate=self.rate, seed=seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneRequest:
    """What to prune to which share of its work (`macs`), judged and timed at `size` (w, h px)."""

    model: Path
    output: Path
    macs: float
    size: tuple[int, int]
    truth: LabelledPictures | None
    lessons: Lessons | None
    seed: int = 0

    @property
    def work(self) -> Path:
        """The folder that holds what is done, until all is."""
        return self.output.with_name(f"{self.output.name}.work")


def carry_out(
    order: PruneRequest, *, report: Progress, announce: Callable[[PrunePlan], None] = lambda _plan: None
) -> dict[str, Any]:
    """Writes `order.output` (.pt, or .onnx) and returns the figures; raises DetectorError and writes nothing else.

    `announce` is given the plan, measured by one step of each kind, before anything long starts.
    """
    check_share(order.macs)
    if not order.output.parent.is_dir():
        raise UsageError(f"--output: there is no folder {order.output.parent}")
    report(0, None, "measuring one step of each kind")
    data, truth, note = pictures_of(order)
    with tempfile.TemporaryDirectory(prefix="detector-") as folder:
        return _Job(order, data, truth, note, Path(folder)).run(report, announce)


def pictures_of(order: PruneRequest) -> tuple[Dataset | None, LabelledPictures | None, str | None]:
    """What teaches and what judges, no picture in both; and how they were divided. Raises DetectorError."""
    lessons, truth = order.lessons, order.truth
    if lessons is None:
        return None, truth, None
    data = Dataset(folder=lessons.folder, size=lessons.size, annotations=lessons.annotations)
    if truth is None:
        return data, None, None
    names = [entry["file_name"] for entry in read_truth(truth.annotations, truth.images).images]
    found = part(
        [likeness(read_picture(path, as_stored=True)) for path in data.paths],
        [truth.images / name for name in names],
        purpose=Purpose(option="--data", verb="teach", least=FEWEST),
    )
    if found.note is None:
        return data, truth, None
    out = {path for index, path in enumerate(data.paths) if index not in set(found.kept)}
    kept = frozenset(name for number, name in enumerate(names) if number not in found.held)
    data = Dataset(folder=lessons.folder, size=lessons.size, annotations=lessons.annotations, left_out=out)
    return data, dataclasses.replace(truth, only=kept), found.note


class _Job:
    """One job: each phase takes what an earlier run kept, or does it and keeps it."""

    def __init__(
        self, order: PruneRequest, data: Dataset | None, truth: LabelledPictures | None, note: str | None, folder: Path
    ) -> None:
        self._order, self._data, self._truth, self._note, self._folder = order, data, truth, note, folder
        self._work = Work(order.work, _key(order, data, truth))
        self._original = ultralytics_models.load(order.model)
        keep_deployed(self._original)
        self._matches: dict[str, Matches] = {}

    @property
    def _schedule(self) -> Schedule | None:
        lessons = self._order.lessons
        if lessons is None or self._data is None or not (lessons.steps or lessons.epochs):
            return None
        return lessons.schedule(len(self._data), seed=self._order.seed)

    def run(self, report: Progress, announce: Callable[[PrunePlan], None]) -> dict[str, Any]:
        order, work = self._order, self._work
        before = to_onnx(_stored(self._original), self._folder / "before.onnx", order.size)
        plan = self._plan(before)
        announce(plan)
        work.begin()
        try:
            return self._carried_out(before, Bar(plan, report), report)
        finally:
            if work.empty:
                work.remove()

    def _carried_out(self, before: Path, bar: Bar, report: Progress) -> dict[str, Any]:
        cut = self._pruned(bar.of("pruning"))
        stages = {
            "before": self._stage("before", self._original, before, bar.of("judging the original")),
            "pruned": self._stage("pruned", _stored(cut), None, bar.of("judging the pruned")),
        }
        final, tuning = _stored(cut), None
        if (schedule := self._schedule) is not None:
            final, tuning = self._tuned(cut, schedule, bar.of("fine-tuning"))
            stages["tuned"] = self._stage("tuned", final, None, bar.of("judging the tuned"))
        after = to_onnx(final, self._folder / "after.onnx", self._order.size)
        times = speeds(before, after, bar.of("timing and writing"))
        _write(final, self._order, report)
        self._work.remove()
        return self._document(stages, times, tuning)

    def _plan(self, before: Path) -> PrunePlan:
        """From one step of each kind, measured here and now."""
        data, schedule, work = self._data, self._schedule, self._work
        judged = 0.0 if self._truth is None else _judged_s(before, self._truth)
        cut_s = (
            _PRUNING_S if data is None else _PRUNING_S + _SCORED * len(_shown(data)) * _scored_s(self._original, data)
        )
        phases = [
            Phase(name="pruning", what=f"prune to {self._order.macs:.0%} of the work", seconds=cut_s, done=work.get("pruned network") is not None),
            Phase(name="judging the original", what="judge the original in ONNX Runtime", seconds=judged, done=work.get("before") is not None),
            Phase(name="judging the pruned", what="judge the pruned", seconds=judged + _EXPORT_S, done=work.get("pruned") is not None),
        ]  # fmt: skip
        if schedule is not None and data is not None:
            step_s = self._step_s(data, schedule)
            what = f"fine-tune {schedule.steps} steps of {schedule.batch} pictures ({step_s:.2g} s each)"
            phases += [
                Phase(name="fine-tuning", what=what, seconds=step_s * schedule.steps + _FIT_S, done=work.get("tuned") is not None),
                Phase(name="judging the tuned", what="judge the tuned", seconds=judged + _EXPORT_S, done=work.get("tuned") is not None),
            ]  # fmt: skip
        phases.append(Phase(name="timing and writing", what="time and write", seconds=_WRITE_S))
        return PrunePlan(phases=phases, kept=str(work.folder), resumed=work.said(), note=self._note)

    def _step_s(self, data: Dataset, schedule: Schedule) -> float:
        """One step of fine-tuning, after one that is not counted."""
        return step_seconds(self._original, data, schedule=schedule, checkpoint=self._folder / "step")

    def _pruned(self, report: Progress) -> Any:
        order, work = self._order, self._work
        if work.get("pruned network") is not None:
            return ultralytics_models.load(work.cut)
        shown = _judges(self._data)
        cut = prune(self._original, macs=order.macs, size=order.size, pictures=shown, seed=order.seed, report=report)
        work.keep_model(cut.model)
        work.put("pruned network", {"before": cut.before.macs, "after": cut.after.macs})
        return ultralytics_models.load(work.cut)

    def _stage(self, name: str, model: Any, path: Path | None, report: Progress) -> dict[str, Any]:
        """Size, and accuracy where it can be measured; with the loss against the original and its bound."""
        kept = self._work.get(name)
        if kept is not None:
            if kept["matches"] is not None:
                self._matches[name] = Matches.from_json(kept["matches"])
            figures: dict[str, Any] = kept["figures"]
            return figures
        size = size_of(model, positions(model, *self._order.size))
        figures = {
            "macs": size.macs,
            "parameters": size.parameters,
            "ap": None,
            "ap50": None,
            "drop": None,
            "bound": None,
        }
        matches = None
        if self._truth is not None:
            found = accuracy(
                path or to_onnx(model, self._folder / f"{name}.onnx", self._order.size), self._truth, report
            )
            self._matches[name] = found.matches
            lost = drop_of(self._matches["before"], found.matches)
            figures |= {"ap": found.ap, "ap50": found.ap50, "drop": lost.points, "bound": lost.bound}
            matches = found.matches.to_json()
        self._work.put(name, {"figures": figures, "matches": matches})
        return figures

    def _tuned(self, cut: Any, schedule: Schedule, report: Progress) -> tuple[Any, Mapping[str, Any]]:
        assert self._data is not None
        kept, file = self._work.get("fine-tuned"), self._work.folder / "tuned.pt"
        if kept is not None:
            return ultralytics_models.load(file), kept
        done = finetune(
            cut,
            self._original,
            self._data,
            schedule=schedule,
            checkpoint=self._work.checkpoint,
            keep=True,
            report=report,
        )
        told = {
            **asdict(schedule),
            "pictures": len(self._data),
            "annotated": self._data.annotated,
            "input": list(self._data.size),
            "loss_first": done.first,
            "loss_last": done.last,
            "resumed_at": done.resumed_at,
        }
        final = _stored(done.model)
        ultralytics_models.save(final, file)
        self._work.put("fine-tuned", told)
        return final, told

    def _document(
        self, stages: Mapping[str, Any], times: Mapping[str, float], tuning: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        order, data = self._order, self._data
        macs = stages["pruned"]["macs"] / stages["before"]["macs"]
        return {
            "model": str(order.model),
            "output": str(order.output),
            "bytes_before": order.model.stat().st_size,
            "bytes": order.output.stat().st_size,
            "input": list(order.size),
            "macs_kept": round(macs, 4),
            "judged_by": "magnitude" if data is None else f"{len(_shown(data))} pictures",
            "pictures": self._note,
            "stages": stages,
            "latency_ms": {"onnxruntime": dict(times)},
            "speedup": round(times["before"] / times["after"], 3),
            "finetune": tuning,
        }


def _key(order: PruneRequest, data: Dataset | None, truth: LabelledPictures | None) -> str:
    """Of what makes a job what it is."""
    files = [] if data is None else [(path.name, path.stat().st_size) for path in data.paths]
    judged = None if truth is None else (file_sha256(truth.annotations), sorted(truth.only or ()))
    lessons = None if order.lessons is None else (order.lessons.size, order.lessons.steps, order.lessons.epochs, order.lessons.batch, order.lessons.rate)  # fmt: skip
    return key_of(file_sha256(order.model), order.macs, order.size, order.seed, files, judged, lessons)


def _judged_s(before: Path, truth: LabelledPictures) -> float:
    """How long it takes to judge all pictures, from one of them."""
    entry = read_truth(truth.annotations, truth.images, truth.only)
    picture = read_picture(truth.images / entry.images[0]["file_name"], as_stored=True)
    with closing(load_detector(path=before, name="before", backend="onnxruntime", score_floor=0.1)) as detector:
        detector.detect_image(picture)
        started = time.monotonic()
        detector.detect_image(picture)
        return (time.monotonic() - started + _READ_S) * len(entry.images)


def _scored_s(model: Any, data: Dataset) -> float:
    """Scoring the channels by one picture."""
    network = copy.deepcopy(model)
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    picture = [torch.from_numpy(data.plain(0).picture[None])]
    sensitivity(network, picture)
    started = time.monotonic()
    sensitivity(network, picture)
    return time.monotonic() - started


def _shown(data: Dataset) -> Sequence[int]:
    """The pictures that score the channels."""
    return range(0, len(data), -(-len(data) // _JUDGES))


def _judges(data: Dataset | None) -> list[Any]:
    return [] if data is None else [torch.from_numpy(data.plain(index).picture[None]) for index in _shown(data)]


def _stored(model: Any) -> Any:
    """`model` with its weights rounded to half precision, as they are stored: what is judged is what is written."""
    return copy.deepcopy(model).half().float().eval()


def _comparison(order: PruneRequest) -> list[Image]:
    """A few pictures to compare an exported model with PyTorch on."""
    folder = order.truth.images if order.truth else order.lessons.folder if order.lessons else None
    return list(folder_pictures(folder, count=4) if folder else itertools.islice(sample_pictures(), 0, None, 8))


def _write(model: Any, order: PruneRequest, report: Progress) -> None:
    report(0, None, "writing")
    if order.output.suffix == ".onnx":
        # Hours of tuning must not hang on the comparison with PyTorch: the checkpoint stays beside.
        ultralytics_models.save(copy.deepcopy(model).half(), order.output.with_name(f"{order.output.name}.pt"))
        network = from_ultralytics(copy.deepcopy(model), head=None, person_only=False)
        export(network, ExportOptions(size=order.size), order.output, _comparison(order))
    elif order.output.suffix == ".pt":
        for parameter in model.parameters():
            parameter.requires_grad_(False)  # as ultralytics keeps finished checkpoints
        ultralytics_models.save(
            model.half(), order.output
        )  # as ultralytics stores finished checkpoints; loaders widen it
    else:
        raise ModelError(f"{order.output} is neither a checkpoint (.pt) nor an ONNX model (.onnx)")
