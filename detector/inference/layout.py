"""The layout of a detection model's outputs, found from the graph's shapes, names and metadata."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

from detector.core.errors import ModelError

from .spec import InputSpec
from .tensors import TensorSpec

LayoutKind = Literal["end-to-end", "dense", "yolox-grid", "yolox-nms", "yolox-boxes", "detr"]
Activation = Literal["none", "sigmoid", "softmax"]
STRIDES = (8, 16, 32)
_DEFAULT_SIZE = (640, 640)
_PERSON_NAMES = ("person", "pedestrian", "people", "human")
_KNOWN = (
    "known are [1, K, 6] (end-to-end, as YOLOv10), [1, 4+classes, N] (dense, as YOLOv8 and YOLO11), "
    "[1, N, 5+classes] (YOLOX grid, strides 8, 16, 32), dets [1, N, 5] with labels [1, N] (YOLOX with NMS) "
    "boxes [1, N, 4] with scores [1, classes, N] (YOLOX cut before its NMS) "
    "and boxes [1, Q, 4] with scores [1, Q, classes] (RT-DETR, D-FINE)"
)
PIXELS = "detector.pixels"
"""Metadata key of a model with preprocessing in the graph: the placement of its letterbox."""
ACTIVATION = "detector.activation"
"""Metadata key of a transformer detector: the function that turns its scores into 0..1."""
_COCO_IDS, _COCO_IDS_AND_NOTHING = 91, 92  # DETR's classes are COCO's own category numbers: person is 1, 0 is unused


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One of the known layouts; `width`, `height` are the input's px, `person` the index of the class.

    `classes` is None if unknown; `boxes`, `labels`, `scores` are the outputs' indices. `iou` is the threshold of the
    model's own NMS, if the metadata has it. `pixels`: the input is uint8 [1,height,width,3] BGR, else float
    [1,3,height,width]. `activation` turns a transformer's scores into 0..1.
    """

    kind: LayoutKind
    width: int
    height: int
    person: int = 0
    classes: int | None = None
    boxes: int = 0
    labels: int | None = None
    scores: int | None = None
    iou: float | None = None
    pixels: bool = False
    activation: Activation = "none"


