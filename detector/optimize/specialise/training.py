"""Trains a student on a camera's pictures, with checkpoints.

AdamW (Loshchilov and Hutter, 2019) without batch norms, which the files have folded into their convolutions; the rate
rises, then falls along a cosine; the result is the moving average of the weights.
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from detector.core.errors import ModelError, StorageError
from detector.core.files import replacing
from detector.core.progress import Progress

from .graph_network import GraphNetwork
from .grid_loss import GridCells, grid_loss
from .lesson_batches import LessonBatches

_WARM_UP, _LAST = 0.1, 0.02  # without batch norms a step that is too long early undoes what the student knows
_DECAY = 1e-4
_LARGEST_GRADIENT = 20.0
_AVERAGE = 0.98
_KEPT_S = 30.0  # a step may take seconds: what is lost stays under a minute


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """`steps` batches of `batch` pictures at `rate`."""

    steps: int
    batch: int = 8
    rate: float = 1e-4
    seed: int = 0


class StudentTraining:
    """One run. Killed and resumed, it gives the very numbers of an unbroken one, with the same number of threads."""

    def __init__(
        self, network: GraphNetwork, lessons: LessonBatches, *, plan: TrainingPlan, checkpoint: Path, key: str
    ) -> None:
        self._network, self._lessons, self._plan = network, lessons, plan
        self._file, self._key = checkpoint, key
        self._cells = GridCells.of(*lessons.size)
        self.average = copy.deepcopy(network)
        self._optimizer = torch.optim.AdamW(
            [
                {"params": [one for one in network.parameters() if one.ndim > 1], "weight_decay": _DECAY},
                {"params": [one for one in network.parameters() if one.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=plan.rate,
        )
        self.step, self.losses = 0, list[float]()

    def run(self, report: Progress) -> GraphNetwork:
        """Trains to the end, from the checkpoint on where there is one; raises ModelError, StorageError."""
        self._resume()
        self._save()  # a disk that cannot hold it is told of now, not in an hour
        saved = time.monotonic()
        try:
            while self.step < self._plan.steps:
                report(self.step, self._plan.steps, self._said())
                self.advance()
                if time.monotonic() - saved >= _KEPT_S:
                    self._save()
                    saved = time.monotonic()
        except KeyboardInterrupt:
            self._save()
            raise
        self._save()
        return self.average

    def _said(self) -> str:
        size = "{}x{}".format(*self._lessons.size)
        recent = self.losses[-10:]
        return f"teaching {size}" + (f", loss {sum(recent) / len(recent):.2f}" if recent else "")

    def advance(self) -> None:
        """One step: batch, loss, weights, average."""
        plan = self._plan
        for group in self._optimizer.param_groups:
            group["lr"] = plan.rate * _share(self.step, plan.steps)
        pictures, targets = self._lessons.batch(self.step, plan.batch, seed=plan.seed)
        loss = grid_loss(self._network(pictures), targets, self._cells)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise ModelError(f"teaching went wrong at step {self.step}: try a smaller --rate than {plan.rate:g}")
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), _LARGEST_GRADIENT)
        self._optimizer.step()
        self.step += 1
        self.losses.append(value)
        keep = min(_AVERAGE, self.step / (10.0 + self.step))
        with torch.no_grad():
            for mean, now in zip(self.average.parameters(), self._network.parameters(), strict=True):
                mean.lerp_(now, 1.0 - keep)

    def _save(self) -> None:
        state = {
            "key": self._key,
            "step": self.step,
            "losses": self.losses,
            "network": self._network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }
        try:
            with replacing(self._file) as part:
                torch.save(state, part)
        except (OSError, RuntimeError) as error:  # torch's zip writer turns a full disk into a RuntimeError
            reason = " ".join(str(error).split())[:150]
            raise StorageError(f"cannot write the checkpoint {self._file}: {reason}: free some disk space") from None

    def _resume(self) -> None:
        if not self._file.exists():
            return
        try:
            found = torch.load(self._file, weights_only=True)
        except Exception as error:  # pickle, zip and torch share no base
            raise ModelError(
                f"the checkpoint {self._file} cannot be read ({type(error).__name__}): remove it"
            ) from None
        if found.get("key") != self._key:
            raise ModelError(f"the checkpoint {self._file} is of another run: remove it to begin anew")
        self._network.load_state_dict(found["network"])
        self.average.load_state_dict(found["average"])
        self._optimizer.load_state_dict(found["optimizer"])
        self.step, self.losses = found["step"], found["losses"]


def _share(step: int, steps: int) -> float:
    """Of the rate, at `step`."""
    warm = max(1, round(steps * _WARM_UP))
    if step < warm:
        return (step + 1) / warm
    return _LAST + (1.0 - _LAST) * 0.5 * (1.0 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
