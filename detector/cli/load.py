"""The options that several commands share, and loading a detector as they ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from detector.config.model_settings import BackendName, Precision
from detector.core.errors import UsageError

if TYPE_CHECKING:
    from detector.inference.multi_size import AnyDetector

DEFAULT_MODEL = "yolox-tiny-person"
ModelOption = Annotated[
    str, typer.Option("--model", "-m", metavar="M", help="A name of the registry, or the path of a model.")
]
BackendOption = Annotated[str, typer.Option("--backend", metavar="B", help="auto, onnxruntime, openvino or tensorrt.")]
ThreadsOption = Annotated[
    int, typer.Option("--threads", metavar="N", min=0, help="CPU threads; 0: chosen for this machine, at most 4.")
]
ShapeOption = Annotated[
    str,
    typer.Option(
        "--shape", metavar="S", help="auto: the input size that fits a picture's aspect ratio; own: the model's."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print only JSON on stdout.")]


def load(
    model: str,
    *,
    backend: str = "auto",
    precision: Precision = "auto",
    threads: int = 0,
    score_floor: float = 0.1,
    shape: str = "auto",
) -> AnyDetector:
    """The detector for `model`, downloaded first if necessary; raises ModelError, UsageError.

    The service's choice of a variant is not used: the same arguments load the same model.
    """
    from detector.config.model_settings import Model
    from detector.models.loading import loader, resolve, shaped_loader

    from .progress import progress

    _one_of("backend", backend, get_args(BackendName))
    _one_of("shape", shape, ("auto", "own"))
    wish = Model(name=model, backend=cast("BackendName", backend), precision=precision, threads=threads)
    with progress(download=True) as report:
        found = resolve(wish, report)
    return (shaped_loader if shape == "auto" else loader)(wish, found, score_floor=score_floor)()


def _one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"unknown {option} {value}: use one of {', '.join(known)}")
