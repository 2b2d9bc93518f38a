"""Makes the file of each precision; one entry in `MAKERS` adds a form to the grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from detector.core.errors import ModelError
from detector.core.files import PUBLIC, file_sha256, key_of, replacing
from detector.core.types import Image
from detector.inference.input_sizes import InputSize
from detector.inference.spec import InputSpec
from detector.models.graph import int4
from detector.models.graph.variants import VERSION, CacheError, VariantPrecision, prepare, variants_dir

from .variant import BackendChoice


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """`path` is to become a file for `shape`, of persons alone or not; `pictures` are to calibrate on."""

    path: Path
    shape: InputSize
    person_only: bool
    pictures: Sequence[Image]
    spec: InputSpec | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """`make` gives the file, from the cache where it is there already; raises ModelError.

    `backends` are those that run it well; `whole_numbers`, that its arithmetic is; `quick`, that it belongs into a
    quick grid.
    """

    make: Callable[[Making], Path]
    backends: tuple[BackendChoice, ...]
    calibrated: bool = True
    whole_numbers: bool = False
    quick: bool = False


def _prepared(precision: VariantPrecision) -> Callable[[Making], Path]:
    def make(making: Making) -> Path:
        calibrated = precision != "fp32"
        return prepare(
            making.path,
            shape=making.shape,
            person_only=making.person_only,
            precision=precision,
            pictures=making.pictures if calibrated else (),
            spec=making.spec,
        )

    return make


def _int4(making: Making) -> Path:
    """All weights in blocks of 4 bits, a format for storage: the runtime unpacks them when it loads the model."""

    def build(model: onnx.ModelProto) -> onnx.ModelProto:
        ready = int4.ready(model)
        if not (layers := int4.eligible(ready)):
            raise ModelError(f"{making.path.name} has no layer whose weights could be kept in 4 bits")
        return int4.pack(ready, layers, source=model).model

    return _kept(making, "int4", build)


def _kept(making: Making, kind: str, build: Callable[[onnx.ModelProto], onnx.ModelProto]) -> Path:
    """What `build` makes of the plain form, in the cache; raises ModelError."""
    plain = _prepared("fp32")(making)
    target = variants_dir() / f"{making.path.stem}-{kind}-{key_of(VERSION, file_sha256(plain))}.onnx"
    if target.is_file():
        return target
    try:
        with replacing(target, mode=PUBLIC) as part:
            onnx.save(build(onnx.load(str(plain))), str(part))
    except OSError as error:
        raise CacheError(
            f"could not make {making.path.name} {kind}: cannot write {target.parent}: {error.strerror or error}; "
            "make room or set DETECTOR_CACHE to another folder"
        ) from None
    return target


_EVERYWHERE: tuple[BackendChoice, ...] = ("onnxruntime", "openvino")
MAKERS: dict[str, Maker] = {
    "fp32": Maker(make=_prepared("fp32"), backends=_EVERYWHERE, calibrated=False, quick=True),
    "int8": Maker(make=_prepared("int8"), backends=("onnxruntime",), whole_numbers=True, quick=True),
    "int8-mixed": Maker(make=_prepared("int8-mixed"), backends=("onnxruntime",), whole_numbers=True),
    "int8-convolutions": Maker(make=_prepared("int8-openvino"), backends=("openvino",), whole_numbers=True, quick=True),
    "int4-storage": Maker(make=_int4, backends=("onnxruntime",), calibrated=False),
}
"""`int8-mixed` keeps the last two layers of convolutions in floats, the others the last one.

INT8 is made for each runtime: what TensorRT takes, signed pairs, gave OpenVINO 2026.4 nonsense on a CPU with VNNI
(AP .004), where ONNX Runtime computes them right.
"""
