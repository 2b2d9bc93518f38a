"""From the shapes and names of a graph's outputs to the layouts that they may be, the most common first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from detector.core.errors import ModelError

from . import model_metadata as said
from .input_tensors import shown
from .tensors import TensorSpec

LayoutKind = Literal[
    "end-to-end",
    "dense",
    "yolox-grid",
    "yolox-nms",
    "yolox-boxes",
    "detr",
    "rows",
    "rows-objectness",
    "boxes-scores",
    "detections",
    "flat-rows",
    "flat-rows-score-class",
    "gfl",
]
Form = Literal["xyxy", "cxcywh", "yxyx"]
Units = Literal["px", "share"]
_STRIDES = ((8, 16, 32), (4, 8, 16, 32), (8, 16, 32, 64))  # the usual ones, P2 and P6 models
_ANCHORS = 3  # a cell: YOLOv5 and YOLOv7
_COCO = 80
_GFL_BINS = 4 * 8  # NanoDet: reg_max 7
_MASK_WEIGHTS = 32  # YOLO's segmentation heads
_NORMALISED = "RF-DETR, DETR and YOLOS want mean and standard deviation, RT-DETR does not"


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A layout that the outputs' shapes allow: see Layout's fields.

    `person` is the class's number where the format itself fixes it; `unnumbered`: nothing says which number it is.
    """

    kind: LayoutKind
    classes: int | None = None
    boxes: int = 0
    labels: int | None = None
    scores: int | None = None
    count: int | None = None
    rows: int | None = None
    extra: int = 0
    suppress: bool = False
    columns: tuple[int, int, int] = (0, 4, 5)
    form: Form | None = None
    units: Units | None = None
    outputs: int | None = None
    person: int | None = None
    unnumbered: bool = False
    sigmoid: bool = False
    asks: str | None = None


