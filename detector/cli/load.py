"""From the names a user types to a loaded detector: the registry, then the backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from detector.config import BackendName, Precision
from detector.errors import UsageError

if TYPE_CHECKING:
    from detector.inference.detector import PersonDetector

DEFAULT_MODEL = "yolox-tiny-person"
ModelOption = Annotated[str, typer.Option("--model", "-m", metavar="M", help="A registry name or a path to a model.")]
BackendOption = Annotated[str, typer.Option("--backend", metavar="B", help="auto, onnxruntime, openvino or tensorrt.")]
ThreadsOption = Annotated[int, typer.Option("--threads", metavar="N", min=0, help="0: as many as pay, at most 4.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine output alone on stdout.")]


def load(
    model: str, *, backend: str = "auto", precision: Precision = "auto", threads: int = 0, score_floor: float = 0.1
) -> PersonDetector:
    """The detector for `model`, fetched first where it must be; raises ModelError, UsageError."""
    from detector.inference.factory import load_detector
    from detector.models import load_registry

    from .progress import progress

    if backend not in get_args(BackendName):
        raise UsageError(f"unknown backend {backend}: use one of {', '.join(get_args(BackendName))}")
    with progress(download=True) as report:
        found = load_registry().resolve(model, report)
    return load_detector(
        path=found.path,
        name=found.name,
        spec=found.spec,
        backend=cast("BackendName", backend),
        precision=precision,
        threads=threads,
        score_floor=score_floor,
    )
