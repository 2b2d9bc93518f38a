"""The variants of a model that this machine can try."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from detector.inference.shapes import Shape

from .makers import MAKERS
from .variant import MODEL, BackendChoice, Form, Runtime, Variant

_QUICK_PRECISIONS = 2
"""Of a quick grid: the plain form and the first calibrated one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the grid spans; `sources` are the model and its candidates, `calibrated` whether there are pictures.

    `half` are the backends that compute in half precision here, by themselves.
    `quick` leaves out what seldom wins: whole heads in other precisions than the model's own, and the
    precisions after the first calibrated one.
    """

    shapes: Sequence[Shape]
    backends: Sequence[BackendChoice]
    threads: Sequence[int]
    half: Sequence[BackendChoice] = ()
    sources: Sequence[str] = (MODEL,)
    calibrated: bool = True
    quick: bool = False


def variants(limits: Limits) -> list[Variant]:
    """All of them, those that share a form beside each other."""
    return [
        Variant(form=form, runtime=runtime)
        for form in _forms(limits)
        for runtime in _runtimes(limits, calibrated=MAKERS[form.precision].calibrated)
    ]


def _forms(limits: Limits) -> list[Form]:
    names = [name for name, maker in MAKERS.items() if limits.calibrated or not maker.calibrated]
    heads = (False, True)
    if limits.quick:
        plain, *others = names
        pairs = [*((plain, head) for head in heads), *((name, True) for name in others[: _QUICK_PRECISIONS - 1])]
    else:
        pairs = list(itertools.product(names, heads))
    return [
        Form(source=source, shape=shape, precision=precision, person_only=person_only)
        for source in limits.sources
        for shape in limits.shapes
        for precision, person_only in pairs
    ]


def _runtimes(limits: Limits, *, calibrated: bool) -> list[Runtime]:
    """Half precision beside full where a library computes so; of a quantised form's floats half alone, it never costs."""
    found = []
    for threads, backend in itertools.product(limits.threads, limits.backends):
        able = backend in limits.half
        halves = (True,) if able and calibrated else (False, True) if able else (False,)
        found += [Runtime(backend=backend, threads=threads, half=half) for half in halves]
    return found
