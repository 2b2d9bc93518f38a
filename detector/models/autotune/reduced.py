"""Smaller forms of a model, for a device that is too hot or does not keep up: what each costs is measured.

First the same model at smaller inputs, then models of the registry that are in the cache and whose weights may be used
as freely. Made and measured in a child process (`reduced_worker`); opened in the service.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from detector.config.model_settings import Model
from detector.core.errors import DetectorError
from detector.core.types import ArrayImage
from detector.inference.detector import PersonDetector
from detector.inference.input_sizes import InputSize, best_input_size
from detector.inference.multi_size import AnyDetector, MultiSizeDetector
from detector.models.graph.variants import find, prepare
from detector.models.loading import open_file, resolve, shapeable
from detector.models.probe import probed
from detector.models.registry import Registry, Resolved, load_registry

from .candidates import Candidate
from .choice import place
from .cost import interleaved
from .loader import AutotunedLoader, form_opener, kept_choice

log = logging.getLogger(__name__)

SIZES = (0.75, 0.5)  # of the model's own sides
LEAST_SIDE = 320  # px of the long side: below, people at a door are all that is seen
WORTH = 0.85  # of the cost of the form before it, at most: a smaller saving is not worth what is not seen
FREE = ("Apache-2.0", "MIT", "BSD-3-Clause")
_STRIDE = 32
_ROUNDS = 3  # a rough figure soon: the steps are far apart


@dataclass(frozen=True, slots=True, kw_only=True)
class ReducedForm:
    """A registry model or the configured file, for pictures of `size` px; `cost`: CPU time, as a share of the full's."""

    name: str
    size: InputSize
    cost: float = 1.0

    def __str__(self) -> str:
        return f"{self.name} at {self.size[0]}x{self.size[1]}"


def reduced_forms(model: Model, frame_sizes: Sequence[InputSize], scenes: Sequence[str]) -> list[ReducedForm]:
    """The forms worth having for pictures of those sizes, the costliest first; raises DetectorError.

    What is not in the cache is made. Each runs in turns with the full model, so other load slows both.
    """
    resolved = resolve(model)
    if not shapeable(model, resolved):
        return []
    quiet = model.model_copy(update={"probe": False})
    with contextlib.closing(AutotunedLoader(quiet, resolved, scenes=scenes, shapes=frame_sizes)()) as full:
        base = full.base if isinstance(full, MultiSizeDetector) else full.input_size
        forms: list[ReducedForm] = []
        for form in _possible(model, resolved, base, load_registry()):
            cost = _cost(full, model, form, frame_sizes)
            if cost is not None and cost <= WORTH * (forms[-1].cost if forms else 1.0):
                forms.append(ReducedForm(name=form.name, size=form.size, cost=round(cost, 3)))
    return forms


def open_reduced(model: Model, form: ReducedForm, frame_sizes: Sequence[InputSize]) -> MultiSizeDetector:
    """The form with the settings of `model`, in the variant that takes the least CPU time; raises ModelError."""
    wanted = model.model_copy(update={"name": form.name})
    resolved = resolve(wanted)
    candidate = _thriftiest(wanted, resolved)

    opened = partial(open_file, wanted, resolved) if candidate is None else form_opener(resolved, candidate)

    def load(shape: InputSize) -> PersonDetector | None:
        path = find(resolved.path, shape=shape)
        return None if path is None else opened(path)

    return MultiSizeDetector(load=load, base=form.size, expected=frame_sizes)


def _possible(model: Model, resolved: Resolved, base: InputSize, registry: Registry) -> Iterator[ReducedForm]:
    """The same model at smaller sizes, then each other one at its own and at smaller sizes."""
    yield from _smaller(model.name, base)
    if resolved.entry is None:
        return  # what a model of the user's own sees, another may not
    for name in registry.here():
        entry = registry.entry(name)
        if name != resolved.name and entry.licence in (*FREE, resolved.entry.licence):
            size = (entry.input.width, entry.input.height)
            yield ReducedForm(name=name, size=size)
            yield from _smaller(name, size)


def _smaller(name: str, base: InputSize) -> Iterator[ReducedForm]:
    for share in SIZES:
        width, height = (round(side * share / _STRIDE) * _STRIDE for side in base)
        if max(width, height) >= LEAST_SIDE and not any(side % _STRIDE for side in base):
            yield ReducedForm(name=name, size=(width, height))


def _thriftiest(model: Model, resolved: Resolved) -> Candidate | None:
    """Of the variants that were measured and accepted the one of the least CPU time; None: the backend is configured.

    None of those that were calibrated: their files hold for the sizes that they were made for.
    """
    if model.backend != "auto":
        return None
    choice = kept_choice(place(model, resolved))
    measured = [] if choice is None else choice.results
    usable = [each for each in measured if each.refused is None and each.cpu_ms and not each.form.calibrated]
    if usable:
        return min(usable, key=lambda each: each.cpu_ms or 0.0).form
    return Candidate(threads=model.threads) if choice is None else choice.spare


def _cost(full: AnyDetector, model: Model, form: ReducedForm, frame_sizes: Sequence[InputSize]) -> float | None:
    """CPU time as a share of the full model's; None where the form cannot be had or sees no person."""
    sizes = tuple(frame_sizes) or (form.size,)
    try:
        path = resolve(model.model_copy(update={"name": form.name}))
        for shape in dict.fromkeys((form.size, *(best_input_size(form.size, *size) for size in sizes))):
            prepare(path.path, shape=shape, spec=path.spec)
        with contextlib.closing(open_reduced(model, form, sizes)) as detector:
            detector.warm_up()
            if model.probe:
                probed(detector)
            width, height = sizes[0]
            grey = ArrayImage(np.full((height, width, 3), 114, np.uint8))
            beside, cost = interleaved(full, detector, grey, rounds=_ROUNDS)
    except DetectorError as error:
        log.info("%s is no smaller form of %s: %s", form, model.name, error)
        return None
    return cost.cpu_ms / beside.cpu_ms if beside.cpu_ms else None
