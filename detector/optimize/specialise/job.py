"""A whole job: pictures, the teachers' labels, a student a size until one holds, and one ONNX file of it."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from detector.capture.pictures import fingerprint
from detector.core.errors import ModelError, StorageError, UsageError
from detector.core.files import file_sha256, key_of, replacing
from detector.core.progress import Progress
from detector.inference.detector import PersonDetector
from detector.inference.factory import load_detector
from detector.inference.input_sizes import InputSize, best_input_size
from detector.models.accuracy.average_precision import EVALUATION_FLOOR
from detector.models.graph.onnx_file import read
from detector.models.graph.variants import prepare
from detector.models.registry import Registry, Resolved
from detector.optimize.prune.plan import Bar, Phase, PrunePlan
from detector.optimize.prune.work import Work
from detector.optimize.quantize.timing import race

from .annotated_labels import annotated_labels, put_right, refuse_gaps
from .camera_pictures import TimedPicture, camera_pictures, one_hour
from .graph_network import GraphNetwork
from .lesson_batches import LessonBatches
from .specialist_gate import Found, JudgedPicture, SpecialistVerdict, judge_specialist
from .teachers import PictureLabels, TeacherPanel
from .time_split import judged_part
from .training import StudentTraining, TrainingPlan

METADATA = "detector.specialist"
"""Key of the file's metadata: JSON with the camera, the light it knows and the figures it was accepted by."""

FEWEST_TAUGHT = 100
"""Persons to learn from."""

_SIDES = (320, 416)  # px of the longer side of a student's input, the cheapest first
_KEPT_S = 30.0
_JUDGE_S = 0.05  # a picture by both models, s on a slow core
Light = str


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecialiseRequest:
    """`teachers` are registry names or files; `judges` is the last share of the pictures, which judges; `sizes` empty: fitting ones.

    `annotations` (COCO's JSON) are of the pictures in the only one of `paths`, a folder. `general` is the model that
    serves now, `max_loss` what AP50 and found persons may lose against it, 0..1.
    """

    camera: str
    paths: tuple[Path, ...]
    general: Resolved
    student: Resolved
    teachers: tuple[str, ...]
    output: Path
    plan: TrainingPlan
    sizes: tuple[InputSize, ...] = ()
    annotations: Path | None = None
    judges: float = 0.34
    max_loss: float = 0.02
    threads: int = 1

    @property
    def work(self) -> Path:
        """The folder that holds what is done, until all is."""
        return self.output.with_name(f"{self.output.name}.work")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecialiseResult:
    """`offered` is the size whose student was written to `output`, None where none holds; `tried` are all verdicts."""

    output: Path
    offered: InputSize | None
    lights: tuple[Light, ...]
    tried: dict[str, dict[Light, SpecialistVerdict]]
    ms: dict[str, float]
    pictures: dict[str, int]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        tried = {size: {light: one.to_json() for light, one in found.items()} for size, found in self.tried.items()}
        return {**asdict(self), "output": str(self.output), "tried": tried}


def carry_out(
    order: SpecialiseRequest,
    registry: Registry,
    *,
    report: Progress,
    announce: Callable[[PrunePlan], None] = lambda _plan: None,
) -> SpecialiseResult:
    """Writes `order.output` where a student holds; raises DetectorError and writes nothing else.

    `announce` is given the plan, measured by one step of each kind, before anything long starts.
    """
    torch.set_num_threads(order.threads)
    torch.use_deterministic_algorithms(True)
    pictures = camera_pictures(order.paths, camera=order.camera, report=report)
    return _SpecialiseJob(order, registry, pictures, report).run(announce)


