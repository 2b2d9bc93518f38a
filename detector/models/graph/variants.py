"""A model's variants, each made once and stored in the cache: `variants/NAME-KEY.onnx`, with its facts in JSON.

onnx is imported only if a variant must be made.
"""

from __future__ import annotations

import ctypes
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from detector.capture.pictures import fingerprint
from detector.core.errors import InferenceError, ModelError
from detector.core.files import PUBLIC, cache_dir, file_sha256, key_of, locked, replacing, write_atomically
from detector.core.progress import Progress, quiet
from detector.core.types import Image
from detector.inference.backends.onnx_metadata import inspect
from detector.inference.input_sizes import InputSize
from detector.inference.spec import InputSpec

VERSION = 3
"""Version of the edits; increased when one of them gives different files than before."""

VariantPrecision = Literal["fp32", "int8", "int8-mixed", "int8-openvino"]
"""int8-mixed keeps the last two layers of convolutions in floats, int8 the last one; int8-openvino is placed for it."""


class CacheError(ModelError):
    """The cache cannot be written."""


_FLOAT_LAYERS = {"int8": 1, "int8-mixed": 2, "int8-openvino": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """The variant to make of `source`; `shape` None keeps its size."""

    source: Path
    sha256: str
    shape: InputSize | None
    person_only: bool
    precision: VariantPrecision
    pictures: Sequence[Image]
    spec: InputSpec | None

    @property
    def key(self) -> str:
        calibration = (fingerprint(self.pictures), self.spec) if self.precision in _FLOAT_LAYERS else ()
        return key_of(VERSION, self.sha256, self.shape, self.person_only, self.precision, *calibration)


def prepare(
    path: Path,
    *,
    shape: InputSize | None = None,
    person_only: bool = True,
    precision: VariantPrecision = "fp32",
    pictures: Sequence[Image] = (),
    spec: InputSpec | None = None,
    cache: Path | None = None,
    progress: Progress = quiet,
) -> Path:
    """The variant of the model at `path`, from the cache or made now; raises ModelError.

    A new variant is verified: person-only must find exactly the same persons as the full model at the same size, in
    `pictures` or else in generated ones. int8 variants are calibrated on `pictures`; measuring their accuracy is left to
    the caller. Two processes make it only once; a killed one leaves no valid file.
    """
    if precision not in get_args(VariantPrecision):
        raise ValueError(f"no precision {precision!r}")
    if shape is None and not person_only and precision == "fp32":
        return path
    order = _Order(
        source=path,
        sha256=inspect(path).digest,
        shape=shape,
        person_only=person_only,
        precision=precision,
        pictures=pictures,
        spec=spec,
    )
    target = _place(order, cache)
    if whole(target):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target.with_name(f".{target.name}.lock")):
            if not whole(target):
                progress(0, None, f"preparing {path.stem}")
                _make(order, target)
                _give_back()
    except OSError as error:
        raise CacheError(
            f"could not prepare {path.name}: cannot write {target.parent}: {error.strerror or error}; "
            "make room or set DETECTOR_CACHE to another folder"
        ) from None
    return target


def find(path: Path, *, shape: InputSize) -> Path | None:
    """The person-only fp32 variant of that size if it is in the cache, else None. Raises ModelError."""
    order = _Order(
        source=path,
        sha256=inspect(path).digest,
        shape=shape,
        person_only=True,
        precision="fp32",
        pictures=(),
        spec=None,
    )
    target = _place(order, None)
    return target if whole(target) else None


def variants_dir() -> Path:
    """The folder of the variants."""
    return cache_dir() / "variants"


def _place(order: _Order, cache: Path | None) -> Path:
    folder = variants_dir() if cache is None else cache / "variants"
    return folder / f"{order.source.stem}-{order.key}.onnx"


def whole(target: Path) -> bool:
    """Whether the variant's file is intact."""
    try:
        facts = json.loads(target.with_suffix(".json").read_text(encoding="utf-8"))
        return bool(facts["sha256"] == file_sha256(target))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _make(order: _Order, target: Path) -> None:
    begun = time.perf_counter()
    plain = target.with_name(f".{target.name}.plain.onnx")
    try:
        with replacing(target, mode=PUBLIC) as work:  # last: only a file that agrees with its facts counts
            steps = _edited(order, plain, work)
            if order.precision in _FLOAT_LAYERS:
                steps = _quantised(order, work, steps)
            made_s = round(time.perf_counter() - begun, 2)
            facts = {
                "source_sha256": order.sha256,
                "steps": steps,
                "sha256": file_sha256(work),
                "made_s": made_s,
            }
            write_atomically(target.with_suffix(".json"), json.dumps(facts) + "\n", mode=PUBLIC)
    finally:
        plain.unlink(missing_ok=True)


def _give_back() -> None:
    """Return freed memory to the system: after making a variant glibc would keep some 150 MB."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
    if trim is not None:
        trim(0)


def _edited(order: _Order, plain: Path, work: Path) -> str:
    """Write the fp32 variant to `work`, verified against the full model of its size in `plain`; returns the steps."""
    import onnx

    from . import edit
    from .onnx_file import read

    model = read(order.source)
    if not any(entry.key == edit.SOURCE for entry in model.metadata_props):
        model.metadata_props.add(key=edit.SOURCE, value=order.sha256)
    if order.shape is not None:
        layout = edit.layout_of(model)
        if order.shape != (layout.width, layout.height) or edit.is_dynamic(model):
            model = edit.reshape(model, *order.shape)
    if order.person_only:
        onnx.save(model, str(plain))
        model = edit.person_only(model)
    onnx.save(model, str(work))
    if order.person_only:
        _prove(order, plain, work)
    else:
        _run_once(order, work)
    return edit.steps_of(model)


def _quantised(order: _Order, work: Path, steps: str) -> str:
    """Quantise `work`, and check that it loads and runs; returns the steps."""
    from .edit import PRECISION_STEP
    from .quantize import quantize_cpu, quantize_openvino

    quantise = quantize_openvino if order.precision == "int8-openvino" else quantize_cpu
    quantise(work, order.pictures, spec=order.spec, output=work, float_layers=_FLOAT_LAYERS[order.precision])
    _run_once(order, work)
    return "; ".join(filter(None, (steps, PRECISION_STEP)))


def _run_once(order: _Order, work: Path) -> None:
    from detector.inference.factory import load_detector

    detector = load_detector(path=work, name=order.source.stem, spec=order.spec, threads=1)
    try:
        detector.warm_up()
    except InferenceError as error:
        raise ModelError(f"the changed form of {order.source.name} does not run: {error}") from None
    finally:
        detector.close()


def _prove(order: _Order, plain: Path, work: Path) -> None:
    from .verify import difference

    try:
        found = difference(plain, work, order.pictures, spec=order.spec)
    except InferenceError as error:
        raise ModelError(f"the person-only form of {order.source.name} does not run: {error}") from None
    if not found.exact:
        raise ModelError(
            f"the person-only form of {order.source.name} sees other persons than the model itself "
            f"({found.missing} missing, {found.px:.3g} px, {found.score:.3g} in score): use the model as it is"
        )
