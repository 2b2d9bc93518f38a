"""What a measuring child process loads: a variant or a baseline, in serialised form."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from detector.inference.detector import PersonDetector
from detector.inference.factory import BackendName, load_detector
from detector.inference.input_sizes import InputSize
from detector.inference.spec import InputSpec
from detector.models.accuracy.average_precision import EVALUATION_FLOOR

from .variant import Runtime, Variant

Engine = Literal["onnxruntime", "openvino", "checkpoint", "checkpoint-folded"]
"""checkpoint is the network as trained, checkpoint-folded has its normalisation folded away, as exporters do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySubject:
    """`path` is an ONNX file; for PyTorch's engines a .pt, run at `shape`."""

    label: str
    path: str
    engine: Engine
    threads: int
    shape: InputSize
    half: bool = False
    spec: InputSpec | None = None

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> StudySubject:
        spec = document["spec"]
        width, height = document["shape"]
        return cls(**{**document, "shape": (width, height), "spec": None if spec is None else InputSpec(**spec)})


def subject(variant: Variant, path: Path, spec: InputSpec | None) -> StudySubject:
    """The variant whose form is at `path`."""
    runtime: Runtime = variant.runtime
    return StudySubject(
        label=str(variant),
        path=str(path),
        engine=runtime.backend,
        threads=runtime.threads,
        shape=variant.form.shape,
        half=runtime.half,
        spec=spec,
    )


def open_subject(what: StudySubject) -> PersonDetector:
    """Loads it, with a score floor that average precision can use; raises ModelError."""
    path = Path(what.path)
    if what.engine in ("checkpoint", "checkpoint-folded"):
        return open_checkpoint(
            path, what.shape, what.threads, spec=what.spec, folded=what.engine == "checkpoint-folded"
        )
    return load_detector(
        path=path,
        name=path.stem,
        spec=what.spec,
        backend=cast("BackendName", what.engine),
        precision="fp16" if what.half else "auto",
        threads=what.threads,
        score_floor=EVALUATION_FLOOR,
    )


def open_checkpoint(
    path: Path,
    shape: InputSize,
    threads: int,
    *,
    spec: InputSpec | None = None,
    score_floor: float = EVALUATION_FLOOR,
    folded: bool = False,
) -> PersonDetector:
    """An ultralytics checkpoint run by PyTorch as it is loaded, or its normalisation `folded`; raises ModelError.

    YOLOv10's head without NMS is taken where there is one, as published: newer ultralytics would run the other.
    """
    from detector.optimize.export import ultralytics_models

    network = ultralytics_models.load(path)  # says so where PyTorch is not installed
    import torch

    from detector.optimize.export.torchbackend import TorchBackend

    torch.set_num_threads(threads)
    if getattr(network.model[-1], "one2one_cv2", None) is not None:
        network.end2end = True
    if folded:
        network.fuse(verbose=False)
    backend = TorchBackend(network, size=shape)
    return PersonDetector(model_name=path.stem, backend=backend, spec=spec, score_floor=score_floor)
