"""What a model file looks like, what it is taken for, and which keys of the config would change that."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from detector.core.errors import ModelError
from detector.inference.acceptance import accepted_layout
from detector.inference.detector import PersonDetector
from detector.inference.factory import open_backend
from detector.inference.layout import Layout
from detector.inference.model_metadata import class_names
from detector.inference.spec import InputSpec
from detector.inference.tensors import TensorSpec

from .registry import Resolved

_LONG = 200  # of a metadata entry's text


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """`layout` and `spec` are None where the file is not understood; then `why` says what to do.

    `keys` are the config's keys that decide, each with what it is now and what else it may be.
    """

    file: str
    backend: str
    precision: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    metadata: Mapping[str, str]
    layout: Layout | None = None
    spec: InputSpec | None = None
    why: str | None = None
    keys: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "file": self.file,
            "understood": self.why is None,
            "why": self.why,
            "backend": self.backend,
            "precision": self.precision,
            "inputs": [str(spec) for spec in self.inputs],
            "outputs": [str(spec) for spec in self.outputs],
            "metadata": dict(self.metadata),
            "layout": None if self.layout is None else _described(self.layout),
            "input": None if self.spec is None else dataclasses.asdict(self.spec),
            "keys": dict(self.keys),
        }


def inspected(resolved: Resolved) -> Inspection:
    """The file of `resolved`, opened and run once; raises ModelError where no runtime opens it."""
    backend = open_backend(resolved.path, spec=resolved.spec)
    seen = Inspection(
        file=str(resolved.path),
        backend=backend.name,
        precision=backend.precision,
        inputs=backend.inputs,
        outputs=backend.outputs,
        metadata={key: text[:_LONG] for key, text in backend.metadata.items()},
    )
    layout = None
    try:
        layout = accepted_layout(backend, dict(backend.metadata), first_run=True)
        spec = PersonDetector(model_name=resolved.name, backend=backend, spec=resolved.spec).spec
    except ModelError as error:
        return dataclasses.replace(seen, layout=layout, why=str(error), keys=_keys(layout, None, backend.metadata))
    finally:
        backend.close()
    return dataclasses.replace(seen, layout=layout, spec=spec, keys=_keys(layout, spec, backend.metadata))


def _described(layout: Layout) -> dict[str, Any]:
    return {
        "kind": layout.kind,
        "boxes": layout.box_form,
        "units": layout.box_units,
        "scores": layout.activation,
        "nms": layout.suppress or layout.kind in ("dense", "yolox-grid", "yolox-boxes", "rows-objectness", "gfl"),
        "width": layout.width,
        "height": layout.height,
        "classes": layout.classes,
        "person": layout.person,
        "note": layout.note,
    }


def _keys(layout: Layout | None, spec: InputSpec | None, metadata: Mapping[str, str]) -> dict[str, str]:
    """Each key that would change the reading, with what it is now."""
    names = class_names(metadata)
    known = f", one of {', '.join(list(names.values())[:8])}" if names else ""
    return {
        "model.person_class": f"{'unknown' if layout is None else layout.person}; a name or number{known}",
        "model.input": f"{'unknown' if spec is None else _short(spec)}; size, color, scale, mean, std, pad, placement",
        "model.output.boxes": f"{'unknown' if layout is None else layout.box_form}; xyxy, cxcywh or yxyx",
        "model.output.units": f"{'unknown' if layout is None else layout.box_units}; px or share",
        "model.output.scores": f"{'unknown' if layout is None else layout.activation}; none, sigmoid or softmax",
        "model.output.layout": f"{'unknown' if layout is None else layout.kind}; where shapes fit several",
    }


def _short(spec: InputSpec) -> str:
    parts = [spec.color, f"scale {spec.scale:.6g}", spec.placement]
    if spec.normalised:
        parts += [f"mean {list(spec.mean or (0, 0, 0))}", f"std {list(spec.std or (1, 1, 1))}"]
    return " ".join(parts)