def anchors(width: int, height: int) -> int:
    """The number of cells of the three grids for an input of `width` x `height` px."""
    return sum((width // stride) * (height // stride) for stride in STRIDES)


def find_layout(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], metadata: Mapping[str, str]) -> Layout:
    """The layout of a graph; raises ModelError that names its outputs and the known ones."""
    width, height = _input_size(inputs, metadata)
    task = metadata.get("task", "detect")
    if task != "detect":
        raise ModelError(f"this model is for the task {task!r}: a detection model is needed")
    cells = anchors(width, height)
    found = _match_boxes(outputs, cells) or _match_queries(outputs)
    kind, classes, boxes, second = found or _match(
        outputs, cells, metadata.get("end2end", "").strip().lower() == "true"
    )
    if kind in ("dense", "yolox-grid", "yolox-boxes") and (width % STRIDES[-1] or height % STRIDES[-1]):
        raise ModelError(f"this model's input is {width} x {height} px: both must be multiples of {STRIDES[-1]}")
    names = _names(metadata)
    # COCO's own numbers are known without names; behind a transformer's classes there may be one of nothing.
    coco_ids = kind == "detr" and names is None and classes in (_COCO_IDS, _COCO_IDS_AND_NOTHING)
    iou = _literal(metadata.get("detector.nms_iou", ""))
    return Layout(
        kind=kind,
        width=width,
        height=height,
        person=1 if coco_ids else _person(names, classes, extra=int(kind == "detr")),
        classes=len(names) if classes is None and names else classes,
        boxes=boxes,
        labels=None if found else second,
        scores=second if found else None,
        iou=float(iou) if isinstance(iou, (int, float)) and 0.0 < iou < 1.0 else None,
        pixels=inputs[0].dtype == "uint8",
        activation=_activation(metadata, names, classes) if kind == "detr" else "none",
    )


def default_spec(layout: Layout) -> InputSpec:
    """The input that models of this layout are commonly trained with."""
    if layout.kind.startswith("yolox"):
        return InputSpec(color="bgr", scale=1.0, placement="top-left")
    if layout.kind == "detr":  # RT-DETR and D-FINE: stretched to the input
        return InputSpec(color="rgb", scale=1.0 / 255.0, placement="stretch")
    return InputSpec(color="rgb", scale=1.0 / 255.0, placement="center")


def _input_size(inputs: Sequence[TensorSpec], metadata: Mapping[str, str]) -> tuple[int, int]:
    """Width and height in px; dynamic ones come from the metadata's `imgsz` (height, width)."""
    found = _shown(inputs)
    shape = inputs[0].shape if len(inputs) == 1 else ()
    if len(shape) == 4 and inputs[0].dtype == "uint8" and shape[3] == 3:
        shape = (shape[0], shape[3], *shape[1:3])
    elif len(shape) != 4 or shape[1] not in (3, None):
        raise ModelError(f"not a picture model: its inputs are {found}, needed is one of [1, 3, height, width]")
    elif inputs[0].dtype not in ("float32", "float16"):
        raise ModelError(f"this model takes {inputs[0].dtype} pictures ({found}): export it with a float input")
    batch, _, height, width = shape
    if batch not in (1, None):
        raise ModelError(f"this model takes {batch} pictures at once ({found}): export it with batch 1")
    default_height, default_width = _imgsz(metadata)
    size = (width or default_width, height or default_height)
    if not all(STRIDES[-1] <= side <= 8192 for side in size):
        raise ModelError(f"this model's input of {size[0]} x {size[1]} px is none that can be used ({found})")
    return size


def _imgsz(metadata: Mapping[str, str]) -> tuple[int, int]:
    value = _literal(metadata.get("imgsz", ""))
    if isinstance(value, int):
        return value, value
    if isinstance(value, (list, tuple)) and len(value) == 2 and all(isinstance(side, int) for side in value):
        return value[0], value[1]
    return _DEFAULT_SIZE


def _match(
    outputs: Sequence[TensorSpec], cells: int, end_to_end: bool
) -> tuple[LayoutKind, int | None, int, int | None]:
    """Kind, number of classes, indices of the boxes' and the labels' output."""
    shapes = [spec.shape for spec in outputs]
    if any(shape and shape[0] not in (1, None) for shape in shapes):
        raise ModelError(f"unknown outputs {_shown(outputs)}: more than one picture at once; {_KNOWN}")
    if sorted(len(shape) for shape in shapes) == [2, 3]:
        boxes = 0 if len(shapes[0]) == 3 else 1
        if shapes[boxes][2] == 5:
            return "yolox-nms", None, boxes, 1 - boxes
    if len(shapes) == 1 and len(shapes[0]) == 3:
        _, rows, columns = shapes[0]
        if rows is not None and rows >= 5 and columns in (cells, None):
            return "dense", rows - 4, 0, None
        # With rows unknown, six columns could be either; the exporter's metadata decides.
        if columns == 6 and (end_to_end or rows not in (cells, None)):
            return "end-to-end", None, 0, None
        if columns is not None and columns >= 6 and (rows == cells or (rows is None and columns > 6)):
            return "yolox-grid", columns - 5, 0, None
    raise ModelError(f"unknown outputs {_shown(outputs)}; {_KNOWN}")


def _match_boxes(outputs: Sequence[TensorSpec], cells: int) -> tuple[LayoutKind, int | None, int, int | None] | None:
    """Boxes [1,N,4] and scores [1,classes,N] in two outputs, in either order; None for anything else."""
    shapes = [spec.shape for spec in outputs]
    if [len(shape) for shape in shapes] != [3, 3] or any(shape[0] not in (1, None) for shape in shapes):
        return None
    for boxes, scores in ((0, 1), (1, 0)):
        fits = shapes[boxes][2] == 4 and shapes[boxes][1] in (cells, None) and shapes[scores][2] in (cells, None)
        if fits and shapes[scores][1] is not None:
            return "yolox-boxes", shapes[scores][1], boxes, scores
    return None


def _match_queries(outputs: Sequence[TensorSpec]) -> tuple[LayoutKind, int | None, int, int | None] | None:
    """Boxes [1,Q,4] and scores [1,Q,classes] in two outputs, in either order; None for anything else."""
    shapes = [spec.shape for spec in outputs]
    if [len(shape) for shape in shapes] != [3, 3] or any(shape[0] not in (1, None) for shape in shapes):
        return None
    for boxes, scores in ((0, 1), (1, 0)):
        if shapes[boxes][2] == 4 and shapes[scores][2] not in (4, None) and shapes[boxes][1] == shapes[scores][1]:
            return "detr", shapes[scores][2], boxes, scores
    return None


def _activation(metadata: Mapping[str, str], names: Mapping[int, str] | None, classes: int | None) -> Activation:
    """From the metadata; else softmax if there is one output class more ("no object") than there are names."""
    declared = metadata.get(ACTIVATION)
    for known in get_args(Activation):
        if declared == known:
            return cast("Activation", known)
    with_nothing = classes == _COCO_IDS_AND_NOTHING if names is None else classes == len(names) + 1
    return "softmax" if with_nothing else "sigmoid"


def _person(names: Mapping[int, str] | None, classes: int | None, extra: int = 0) -> int:
    """The index of the class person: by name if the model has names, else the first of COCO's 80 or of 1.

    `extra` classes after the named ones are allowed. Raises ModelError if it is unknown.
    """
    if names is None:
        if classes not in (1, 80, None):
            raise ModelError(f"this model has {classes} classes and no names for them: which is a person is unknown")
        return 0
    if classes is not None and classes not in (len(names), len(names) + extra):
        raise ModelError(f"this model names {len(names)} classes, but its output has {classes}")
    return person_of(names)


def person_of(names: Mapping[int, str]) -> int:
    """The index of the class person by its name; raises ModelError where there is none."""
    for wanted in _PERSON_NAMES:
        for index, name in names.items():
            if name.strip().lower() == wanted:
                return index
    few = ", ".join(list(names.values())[:5])
    raise ModelError(f"this model knows no persons: its classes are {few}{', ...' if len(names) > 5 else ''}")


def _names(metadata: Mapping[str, str]) -> dict[int, str] | None:
    value = _literal(metadata.get("names", ""))
    if isinstance(value, (list, tuple)):
        value = dict(enumerate(value))
    if not isinstance(value, dict) or not value:
        return None
    if sorted(value, key=str) != sorted(range(len(value)), key=str):
        raise ModelError("this model's class names are not numbered from 0: export it again")
    return {index: str(name) for index, name in value.items()}


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _shown(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(str(spec) for spec in specs) or "none"
