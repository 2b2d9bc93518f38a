"""From the names a user types to a loaded detector: the registry, then the backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from detector.config.schema import BackendName, Precision
from detector.core.errors import UsageError

if TYPE_CHECKING:
    from detector.inference.multi_size import AnyDetector

DEFAULT_MODEL = "yolox-tiny-person"
ModelOption = Annotated[str, typer.Option("--model", "-m", metavar="M", help="A registry name or a path to a model.")]
BackendOption = Annotated[str, typer.Option("--backend", metavar="B", help="auto, onnxruntime, openvino or tensorrt.")]
ThreadsOption = Annotated[int, typer.Option("--threads", metavar="N", min=0, help="0: as many as pay, at most 4.")]
ShapeOption = Annotated[
    str,
    typer.Option("--shape", metavar="S", help="auto: the input size that fits a picture's aspect; own: the model's."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine output alone on stdout.")]


def load(
    model: str,
    *,
    backend: str = "auto",
    precision: Precision = "auto",
    threads: int = 0,
    score_floor: float = 0.1,
    shape: str = "auto",
) -> AnyDetector:
    """The detector for `model`, fetched first where it must be; raises ModelError, UsageError.

    Nothing that the service measured on this machine has a say: the same words load the same model.
    """
    from detector.config.schema import Model
    from detector.models.loading import loader, resolve, shaped_loader

    from .progress import progress

    _one_of("backend", backend, get_args(BackendName))
    _one_of("shape", shape, ("auto", "own"))
    wish = Model(name=model, backend=cast("BackendName", backend), precision=precision, threads=threads)
    with progress(download=True) as report:
        found = resolve(wish, report)
    return (shaped_loader if shape == "auto" else loader)(wish, found, score_floor=score_floor)()


def _one_of(what: str, word: str, known: tuple[str, ...]) -> None:
    if word not in known:
        raise UsageError(f"unknown {what} {word}: use one of {', '.join(known)}")
