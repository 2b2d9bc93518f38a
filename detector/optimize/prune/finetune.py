"""Fine-tunes a pruned network by distillation from the unpruned one, and with annotations if there are any.

AdamW (Loshchilov and Hutter, 2019), a cosine from the full rate to a hundredth after a short warm-up, and the moving
average of the weights as the result. Batch norms keep their statistics: batches here are small, and checkpoints with
folded norms have none to speak of.
"""

from __future__ import annotations

import copy
import hashlib
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from detector.core.errors import ModelError, StorageError
from detector.core.files import replacing
from detector.core.progress import Progress, quiet
from detector.inference.layout import person_of

from .dataset import Dataset
from .distill import Loss, loss_of, projections, target_of
from .network import raw
from .teacher_labels import correct

_WARM_UP = 0.05  # of all steps
_LAST = 0.01  # of the rate, at the end
_DECAY = 1e-4
_LARGEST_GRADIENT = 10.0
_AVERAGE = 0.998
_KEPT_S = 45.0  # a step may take seconds: what is lost stays under a minute
_FITTED = 48  # pictures that the projections of features are fitted to before the first step


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long and how fast: `steps` batches of `batch` pictures at `rate`; a checkpoint every `every` steps, and every 45 s."""

    steps: int
    batch: int = 8
    rate: float = 2e-5  # batch norms stand still, so nothing evens out a step that is too long
    every: int = 1000
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """The averaged network, in eval mode; the loss of the first and the last tenth; the step it was resumed at."""

    model: Any
    first: Mapping[str, float]
    last: Mapping[str, float]
    resumed_at: int


def finetune(
    student: Any,
    teacher: Any,
    data: Dataset,
    *,
    schedule: Schedule,
    checkpoint: Path,
    keep: bool = False,
    report: Progress = quiet,
) -> Tuned:
    """Trains a copy of `student` towards `teacher`; both ultralytics networks in eval mode.

    Goes on from `checkpoint` where one is there: killed and resumed gives the very numbers of an unbroken run. It is
    removed at the end, unless `keep`. Raises ModelError for a checkpoint of another run, StorageError where it cannot be written.
    """
    run = _Run(student, teacher, data, schedule=schedule, checkpoint=checkpoint)
    resumed_at = run.resume()
    run.save()  # a disk that cannot hold it is told of now, not in an hour
    try:
        while run.step < schedule.steps:
            report(run.step, schedule.steps, f"fine-tuning, loss {run.loss:.3f}" if run.losses else "fine-tuning")
            run.advance()
            if run.step % schedule.every == 0 or time.monotonic() - run.saved_at >= _KEPT_S:
                run.save()
    except KeyboardInterrupt:
        run.save()  # what was learned is kept
        raise
    if not keep:
        checkpoint.unlink(missing_ok=True)
    return Tuned(model=run.average, first=run.mean(first=True), last=run.mean(first=False), resumed_at=resumed_at)


def step_seconds(model: Any, data: Dataset, *, schedule: Schedule, checkpoint: Path) -> float:
    """How long a step takes: the second of two, with `model` as its own teacher; nothing is kept."""
    run = _Run(model, model, data, schedule=schedule, checkpoint=checkpoint, fitted=1)
    run.advance()
    started = time.monotonic()
    run.advance()
    return time.monotonic() - started


class _Run:
    """One training run and all of its state."""

    def __init__(
        self,
        student: Any,
        teacher: Any,
        data: Dataset,
        *,
        schedule: Schedule,
        checkpoint: Path,
        fitted: int = _FITTED,
    ) -> None:
        self._teacher, self._data, self._schedule, self._file = teacher.eval(), data, schedule, checkpoint
        self._student = copy.deepcopy(student).eval()  # eval: batch norms keep their statistics
        for parameter in self._student.parameters():
            parameter.requires_grad_(True)
        for parameter in self._student.model[-1].dfl.parameters():
            parameter.requires_grad_(False)  # the bins' numbers, not weights
        self.average = copy.deepcopy(self._student)
        self._person, self._strides = person_of(student.names), [float(stride) for stride in student.stride]
        with torch.no_grad():
            shown = range(0, len(data), -(-len(data) // fitted))
            pictures = [torch.from_numpy(data.plain(index).picture[None]) for index in shown]
            self._projections = projections([(raw(self._student, each), raw(self._teacher, each)) for each in pictures])
        self._optimizer = torch.optim.AdamW(_parameter_groups(self._student, self._projections), lr=schedule.rate)
        self.step, self.losses = 0, []  # type: int, list[dict[str, float]]
        self.saved_at = time.monotonic()

    @property
    def loss(self) -> float:
        """Of the last steps, in all."""
        recent = [sum(entry.values()) for entry in self.losses[-10:]]
        return sum(recent) / len(recent)

    def mean(self, *, first: bool) -> dict[str, float]:
        """Each part of the loss over the first or the last tenth."""
        count = max(1, len(self.losses) // 10)
        chosen = self.losses[:count] if first else self.losses[-count:]
        return {name: sum(entry[name] for entry in chosen) / len(chosen) for name in chosen[0]} if chosen else {}

    def advance(self) -> None:
        """One step: batch, loss, weights, average."""
        rate = self._schedule.rate * _shape(self.step, self._schedule.steps)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        found = self._loss()
        if not math.isfinite(float(found.total.detach())):
            raise ModelError(
                f"fine-tuning went wrong at step {self.step}: try a smaller --rate than {self._schedule.rate:g}"
            )
        self._optimizer.zero_grad(set_to_none=True)
        found.total.backward()
        torch.nn.utils.clip_grad_norm_(self._student.parameters(), _LARGEST_GRADIENT)
        self._optimizer.step()
        self.step += 1
        self.losses.append({"classes": found.classes, "boxes": found.boxes, "features": found.features})
        keep = min(_AVERAGE, self.step / (10.0 + self.step))
        with torch.no_grad():
            for mean, value in zip(self.average.parameters(), self._student.parameters(), strict=True):
                mean.lerp_(value, 1.0 - keep)

    def _loss(self) -> Loss:
        pictures, boxes = self._batch(self.step)
        with torch.no_grad():
            target = target_of(raw(self._teacher, pictures))
        target = correct(target, boxes, person=self._person, strides=self._strides)
        return loss_of(raw(self._student, pictures), target, self._projections, person=self._person)

    def _batch(self, step: int) -> tuple[Any, list[Any]]:
        samples = self._data.batch(step, self._schedule.batch, seed=self._schedule.seed)
        pictures = torch.from_numpy(np.stack([sample.picture for sample in samples]))
        return pictures, [None if s.boxes is None else torch.from_numpy(s.boxes) for s in samples]

    def save(self) -> None:
        """Everything that goes on from here; the file is the old one or the new one, never half of it."""
        self.saved_at = time.monotonic()
        try:
            with replacing(self._file) as part:
                torch.save({"key": self._key(), "step": self.step, "losses": self.losses, **self._state()}, part)
        except (OSError, RuntimeError) as error:  # torch's zip writer turns a full disk into a RuntimeError
            reason = " ".join(str(error).split())[:150]
            raise StorageError(f"cannot write the checkpoint {self._file}: {reason}: free some disk space") from None

    def resume(self) -> int:
        """The step to go on from, 0 without a checkpoint; raises ModelError for one of another run."""
        if not self._file.exists():
            return 0
        try:
            found = torch.load(self._file, weights_only=True)
        except Exception as error:  # pickle, zip and torch share no base
            raise ModelError(
                f"the checkpoint {self._file} cannot be read ({type(error).__name__}): remove it"
            ) from None
        if found.get("key") != self._key():
            raise ModelError(
                f"the checkpoint {self._file} is of another run (model, pictures or settings differ): "
                "repeat that run to go on with it, or remove it to begin anew"
            )
        self._student.load_state_dict(found["student"])
        self.average.load_state_dict(found["average"])
        self._projections.load_state_dict(found["projections"])
        self._optimizer.load_state_dict(found["optimizer"])
        self.step, self.losses = found["step"], found["losses"]
        return self.step

    def _state(self) -> dict[str, Any]:
        return {
            "student": self._student.state_dict(),
            "average": self.average.state_dict(),
            "projections": self._projections.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def _key(self) -> str:
        """Of what makes the run what it is: networks, pictures, settings."""
        shapes = [(name, tuple(value.shape)) for name, value in self._student.state_dict().items()]
        told = {name: value for name, value in asdict(self._schedule).items() if name != "every"}
        files = [(path.name, path.stat().st_size) for path in self._data.paths]
        weights = [float(value.double().sum()) for value in self._teacher.state_dict().values()]
        return hashlib.sha256(repr((shapes, told, files, self._data.size, weights)).encode()).hexdigest()


def _parameter_groups(student: Any, projected: Any) -> list[dict[str, Any]]:
    """Weight decay for weights alone: biases and norms (one-dimensional) are left free."""
    trained = [parameter for parameter in student.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in trained if parameter.ndim > 1], "weight_decay": _DECAY},
        {"params": [parameter for parameter in trained if parameter.ndim <= 1], "weight_decay": 0.0},
        {"params": list(projected.parameters()), "weight_decay": 0.0},
    ]


def _shape(step: int, steps: int) -> float:
    """The rate's share at `step`: a linear start, then half a cosine."""
    warm = max(1, round(steps * _WARM_UP))
    if step < warm:
        return (step + 1) / warm
    done = (step - warm) / max(1, steps - warm)
    return _LAST + (1.0 - _LAST) * 0.5 * (1.0 + math.cos(math.pi * done))
