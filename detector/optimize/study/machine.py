"""What this machine can run, and the facts about a model file."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from detector.core.errors import ModelError, UsageError
from detector.inference.backends.onnx_metadata import inspect
from detector.inference.backends.openvino import half_precision
from detector.inference.input_sizes import InputSize, allowed_input_sizes

from .grid import GridLimits
from .variant import BackendChoice

_MULTIPLE = 32


def base_size(path: Path) -> tuple[str, InputSize]:
    """The sha256 of an ONNX model and its input's width and height; raises ModelError on what is none we know."""
    if path.suffix.lower() != ".onnx":
        raise UsageError(f"{path} is not an ONNX model: optimising starts from one")
    from detector.models.graph.edit import layout_of
    from detector.models.graph.onnx_file import read

    digest, model = inspect(path).digest, read(path)
    try:
        layout = layout_of(model)
    except ModelError as error:
        raise ModelError(f"{path.name}: {error}") from None
    return digest, (layout.width, layout.height)


def limits(
    base: InputSize,
    *,
    shapes: Sequence[InputSize],
    threads: Sequence[int],
    sources: Sequence[str],
    calibrated: bool,
    quick: bool,
) -> GridLimits:
    """The grid for this machine; without `shapes` the model's own, 4:3 and 16:9. Raises UsageError."""
    for width, height in shapes:
        if width % _MULTIPLE or height % _MULTIPLE or min(width, height) < _MULTIPLE:
            raise UsageError(f"--size {width}x{height}: both must be multiples of {_MULTIPLE}")
    lying = [shape for shape in allowed_input_sizes(base) if shape[0] >= shape[1] or shape == base]
    backends: list[BackendChoice] = ["onnxruntime"]
    half: list[BackendChoice] = []
    if find_spec("openvino") is not None:
        backends.append("openvino")
        if half_precision() is not None:
            half.append("openvino")
    return GridLimits(
        shapes=list(dict.fromkeys(shapes)) or lying,
        backends=backends,
        threads=list(dict.fromkeys(threads)),
        half=half,
        sources=sources,
        calibrated=calibrated,
        quick=quick,
    )
