"""What a model's metadata says of its outputs: exporters' own entries, and ours under `detector.`.

The config's keys `model.person_class`, `model.input` and `model.output` are laid over a file's metadata as these
entries, so that a file and a config say the same things in one way.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping

from detector.core.errors import ModelError

PIXELS = "detector.pixels"
"""Metadata of a model whose preprocessing is folded in: how the letterbox around its bytes is, in words."""
ACTIVATION = "detector.activation"
"""What turns its scores into 0..1: none, sigmoid, softmax. Config: `model.output.scores`."""
PERSON_CLASS = "detector.person_class"
"""The person's class, by name or number. Config: `model.person_class`."""
BOXES = "detector.boxes"
"""How a row says a box: xyxy, cxcywh or yxyx. Config: `model.output.boxes`."""
UNITS = "detector.units"
"""What a box's numbers are: px of the input, or share (0..1) of its sides. Config: `model.output.units`."""
LAYOUT = "detector.layout"
"""The layout's name where shapes alone do not tell. Config: `model.output.layout`."""
SIZE = "detector.size"
"""Height and width in px of an input that takes any. Config: `model.input.size`."""
STEPS = "detector.steps"
"""What this project did to the file, in words."""

_TASKS = ("detect", "pose", "segment")
_NMS_IOU = "detector.nms_iou"


def literal(text: str) -> object:
    """A Python literal as exporters write it; None for anything else."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def flag(metadata: Mapping[str, str], key: str) -> bool:
    """Whether the entry is there and says true."""
    return metadata.get(key, "").strip().lower() == "true"


def nms_inside(metadata: Mapping[str, str]) -> bool:
    """Whether the exporter says that nothing is left to suppress: end to end, or with its NMS in the graph."""
    if flag(metadata, "end2end") or flag(metadata, "nms"):
        return True
    arguments = literal(metadata.get("args", ""))
    return isinstance(arguments, dict) and arguments.get("nms") is True


def transformer(metadata: Mapping[str, str]) -> bool:
    """Whether the exporter's description names RT-DETR or another of the DETR family."""
    text = metadata.get("description", "").lower().replace("-", "").replace("_", "")
    return "detr" in text


def task(metadata: Mapping[str, str]) -> str:
    """detect, pose or segment; raises ModelError on another."""
    found = metadata.get("task", "detect")
    if found not in _TASKS:
        raise ModelError(f"this model is for the task {found!r}: a detection, pose or segmentation model is needed")
    return found


def imgsz(metadata: Mapping[str, str]) -> tuple[int, int] | None:
    """Width and height in px of an input whose size is open; None where nothing says."""
    value = literal(metadata.get(SIZE) or metadata.get("imgsz", ""))
    if isinstance(value, int):
        return value, value
    if isinstance(value, (list, tuple)) and len(value) == 2 and all(isinstance(side, int) for side in value):
        return value[1], value[0]
    return None


def nms_iou(metadata: Mapping[str, str]) -> float | None:
    """The threshold of an NMS that was cut off the graph; None leaves the family's own."""
    value = literal(metadata.get(_NMS_IOU, ""))
    return float(value) if isinstance(value, (int, float)) and 0.0 < value < 1.0 else None


def class_names(metadata: Mapping[str, str]) -> dict[int, str] | None:
    """The classes' names by number; raises ModelError where the numbers have gaps."""
    value = literal(metadata.get("names", ""))
    if isinstance(value, (list, tuple)):
        value = dict(enumerate(value))
    if not isinstance(value, dict) or not value:
        return None
    if sorted(value, key=str) != sorted(range(len(value)), key=str):
        raise ModelError("this model's class names are not numbered from 0: export it again")
    return {index: str(name) for index, name in value.items()}
