"""From a model file and a wish to a detector."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from detector.errors import ModelError

from .backends.base import Backend, Precision, existing_file
from .backends.onnxruntime import OnnxRuntimeBackend, Provider
from .backends.openvino import OpenVinoBackend
from .detector import PersonDetector
from .spec import InputSpec

BackendName = Literal["auto", "tensorrt", "onnxruntime", "openvino"]


def load_detector(
    *,
    path: Path,
    name: str,
    spec: InputSpec | None = None,
    backend: BackendName = "auto",
    precision: Precision = "auto",
    threads: int = 0,
    score_floor: float = 0.1,
    provider: Provider = "cpu",
) -> PersonDetector:
    """The detector for the model at `path`, called `name`; raises ModelError in one line.

    `spec` None: as the graph's layout is commonly trained. `threads` 0: the usable cores, at most 4.
    `provider` is ONNX Runtime's: anything but the CPU is taken only when told.
    """
    engine = _open(existing_file(path), backend, precision, threads, provider)
    try:
        return PersonDetector(model_name=name, backend=engine, spec=spec, score_floor=score_floor)
    except ModelError as error:
        engine.close()
        raise ModelError(f"{path.name}: {error}") from None
    except BaseException:
        engine.close()
        raise


def _open(path: Path, backend: BackendName, precision: Precision, threads: int, provider: Provider) -> Backend:
    if backend == "tensorrt" or path.suffix == ".engine":
        raise ModelError("this build has no TensorRT backend yet: use backend auto or onnxruntime with the .onnx model")
    if backend == "openvino":
        return OpenVinoBackend(path=path, precision=precision, threads=threads)
    return OnnxRuntimeBackend(path=path, precision=precision, threads=threads, provider=provider)
