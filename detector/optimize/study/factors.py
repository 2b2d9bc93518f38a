"""The factor of each change by itself, from pairs of variants that differ only in it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from detector.inference.input_sizes import InputSize

from .variant import Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class Lever:
    """`factor` is the median of how many times faster the second of a pair is; `points` the median of AP points lost."""

    name: str
    factor: float
    least: float
    most: float
    points: float
    pairs: int

    @classmethod
    def of(cls, name: str, factors: Sequence[float], lost: Sequence[float] = (0.0,)) -> Lever:
        """From each pair's factor and AP points lost."""
        return cls(
            name=name,
            factor=statistics.median(factors),
            least=min(factors),
            most=max(factors),
            points=statistics.median(lost),
            pairs=len(factors),
        )


_Partner = Callable[[Variant], Variant | None]


def levers(ms: Mapping[Variant, float], drops: Mapping[Variant, float], base: InputSize) -> list[Lever]:
    """Every lever that at least one pair shows."""
    found = []
    for name, partner in _partners(ms, base):
        pairs = [(one, other) for one in ms if (other := partner(one)) is not None and other in ms]
        if not pairs:
            continue
        factors = [ms[one] / ms[other] for one, other in pairs]
        lost = [drops[other] - drops[one] for one, other in pairs]
        found.append(Lever.of(name, factors, lost))
    return found


def _partners(ms: Mapping[Variant, float], base: InputSize) -> Iterator[tuple[str, _Partner]]:
    yield "person-only head", _to_form("person_only", False, True)
    for shape in sorted({v.form.shape for v in ms} - {base}, key=lambda shape: -shape[0] * shape[1]):
        yield f"input {shape[0]}x{shape[1]} for {base[0]}x{base[1]}", _to_form("shape", base, shape)
    for precision in sorted({v.form.precision for v in ms} - {"fp32"}):
        quantised = _to_form("precision", "fp32", precision)
        yield f"{precision} on ONNX Runtime", _in_backend("onnxruntime", quantised)
        yield f"{precision} on OpenVINO, over fp32", _in_backend("openvino", quantised)
        yield f"{precision} on OpenVINO, over its half precision", _in_backend("openvino", _from_half(quantised))
    yield "OpenVINO for ONNX Runtime", _to_runtime(backend=("onnxruntime", "openvino"))
    yield "half precision on OpenVINO", _in_backend("openvino", _to_runtime(half=(False, True)))
    for threads in sorted({v.runtime.threads for v in ms} - {1}):
        yield f"{threads} threads for 1", _to_runtime(threads=(1, threads))


def _to_form(field: str, before: object, after: object) -> _Partner:
    def partner(variant: Variant) -> Variant | None:
        if getattr(variant.form, field) != before:
            return None
        return replace(variant, form=replace(variant.form, **{field: after}))  # type: ignore[arg-type]  # by name

    return partner


def _to_runtime(**change: tuple[object, object]) -> _Partner:
    ((field, (before, after)),) = change.items()

    def partner(variant: Variant) -> Variant | None:
        if getattr(variant.runtime, field) != before:
            return None
        return replace(variant, runtime=replace(variant.runtime, **{field: after}))  # type: ignore[arg-type]  # by name

    return partner


def _in_backend(backend: str, partner: _Partner) -> _Partner:
    return lambda variant: partner(variant) if variant.runtime.backend == backend else None


def _from_half(partner: _Partner) -> _Partner:
    """To a variant that leaves precision to the library, from one that is told."""

    def found(variant: Variant) -> Variant | None:
        other = partner(variant) if variant.runtime.half else None
        return None if other is None else replace(other, runtime=replace(other.runtime, half=False))

    return found
