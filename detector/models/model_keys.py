"""The config's keys that describe a model, as the entries of metadata that the inference reads."""

from __future__ import annotations

import json

from detector.config.model_settings import Model
from detector.inference import model_metadata
from detector.inference.spec import INPUT


def said(model: Model) -> dict[str, str]:
    """What the keys say, by metadata key; empty where none is set."""
    entries: dict[str, str | None] = {
        model_metadata.PERSON_CLASS: None if model.person_class is None else str(model.person_class),
        model_metadata.SIZE: _size(model),
        model_metadata.LAYOUT: model.output.layout,
        model_metadata.BOXES: model.output.boxes,
        model_metadata.UNITS: model.output.units,
        model_metadata.ACTIVATION: model.output.scores,
        INPUT: _input(model),
    }
    return {key: value for key, value in entries.items() if value is not None}


def _size(model: Model) -> str | None:
    size = model.input.size
    if size is None:
        return None
    width, height = (size, size) if isinstance(size, int) else size
    return str([height, width])


def _input(model: Model) -> str | None:
    fields = model.input.model_dump(exclude_none=True, exclude={"size"})
    return json.dumps(fields) if fields else None
