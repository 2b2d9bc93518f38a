"""The only place that imports TensorRT: JetPack's `tensorrt`, else `tensorrt_rtx`, which has the same API.

`from .library import trt`, inside a function, imports it then, or raises ModelError. `network_flags` covers
the difference between 10.3, 11 and RTX.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections import deque
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from detector.core.errors import ModelError, one_line

if TYPE_CHECKING:
    import tensorrt as trt

__all__ = ["Flavour", "Library", "flavour", "library", "network_flags", "said", "sides_of", "trt"]

log = logging.getLogger(__name__)

Flavour = Literal["tensorrt", "tensorrt_rtx"]
_FLAVOURS: tuple[Flavour, ...] = ("tensorrt", "tensorrt_rtx")
_HOW = (
    "TensorRT is not there: on a Jetson JetPack brings it (apt install python3-libnvinfer), and a virtual "
    "environment sees it when made with python3 -m venv --system-site-packages"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """The installed TensorRT."""

    flavour: Flavour
    version: str

    @property
    def major(self) -> int:
        return int(self.version.split(".", 1)[0])


def flavour() -> Flavour | None:
    """Which one is installed, without importing it."""
    return next((name for name in _FLAVOURS if importlib.util.find_spec(name) is not None), None)


@cache
def _module() -> Any:
    name = flavour()
    if name is None:
        raise ModelError(_HOW)
    try:
        return importlib.import_module(name)
    except (ImportError, OSError, RuntimeError) as error:  # its own libraries may be missing or not fit the driver
        raise ModelError(f"{name} cannot be imported ({one_line(error)}): install the whole of it again") from None


def __getattr__(name: str) -> Any:
    if name == "trt":
        return _module()
    raise AttributeError(name)


def library() -> Library:
    """The installed TensorRT; raises ModelError that says how to install it."""
    module = _module()
    return Library(flavour="tensorrt_rtx" if "rtx" in module.__name__ else "tensorrt", version=module.__version__)


def network_flags() -> int:
    """Flags for `create_network`: strongly typed, so that the ONNX model decides the precision.

    10.x needs the flag; 11 and RTX are always strongly typed, and may not have it. EXPLICIT_BATCH has no effect
    from 10 on and is removed in 11.
    """
    typed = getattr(_module().NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if typed is None else 1 << int(typed)


def sides_of(dims: trt.Dims) -> list[int]:
    """A shape's lengths; -1 is dynamic."""
    return [int(dims[index]) for index in range(len(dims))]


_lines: deque[str] = deque(maxlen=50)


@cache
def logger() -> trt.ILogger:
    """The process's only logger: TensorRT keeps the first one. Errors are kept for `said`."""
    module = _module()

    class Logger(module.ILogger):  # type: ignore[misc, name-defined, unused-ignore]  # imported late
        def __init__(self) -> None:
            super().__init__()

        def log(self, severity: Any, message: str) -> None:
            if severity in (module.ILogger.Severity.ERROR, module.ILogger.Severity.INTERNAL_ERROR):
                _lines.append(message)
            log.debug("%s", message)

    made: trt.ILogger = Logger()
    return made


def said() -> str:
    """TensorRT's first error since the last call, on one line; the others are consequences of it."""
    first = _lines[0] if _lines else "it does not say why"
    _lines.clear()
    return one_line(first)