def anchor_counts(width: int, height: int) -> tuple[int, ...]:
    """How many cells the grids of the usual strides, of P2 and of P6 models have over an input of that many px."""
    usual, fine, coarse = (sum((width // stride) * (height // stride) for stride in strides) for strides in _STRIDES)
    # NanoDet rounds a grid that does not divide the input up.
    rounded = sum(math.ceil(width / stride) * math.ceil(height / stride) for stride in _STRIDES[2])
    return usual, fine, coarse, rounded


def matches(
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    metadata: Mapping[str, str],
    *,
    width: int,
    height: int,
    names: Mapping[int, str] | None,
) -> list[Match]:
    """All layouts that fit, none where the outputs are unknown; raises ModelError on another task or a fixed batch."""
    task = said.task(metadata)
    if any(len(spec.shape) == 3 and spec.shape[0] not in (1, None) for spec in outputs):
        raise ModelError(f"unknown outputs {shown(outputs)}: more than one picture at once; export it with batch 1")
    shapes = [spec.shape for spec in outputs]
    masks = [index for index, shape in enumerate(shapes) if len(shape) == 4 and task == "segment"]
    counts = anchor_counts(width, height)
    ranks = [len(shape) for index, shape in enumerate(shapes) if index not in masks]
    if ranks == [3]:
        index = next(index for index in range(len(shapes)) if index not in masks)
        extra = _extra(task, shapes, masks, metadata)
        found = _one_output(shapes[index], counts, metadata, names, extra)
        whole = len(shapes) if len(shapes) > 1 else None
        return [replace(match, boxes=index, outputs=whole) for match in found]
    if len(shapes) == 1:
        return _flat(shapes[0], outputs[0].name)
    if sorted(ranks) == [2, 3]:
        found = _dets_and_labels(shapes, metadata)
        if found:
            return found
    if ranks == [3, 3]:
        return _two_outputs(outputs, counts, metadata, names)
    return _apart(inputs, outputs)


def _extra(
    task: str,
    shapes: Sequence[tuple[int | None, ...]],
    masks: Sequence[int],
    metadata: Mapping[str, str],
) -> int:
    """How many columns behind the classes are no classes: key points, or weights of the mask prototypes."""
    if task == "segment":
        return (shapes[masks[0]][1] if masks else None) or _MASK_WEIGHTS
    if task == "pose":
        points = said.literal(metadata.get("kpt_shape", ""))
        if isinstance(points, (list, tuple)) and len(points) == 2 and all(isinstance(side, int) for side in points):
            return int(points[0] * points[1])
        return 51  # COCO's 17 points of x, y and visibility
    return 0


def _one_output(
    shape: tuple[int | None, ...],
    counts: tuple[int, ...],
    metadata: Mapping[str, str],
    names: Mapping[int, str] | None,
    extra: int,
) -> list[Match]:
    _, rows, columns = shape
    found = []
    if rows is not None and rows >= 5 + extra and columns in (*counts, None):
        other = columns if columns not in (counts[0], None) else None
        found.append(Match(kind="dense", classes=rows - 4 - extra, rows=other, extra=extra))
    if columns is None or columns < 5 + extra:
        return found
    if columns == 6 + extra and _chosen_rows(rows, counts, metadata):
        found.append(Match(kind="end-to-end", extra=extra))
        if metadata.get(said.LAYOUT) == "rows":  # two classes' scores, where the numbers look like score and class
            found.append(Match(kind="rows", classes=columns - 4 - extra, rows=rows, extra=extra))
        return found
    if rows is None and columns == 6 + extra:  # which of several it is, a run shows
        return found
    return found + _grid_rows(rows, columns, counts, metadata, names, extra)


def _chosen_rows(rows: int | None, counts: tuple[int, ...], metadata: Mapping[str, str]) -> bool:
    """Whether six columns are a chosen few boxes. With rows unknown only the exporter's word decides."""
    grids = (*counts, *(_ANCHORS * count for count in counts))
    return said.nms_inside(metadata) or rows not in (*grids, None)


def _grid_rows(
    rows: int | None,
    columns: int,
    counts: tuple[int, ...],
    metadata: Mapping[str, str],
    names: Mapping[int, str] | None,
    extra: int,
) -> list[Match]:
    """Rows [N, columns]: a grid's cells, or a transformer's queries."""
    anchored = rows in [_ANCHORS * count for count in counts]
    cells = rows in counts
    other = rows if rows != counts[0] else None
    with_objectness = Match(kind="rows-objectness", classes=columns - 5 - extra, rows=rows, extra=extra)
    if columns < 6 + extra:
        with_objectness = replace(with_objectness, classes=0)
    without = Match(kind="rows", classes=columns - 4 - extra, rows=rows, extra=extra, suppress=cells)
    found = []
    if anchored:
        return [with_objectness] if with_objectness.classes else []
    if cells or rows is None:
        asks = "decoded YOLOX takes 0..255, YOLOv6 and YOLOv7 take 0..1"
        if other is None and not extra and with_objectness.classes:
            found.append(Match(kind="yolox-grid", classes=columns - 5))
        if with_objectness.classes:
            found.append(replace(with_objectness, asks=asks))
        if cells and columns == 6:
            found.append(Match(kind="end-to-end", suppress=True, rows=rows))  # DeepStream-Yolo's export
        if cells and not extra and columns > _GFL_BINS and (len(names or ()) or _COCO) == columns - _GFL_BINS:
            found.append(Match(kind="gfl", classes=columns - _GFL_BINS, rows=rows))
    if rows is not None and _are_scores(without.classes, metadata, names, cells=cells):
        found.append(without)
    elif cells and names is None and columns != 5 + _COCO and not extra and without.classes:
        found.append(without)  # turned round, or with an objectness: only who made it knows
    return found


def _are_scores(
    columns: int | None, metadata: Mapping[str, str], names: Mapping[int, str] | None, *, cells: bool
) -> bool:
    """Whether the columns behind the boxes are a score a class."""
    if names is not None:
        return len(names) == columns
    told = said.transformer(metadata) or metadata.get(said.LAYOUT) == "rows"
    return told or (not cells and columns in (1, _COCO))


def _flat(shape: tuple[int | None, ...], name: str) -> list[Match]:
    """Rows of all pictures together [N, 7] or [N, 6], and SSD's [1, 1, N, 7]."""
    if len(shape) == 4 and shape[1] == 1 and shape[3] == 7:  # OpenVINO's DetectionOutput
        return [Match(kind="flat-rows", columns=(3, 2, 1), units="share", unnumbered=True)]
    if len(shape) != 2:
        return []
    if shape[1] == 7:
        yolov7 = Match(kind="flat-rows", columns=(1, 6, 5))
        nas = Match(kind="flat-rows-score-class", columns=(1, 5, 6))
        return [nas, yolov7] if "flat" in name.lower() else [yolov7, nas]
    return [Match(kind="flat-rows")] if shape[1] == 6 else []


def _dets_and_labels(shapes: Sequence[tuple[int | None, ...]], metadata: Mapping[str, str]) -> list[Match]:
    boxes = 0 if len(shapes[0]) == 3 else 1
    if shapes[boxes][2] != 5:
        return []
    asks = None if metadata.get(said.STEPS) else "YOLOX takes 0..255, RTMDet wants mean and standard deviation"
    return [Match(kind="yolox-nms", boxes=boxes, labels=1 - boxes, asks=asks)]


def _two_outputs(
    outputs: Sequence[TensorSpec],
    counts: tuple[int, ...],
    metadata: Mapping[str, str],
    names: Mapping[int, str] | None,
) -> list[Match]:
    """Boxes [1,N,4] and scores [1,classes,N] or [1,N,classes], in either order."""
    found: list[Match] = []
    for boxes, scores in ((0, 1), (1, 0)):
        rows, width = outputs[boxes].shape[1:]
        _, first, last = outputs[scores].shape
        if width != 4 or _called(outputs[scores], "box", "dets"):
            continue
        if rows in (*counts, None) and last in (*counts, None) and last == rows and first is not None:
            found.append(_cut(first, boxes, scores, rows if rows not in (counts[0], None) else None, metadata))
        elif first == rows and last is not None:
            plain = Match(kind="boxes-scores", classes=last, boxes=boxes, scores=scores, suppress=True)
            queries = _queries(outputs, plain, names)
            found += [plain] if rows in counts else [queries, plain] if rows is None else [queries]
    return found


def _cut(classes: int, boxes: int, scores: int, rows: int | None, metadata: Mapping[str, str]) -> Match:
    asks = None if metadata.get(said.STEPS) else "YOLOX takes BGR in 0..255, PP-YOLOE RGB in 0..1"
    return Match(kind="yolox-boxes", classes=classes, boxes=boxes, scores=scores, rows=rows, asks=asks)


def _queries(outputs: Sequence[TensorSpec], plain: Match, names: Mapping[int, str] | None) -> Match:
    """A transformer's two outputs; `asks` where it may be one that wants mean and standard deviation."""
    roboflow = {spec.name for spec in outputs} == {"dets", "labels"}  # RF-DETR's export
    nothing = plain.classes in (_COCO + 11, _COCO + 12) if names is None else plain.classes == len(names) + 1
    asks = _NORMALISED if roboflow or nothing else None
    return replace(plain, kind="detr", suppress=False, sigmoid=roboflow, asks=asks)


def _apart(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> list[Match]:
    """Boxes, scores and classes in outputs of their own, with or without their number."""
    shapes = [spec.shape for spec in outputs]
    if len(shapes) == 2 and sorted(len(shape) for shape in shapes) == [1, 2]:  # PaddleDetection: rows and their number
        rows = 0 if len(shapes[0]) == 2 else 1
        if shapes[rows][1] == 6:
            asks = "PP-YOLOE+ takes 0..1, PP-YOLOE wants mean and standard deviation"
            return [
                Match(kind="flat-rows", boxes=rows, columns=(2, 1, 0), outputs=2, count=1 - rows, asks=asks),
            ]
    boxes = [index for index, shape in enumerate(shapes) if len(shape) in (2, 3) and shape[-1] == 4]
    if len(boxes) != 1 or len(shapes) not in (3, 4):
        return []
    rank = len(shapes[boxes[0]]) - 1
    rest = [index for index in range(len(shapes)) if index not in boxes]
    counts = [index for index in rest if len(shapes) == 4 and _a_number(outputs[index])]
    lists = [index for index in rest if index not in counts and len(shapes[index]) == rank]
    if len(lists) != 2 or len(counts) + 3 != len(shapes):
        return []
    base = Match(kind="detections", boxes=boxes[0], count=counts[0] if counts else None, outputs=len(shapes))
    base = _known_format(base, inputs, outputs)
    pairs = [(lists[0], lists[1]), (lists[1], lists[0])]
    named = [pair for pair in pairs if _is_scores(outputs[pair[0]]) or _is_labels(outputs[pair[1]])]
    clear = [pair for pair in named if not (_is_labels(outputs[pair[0]]) or _is_scores(outputs[pair[1]]))]
    return [replace(base, scores=scores, labels=labels) for scores, labels in clear or pairs]


def _a_number(spec: TensorSpec) -> bool:
    called = _called(spec, "num") and not _called(spec, "box", "score", "class")
    return called or spec.shape in ((), (1,), (1, 1))


def _known_format(base: Match, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> Match:
    """What the names of inputs and outputs fix: the order of a box's corners, and the numbers of the classes."""
    if any(spec.name == "orig_target_sizes" for spec in inputs):  # RT-DETR, D-FINE: COCO's 80, counted from 0
        return replace(base, person=0)
    text = " ".join(spec.name.lower() for spec in outputs)
    if "tflite_detection" in text:
        return replace(base, form="yxyx", units="share", person=0)
    if "detection_boxes" in text:  # TensorFlow's object detection: COCO's numbers
        return replace(base, form="yxyx", units="share", person=1)
    if "det_boxes" in text or "pred_boxes" in text:  # EfficientNMS and YOLO-NAS
        return replace(base, person=0)
    return replace(base, unnumbered=True, asks="SSD and torchvision's models take different ranges")


def _is_labels(spec: TensorSpec) -> bool:
    return _called(spec, "label", "class") or spec.dtype.startswith(("int", "uint"))


def _is_scores(spec: TensorSpec) -> bool:
    return _called(spec, "score", "conf", "prob")


def _called(spec: TensorSpec, *parts: str) -> bool:
    return any(part in spec.name.lower() for part in parts)