class _SpecialiseJob:
    """One job: each phase takes what an earlier run kept, or does it and keeps it."""

    def __init__(
        self, order: SpecialiseRequest, registry: Registry, pictures: Sequence[TimedPicture], report: Progress
    ) -> None:
        self._order, self._pictures, self._report = order, pictures, report
        self._panel = TeacherPanel(registry, order.teachers, pictures[0].image, threads=order.threads, report=report)
        _make_folder(order.output.parent)
        width, height = pictures[0].image.width, pictures[0].image.height
        fitting = dict.fromkeys(best_input_size((side, side), width, height) for side in _SIDES)
        self._sizes = order.sizes or tuple(fitting)
        self._first = round(len(pictures) * (1.0 - order.judges))
        self._truth: Mapping[str, PictureLabels] = {}
        if order.annotations is not None:
            self._truth = annotated_labels(order.annotations, order.paths[0])
            refuse_gaps(pictures, self._truth, first=self._first)
        self._key = _key(order, pictures, self._sizes)
        self._work = Work(order.work, self._key)

    def run(self, announce: Callable[[PrunePlan], None]) -> SpecialiseResult:
        with closing(self._panel):
            plan = self._plan()
            announce(plan)
            bar = Bar(plan, self._report)
            self._work.begin()
            try:
                labels = self._labelled(bar.of("labels"))
            finally:
                if self._work.empty:
                    self._work.remove()
        labels = put_right(labels, self._pictures, self._truth)
        self._refuse_few(labels)
        judged, followed = judged_part(self._pictures, labels, first=self._first)
        notes = [*_notes(self._pictures, followed=followed)]
        general = self._seen_by(self._general_path(), self._order.general, bar.of("judging the general model"))
        tried, offered, lights = dict[str, dict[Light, SpecialistVerdict]](), None, list[Light]()
        for size in self._sizes:
            made = self._taught(size, labels, bar.of(_named(size)))
            found = self._seen_by(made, self._order.student, bar.of(f"judging {_named(size)}"))
            tried[_named(size)] = self._verdicts(judged, found, general)
            lights = [light for light, one in tried[_named(size)].items() if one.accepted]
            if lights:
                offered = size
                self._write(made, size, lights, tried[_named(size)])
                break
        ms = self._times()
        self._work.remove()
        counts = {"taught": self._first, "judged": len(judged)}
        return SpecialiseResult(
            output=self._order.output, offered=offered, lights=tuple(lights), tried=tried, ms=ms, pictures=counts, notes=tuple(notes)
        )  # fmt: skip

    def _plan(self) -> PrunePlan:
        """From one step of each kind, measured here and now."""
        done, count = len(self._work.get("labels") or ()), len(self._pictures)
        looked = 0.0 if done == count else self._panel.seconds(self._pictures[0].image)
        judged_s = _JUDGE_S * (count - self._first)
        steps = self._order.plan.steps
        phases = [
            Phase(name="labels", what=f"{len(self._panel.names)} teachers look at {count} pictures", seconds=looked * (count - done), done=done == count),
            Phase(name="judging the general model", what="judge the general model", seconds=judged_s),
        ]  # fmt: skip
        for number, size in enumerate(self._sizes):
            step_s = self._step_s(size)
            what = f"teach {self._order.student.name} at {_named(size)}, {steps} steps ({step_s:.2g} s each)"
            phases += [
                Phase(name=_named(size), what=what + (", if the smaller one does not hold" if number else ""), seconds=step_s * steps),
                Phase(name=f"judging {_named(size)}", what=f"judge {_named(size)}", seconds=judged_s),
            ]  # fmt: skip
        taught = f"the first {self._first} pictures teach, the last {count - self._first} judge"
        return PrunePlan(phases=phases, kept=str(self._work.folder), resumed=self._work.said(), note=taught)

    def _step_s(self, size: InputSize) -> float:
        empty = PictureLabels.from_json({"persons": [], "unsure": []})
        few = self._pictures[:8]
        lessons = LessonBatches(
            pictures=[one.image for one in few], labels=[empty] * len(few), size=size, spec=_spec(self._order.student)
        )
        training = StudentTraining(
            GraphNetwork(self._student_graph(size)), lessons, plan=self._order.plan, checkpoint=Path(), key=""
        )
        training.advance()
        begun = time.monotonic()
        training.advance()
        return time.monotonic() - begun

    def _labelled(self, report: Progress) -> list[PictureLabels]:
        """The teachers' labels of every picture, kept as they come."""
        kept: list[dict[str, Any]] = list(self._work.get("labels") or ())
        saved = time.monotonic()
        try:
            while len(kept) < len(self._pictures):
                report(len(kept), len(self._pictures), "the teachers look at the pictures")
                kept.append(self._panel.label(self._pictures[len(kept)].image).to_json())
                if time.monotonic() - saved >= _KEPT_S:
                    self._work.put("labels", kept)
                    saved = time.monotonic()
        finally:
            if kept:
                self._work.put("labels", kept)
        return [PictureLabels.from_json(one) for one in kept]

    def _refuse_few(self, labels: Sequence[PictureLabels]) -> None:
        taught = sum(len(one.persons) for one in labels[: self._first])
        if taught < FEWEST_TAUGHT:
            self._work.remove()
            raise UsageError(
                f"the teachers agree on {taught} persons in the {self._first} pictures that would teach: at least "
                f"{FEWEST_TAUGHT} are needed; gather pictures at times when people are there"
            )

    def _taught(self, size: InputSize, labels: Sequence[PictureLabels], report: Progress) -> Path:
        """The trained student's file, in the folder of work."""
        lessons = LessonBatches(
            pictures=[one.image for one in self._pictures[: self._first]],
            labels=labels[: self._first],
            size=size,
            spec=_spec(self._order.student),
        )
        graph = self._student_graph(size)
        training = StudentTraining(
            GraphNetwork(graph),
            lessons,
            plan=self._order.plan,
            checkpoint=self._work.folder / f"{_named(size)}.checkpoint",
            key=self._key,
        )
        made = self._work.folder / f"{_named(size)}.onnx"
        _save(training.run(report).written_into(graph), made)
        return made

    def _student_graph(self, size: InputSize) -> onnx.ModelProto:
        student = self._order.student
        return read(prepare(student.path, shape=size, spec=student.spec))

    def _general_path(self) -> Path:
        general, shown = self._order.general, self._pictures[0].image
        if general.entry is None:
            return general.path
        base = general.entry.input.width, general.entry.input.height
        return prepare(general.path, shape=best_input_size(base, shown.width, shown.height), spec=general.spec)

    def _opened(self, path: Path, of: Resolved, *, floor: float = 0.1, threads: int = 1) -> PersonDetector:
        return load_detector(
            path=path, name=of.name, spec=of.spec, backend="onnxruntime", threads=threads, score_floor=floor
        )

    def _seen_by(self, path: Path, of: Resolved, report: Progress) -> list[Found]:
        """What a model finds in each picture that judges."""
        judged = self._pictures[self._first :]
        with closing(self._opened(path, of, floor=EVALUATION_FLOOR, threads=self._order.threads)) as detector:
            found: list[Found] = []
            for number, one in enumerate(judged):
                report(number, len(judged), f"judging {of.name}")
                found.append(detector.detect_image(one.image)[:2])
            return found

    def _verdicts(
        self, judged: Sequence[JudgedPicture], student: Sequence[Found], general: Sequence[Found]
    ) -> dict[Light, SpecialistVerdict]:
        """One for each light that both parts show."""
        verdicts = dict[Light, SpecialistVerdict]()
        dark = [one.dark for one in self._pictures]
        for light, wanted in (("day", False), ("night", True)):
            places = [n for n in range(len(judged)) if dark[self._first + n] is wanted]
            if not places and wanted not in dark:
                continue
            parts = [[rows[n] for n in places] for rows in (student, general)]
            verdict = judge_specialist([judged[n] for n in places], *parts, max_loss=self._order.max_loss)
            if wanted not in dark[: self._first]:
                verdict = replace(verdict, reasons=(f"it was taught no picture by {light}", *verdict.reasons))
            verdicts[light] = verdict
        return verdicts

    def _times(self) -> dict[str, float]:
        """Ms of a bare run on one thread, in turns."""
        paths = {"general": (self._general_path(), self._order.general)}
        for size in self._sizes:
            made = self._work.folder / f"{_named(size)}.onnx"
            if made.exists():
                paths[_named(size)] = made, self._order.student
        detectors = [self._opened(path, of) for path, of in paths.values()]
        try:
            return {name: round(ms, 3) for name, ms in zip(paths, race(detectors), strict=True)}
        finally:
            for detector in detectors:
                detector.close()

    def _write(
        self, made: Path, size: InputSize, lights: Sequence[Light], verdicts: dict[Light, SpecialistVerdict]
    ) -> None:
        """The one file, which says itself what it is for."""
        told = {
            "camera": self._order.camera,
            "lights": list(lights),
            "picture": [self._pictures[0].image.width, self._pictures[0].image.height],
            "student": self._order.student.name,
            "general": self._order.general.name,
            "teachers": list(self._panel.names),
            "input": list(size),
            "verdicts": {light: one.to_json() for light, one in verdicts.items()},
        }
        model = read(made)
        model.metadata_props.add(key=METADATA, value=json.dumps(told))
        _save(model, self._order.output)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the folder {folder}: {error.strerror or error}") from None


