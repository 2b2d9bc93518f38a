"""A whole pruning job: prune, evaluate, fine-tune, evaluate, time, write; with the figures of every stage."""

from __future__ import annotations

import copy
import itertools
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from detector.capture.pictures import folder_pictures
from detector.core.errors import ModelError, UsageError
from detector.core.progress import Progress
from detector.core.types import ArrayImage, Image
from detector.inference.detector import PersonDetector
from detector.inference.factory import load_detector
from detector.models.accuracy.average_precision import EVALUATION_FLOOR, evaluate
from detector.models.accuracy.gate import LabelledPictures
from detector.models.registry import sample_pictures
from detector.optimize.export import ultralytics_models
from detector.optimize.export.export import ExportOptions, export
from detector.optimize.export.torchbackend import judge
from detector.optimize.export.trace import trace
from detector.optimize.export.traceable import from_ultralytics

from .dataset import Dataset
from .finetune import Schedule, finetune
from .network import positions, size_of
from .prune import Pruned, prune

_JUDGES = 24  # pictures to score the channels with
_ROUNDS = 30


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
    def checkpoint(self) -> Path:
        """Where an interrupted fine-tuning waits to be gone on with."""
        return self.output.with_name(f"{self.output.name}.tuning")


def carry_out(order: PruneRequest, *, report: Progress) -> dict[str, Any]:
    """Writes `order.output` (.pt, or .onnx) and returns the figures; raises DetectorError and writes nothing else."""
    if not order.output.parent.is_dir():
        raise UsageError(f"--output: there is no folder {order.output.parent}")
    data = None
    if order.lessons is not None:
        data = Dataset(folder=order.lessons.folder, size=order.lessons.size, annotations=order.lessons.annotations)
    report(0, None, "pruning")
    model = ultralytics_models.load(order.model)
    cut = prune(model, macs=order.macs, size=order.size, pictures=_judges(data), seed=order.seed, report=report)
    stages = {"before": _stage(cut.original, order, report), "pruned": _stage(_stored(cut.model), order, report)}
    final, tuning = _stored(cut.model), None
    if order.lessons is not None and data is not None and (order.lessons.steps or order.lessons.epochs):
        final, tuning = _tuned(cut, data, order, report)
        stages["tuned"] = _stage(final, order, report)
    times = _times(cut.original, final, order, report)
    _write(final, order, report)
    return {
        "model": str(order.model),
        "output": str(order.output),
        "bytes_before": order.model.stat().st_size,
        "bytes": order.output.stat().st_size,
        "input": list(order.size),
        "macs_kept": round(cut.after.macs / cut.before.macs, 4),
        "judged_by": "magnitude" if data is None else f"{len(_judged(data))} pictures",
        "stages": stages,
        "latency_ms": times,
        "finetune": tuning,
    }


def _judged(data: Dataset) -> Sequence[int]:
    return range(0, len(data), -(-len(data) // _JUDGES))


def _judges(data: Dataset | None) -> list[Any]:
    return [] if data is None else [torch.from_numpy(data.plain(index).picture[None]) for index in _judged(data)]


def _tuned(cut: Pruned, data: Dataset, order: PruneRequest, report: Progress) -> tuple[Any, Mapping[str, Any]]:
    assert order.lessons is not None
    schedule = order.lessons.schedule(len(data), seed=order.seed)
    done = finetune(cut.model, cut.original, data, schedule=schedule, checkpoint=order.checkpoint, report=report)
    told = {
        **asdict(schedule),
        "pictures": len(data),
        "annotated": data.annotated,
        "input": list(data.size),
        "loss_first": done.first,
        "loss_last": done.last,
        "resumed_at": done.resumed_at,
    }
    return _stored(done.model), told


def _stored(model: Any) -> Any:
    """`model` with its weights rounded to half precision, as they are stored: what is judged is what is written."""
    return copy.deepcopy(model).half().float().eval()


def _stage(model: Any, order: PruneRequest, report: Progress) -> dict[str, Any]:
    """Size, and accuracy where it can be measured."""
    size = size_of(model, positions(model, *order.size))
    figures: dict[str, Any] = {"macs": size.macs, "parameters": size.parameters, "ap": None, "ap50": None}
    if order.truth is not None:
        found = evaluate(
            detector=judge(model, size=order.size, score_floor=EVALUATION_FLOOR),
            images=order.truth.images,
            annotations=order.truth.annotations,
            progress=report,
        )
        figures |= {"ap": found.ap, "ap50": found.ap50}
    return figures


def _times(before: Any, after: Any, order: PruneRequest, report: Progress) -> dict[str, dict[str, float]]:
    """Median ms of the bare model on one thread, before and after taken in turns: ONNX Runtime's and PyTorch's."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="detector-") as folder:
        pairs = {"onnxruntime": {}, "pytorch": {}}  # type: dict[str, dict[str, PersonDetector]]
        for name, model in (("before", before), ("after", after)):
            path = Path(folder) / f"{name}.onnx"
            # Only timed and not kept, so it is not compared with PyTorch.
            network = from_ultralytics(copy.deepcopy(model), head=None, person_only=False)
            onnx.save(trace(network, width=order.size[0], height=order.size[1], batch=1), str(path))
            pairs["onnxruntime"][name] = load_detector(path=path, name=name, backend="onnxruntime", threads=1)
            pairs["pytorch"][name] = judge(model, size=order.size, score_floor=0.1)
        try:
            return {engine: _in_turns(pair, report) for engine, pair in pairs.items()}
        finally:
            torch.set_num_threads(threads)
            for pair in pairs.values():
                for detector in pair.values():
                    detector.close()


def _in_turns(pair: Mapping[str, PersonDetector], report: Progress) -> dict[str, float]:
    picture = ArrayImage(np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8))
    for detector in pair.values():
        detector.detect_image(picture)
    times: dict[str, list[float]] = {name: [] for name in pair}
    for done in range(_ROUNDS):
        report(done, _ROUNDS, "timing")
        for name, detector in pair.items():
            times[name].append(detector.run_bare())
    return {name: round(statistics.median(values), 3) for name, values in times.items()}


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
