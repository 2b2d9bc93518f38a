"""The variants of a model that this machine can run."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from detector.inference.input_sizes import InputSize

from .forms import MAKERS
from .variant import MODEL, BackendChoice, Runtime, Variant, VariantForm


@dataclass(frozen=True, slots=True, kw_only=True)
class GridLimits:
    """What the grid spans; `sources` are the model and its candidates, `calibrated` whether there are pictures.

    `half` are the backends that compute in half precision here, by themselves.
    `quick` leaves out what seldom wins: quantised whole heads, and mixed precisions.
    """

    shapes: Sequence[InputSize]
    backends: Sequence[BackendChoice]
    threads: Sequence[int]
    half: Sequence[BackendChoice] = ()
    sources: Sequence[str] = (MODEL,)
    calibrated: bool = True
    quick: bool = False


def variants(limits: GridLimits) -> list[Variant]:
    """All of them, those that share a form beside each other."""
    return [Variant(form=form, runtime=runtime) for form in _forms(limits) for runtime in _runtimes(limits, form)]


def _forms(limits: GridLimits) -> list[VariantForm]:
    makers = {name: maker for name, maker in MAKERS.items() if limits.calibrated or not maker.calibrated}
    pairs = [
        (name, person_only)
        for name, maker in makers.items()
        for person_only in (False, True)
        if not limits.quick or (maker.quick and (person_only or not maker.calibrated))
    ]
    return [
        VariantForm(source=source, shape=shape, precision=precision, person_only=person_only)
        for source in limits.sources
        for shape in limits.shapes
        for precision, person_only in pairs
    ]


def _runtimes(limits: GridLimits, form: VariantForm) -> list[Runtime]:
    """Half precision beside full where a library computes so; in quantised forms it does as it sees fit.

    A quick grid tries a quantised form in the one library that it is meant for.
    """
    maker = MAKERS[form.precision]
    meant = [backend for backend in maker.backends if backend in limits.backends]
    if limits.quick and maker.calibrated:
        meant = meant[:1]
    found = []
    for threads, backend in itertools.product(limits.threads, meant):
        halves = (False, True) if backend in limits.half and not maker.whole_numbers else (False,)
        found += [Runtime(backend=backend, threads=threads, half=half) for half in halves]
    return found