def _save(model: onnx.ModelProto, path: Path) -> None:
    try:
        with replacing(path) as part:
            part.write_bytes(model.SerializeToString())
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}: free some disk space") from None


def _spec(student: Resolved) -> Any:
    if student.spec is None or student.entry is None:
        raise ModelError(f"{student.name} cannot be a student: name a model of the registry, such as yolox-nano")
    return student.spec


def _named(size: InputSize) -> str:
    return f"{size[0]}x{size[1]}"


def _notes(pictures: Sequence[TimedPicture], *, followed: bool) -> list[str]:
    notes = []
    if one_hour(pictures):
        notes.append(
            "all pictures are of one hour: other light, weather and people were not tried; "
            "gather pictures over days with detector capture-set before you rely on it"
        )
    if not followed:
        gap = statistics.median(np.diff([one.at_s for one in pictures]))
        notes.append(f"visits were not judged: the pictures are {gap:.0f} s apart, 2 s at most show who is who")
    return notes


def _key(order: SpecialiseRequest, pictures: Sequence[TimedPicture], sizes: Sequence[InputSize]) -> str:
    """Of what makes a job what it is."""
    shown = fingerprint([one.image for one in pictures]), [one.at_s for one in pictures]
    models = file_sha256(order.student.path), file_sha256(order.general.path), order.teachers
    marked = None if order.annotations is None else file_sha256(order.annotations)
    plan = asdict(order.plan), order.judges, order.max_loss, order.threads
    return key_of(order.camera, shown, models, sizes, marked, *plan)
