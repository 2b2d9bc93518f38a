"""A model's first run decides what its shapes leave open, and refuses what cannot be understood.

The numbers of a run on drawn content tell px from shares, corners from centres, logits from scores, and families of
one shape apart. Where they do not, the model is refused with the key that decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.core.errors import InferenceError, ModelError
from detector.core.types import Floats

from .backends.base import Backend
from .input_tensors import picture_first, shown
from .layout import Layout, find_layouts
from .layout_match import Units
from .model_metadata import ACTIVATION, BOXES, STEPS, UNITS, imgsz, transformer
from .output_values import SHARE_LIMIT, Outputs
from .tensors import TensorSpec

_MANY = 8  # so many rows that are all in order are so on purpose
_IN_ORDER = 0.98
_RAW_OFFSET, _RAW_LOG = 30.0, 10.0  # what an untransformed grid's offsets (cells) and log sizes stay below
_SLACK = 0.01
_LOGIT = -1.0
_CLASS_OFF = 0.15
_CHOSEN = ("end-to-end", "detr", "detections", "flat-rows", "flat-rows-score-class", "rows")
_SPREAD = 4.0  # of those that the model chose, boxes of untaught content may reach so many inputs beyond the picture


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """What one candidate reads: boxes [N,4] as they are, all its scores, class numbers [N] where there are any."""

    boxes: Floats
    scores: Floats
    classes: Floats | None = None


def accepted_layout(backend: Backend, metadata: dict[str, str], *, first_run: bool) -> Layout:
    """The layout that `backend`'s shapes, `metadata` and a first run agree on; raises ModelError.

    `first_run` False takes the shapes' word for a common layout: for engines, which the accuracy gate compared with
    their model.
    """
    try:
        layouts = find_layouts(backend.inputs, backend.outputs, metadata)
        sure = layouts[0].usual
    except ModelError:
        if all(None not in spec.shape for spec in backend.outputs):
            raise
        layouts, sure = (), False
    if sure and not first_run:
        return layouts[0]
    outputs = _run(backend, metadata, layouts)
    if sure and not _finite(outputs):
        return layouts[0]  # each run of such a model is an InferenceError, its warm-up the first
    if not layouts or len(layouts) > 1:
        layouts = find_layouts(backend.inputs, _real(backend.outputs, outputs), metadata)
        layouts = _with_open_rows(layouts, backend.outputs)
    return choose(layouts, outputs, metadata, shown(_real(backend.outputs, outputs)))


def choose(layouts: Sequence[Layout], outputs: Outputs, metadata: dict[str, str], found: str) -> Layout:
    """Of `layouts` the one that `outputs` fit, its units, corners and activation settled; raises ModelError.

    `found` are the outputs in words.
    """
    settled, reasons = [], []
    for layout in layouts:
        try:
            settled.append(_settled(layout, outputs, metadata))
        except ModelError as error:
            reasons.append(str(error))
    if not settled:
        raise ModelError(f"its outputs {found} are not understood: {'; '.join(dict.fromkeys(reasons))}")
    # A file that this project made is judged against its source before it is used: a form that lost its sense (INT8
    # of YOLOX-nano) must come so far, to be refused for what it misses.
    ours = bool(metadata.get(STEPS))
    if len(settled) > 1 and not ours and not _empty(settled[0], outputs):
        kinds = " or ".join(dict.fromkeys(layout.kind for layout in settled))
        raise ModelError(f"its outputs {found} may be {kinds}: say which: model.output.layout: NAME")
    return settled[0]


def drawn(width: int, height: int) -> NDArray[np.uint8]:
    """Content that has edges, flat areas and noise: uint8 [height,width,3]."""
    random = np.random.default_rng(7)
    picture = np.full((height, width, 3), 114, np.uint8)
    picture[height // 8 : height // 2, width // 8 : width // 3] = (40, 60, 180)
    picture[height // 3 : -height // 8, width // 2 : -width // 8] = (200, 180, 60)
    picture[: height // 3, width // 2 :] = random.integers(0, 256, picture[: height // 3, width // 2 :].shape)
    return picture


def _run(backend: Backend, metadata: dict[str, str], layouts: Sequence[Layout]) -> tuple[NDArray[Any], ...]:
    """The outputs for the drawn picture, values as most models want them."""
    picture = picture_first(backend.inputs)
    if len(picture.shape) != 4:
        return ()
    if layouts:
        width, height = layouts[0].width, layouts[0].height
    else:
        usual = imgsz(metadata) or (640, 640)
        width, height = picture.shape[3] or usual[0], picture.shape[2] or usual[1]
    pixels = drawn(width, height)[None]
    if picture.dtype != "uint8":
        pixels = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32) / np.float32(255.0)
    try:
        return tuple(np.array(output) for output in backend.run(pixels))
    except InferenceError as error:
        if layouts and layouts[0].usual:
            return ()  # its warm-up says the same
        raise ModelError(f"it does not run on a picture of {width} x {height} px: {error}") from None


def _finite(outputs: Outputs) -> bool:
    """Whether there are numbers to decide by."""
    return bool(outputs) and all(output.dtype.kind != "f" or np.isfinite(output).all() for output in outputs)


def _real(specs: Sequence[TensorSpec], outputs: Outputs) -> tuple[TensorSpec, ...]:
    return tuple(replace(spec, shape=output.shape) for spec, output in zip(specs, outputs, strict=False))


def _with_open_rows(layouts: Sequence[Layout], specs: Sequence[TensorSpec]) -> tuple[Layout, ...]:
    """Rows that the graph leaves open may be others in the next run, unless they are a grid's."""
    return tuple(
        replace(layout, rows=None)
        if layout.kind in ("end-to-end", "rows") and not layout.suppress and None in specs[layout.boxes].shape
        else layout
        for layout in layouts
    )


def _settled(layout: Layout, outputs: Outputs, metadata: dict[str, str]) -> Layout:
    """`layout` with what the numbers say; raises ModelError where they do not fit it."""
    table = _table(layout, outputs)
    layout = _settled_scores(layout, table.scores, metadata)
    if layout.kind == "rows-objectness" and _without_objectness(layout, outputs):
        layout = replace(layout, asks=None)
    rows = table.boxes[np.abs(table.boxes).max(axis=1, initial=0.0) > 0.0]  # rows of zeros fill up
    if table.classes is not None:
        _require_classes(layout, table.classes)
    if layout.kind == "yolox-grid":
        _require_raw(rows)
        return layout
    if layout.kind == "gfl" or not len(rows):
        return layout
    return _settled_boxes(layout, rows, metadata)


def _settled_scores(layout: Layout, scores: Floats, metadata: dict[str, str]) -> Layout:
    """Logits or scores: of a whole head's logits some are far below zero."""
    if ACTIVATION in metadata or layout.activation == "softmax" or not scores.size:
        return layout
    low, high = float(scores.min()), float(scores.max())
    within = low >= -_SLACK and high <= 1.0 + _SLACK
    if layout.activation == "sigmoid":  # a run of zeros says nothing
        return replace(layout, activation="none") if within and scores.any() else layout
    if within:
        return layout
    if low < _LOGIT:
        return replace(layout, activation="sigmoid")
    raise ModelError(f"as {layout.kind} its scores are {low:.4g} to {high:.4g}, not 0 to 1")


def _settled_boxes(layout: Layout, rows: Floats, metadata: dict[str, str]) -> Layout:
    if not np.isfinite(rows).all():
        raise ModelError(f"as {layout.kind} its boxes are NaN or infinite")
    most = float(np.abs(rows).max())
    if UNITS not in metadata:
        # What is called share may be px, and the other way round.
        units: Units = "share" if most <= SHARE_LIMIT else "px"
        layout = replace(layout, units=units) if units != layout.box_units else layout
    size = (1.0, 1.0) if layout.box_units == "share" else (layout.width, layout.height)
    if layout.kind in _CHOSEN and most > _SPREAD * max(size):
        raise ModelError(f"as {layout.kind} its boxes reach to {most:.4g}, far outside the picture")
    if BOXES not in metadata:
        layout = _settled_form(layout, rows, metadata)
    if len(rows) >= _MANY and not (_sizes(layout, rows) > 0.0).all(axis=1).any():
        raise ModelError(f"as {layout.kind} none of its boxes has a size")
    return layout


def _sizes(layout: Layout, rows: Floats) -> Floats:
    """Widths and heights [N,2], in whichever order."""
    return rows[:, 2:4] if layout.box_form == "cxcywh" else rows[:, 2:4] - rows[:, :2]


def _settled_form(layout: Layout, rows: Floats, metadata: dict[str, str]) -> Layout:
    """Corners or centres: all rows of corners are in order, of centres hardly ever all."""
    ordered = float(((rows[:, 2] >= rows[:, 0]) & (rows[:, 3] >= rows[:, 1])).mean())
    positive = float(((rows[:, 2] >= 0) & (rows[:, 3] >= 0)).mean())
    in_order, sized, many = ordered >= _IN_ORDER, positive >= _IN_ORDER, len(rows) >= _MANY
    usual = layout.box_form
    if usual == "cxcywh":
        if not sized:
            raise ModelError(f"as {layout.kind} some of its boxes have negative sizes")
        if many and in_order and not _centred(layout, rows):
            if layout.kind == "rows-objectness":
                raise ModelError("as rows-objectness its boxes are corners, which no such model gives")
            return replace(layout, form="xyxy")
        if layout.kind == "detr" and layout.box_units == "px" and not many:
            raise ModelError("corners or centres in px: say which: model.output.boxes: xyxy or cxcywh")
        return layout
    if in_order and (layout.units is None or many or usual == "yxyx"):
        return layout
    if transformer(metadata) or (not in_order and sized):
        if not _fits_as_centres(layout, rows):
            raise ModelError(f"as {layout.kind} its boxes are neither corners nor centres in the picture")
        return replace(layout, form="cxcywh")
    if not in_order:
        raise ModelError(f"as {layout.kind} its boxes are neither corners nor centres and sizes")
    raise ModelError("corners or centres in 0..1: say which: model.output.boxes: xyxy, cxcywh or yxyx")


def _centred(layout: Layout, rows: Floats) -> bool:
    """Whether boxes in order may still be centres: read so, their corners lie in or near the picture as well."""
    width, height = (1.0, 1.0) if layout.box_units == "share" else (layout.width, layout.height)
    right, bottom = rows[:, 0] + rows[:, 2] / 2, rows[:, 1] + rows[:, 3] / 2
    # Read as corners, such boxes must end in the picture; sizes of centres need not.
    beyond = (rows[:, 2] > 1.5 * width) | (rows[:, 3] > 1.5 * height)
    return bool(beyond.any() or ((right <= 1.05 * width) & (bottom <= 1.05 * height)).all())


def _fits_as_centres(layout: Layout, rows: Floats) -> bool:
    width, height = (1.0, 1.0) if layout.box_units == "share" else (layout.width, layout.height)
    inside = (rows[:, 0] >= -_SLACK * width) & (rows[:, 0] <= 1.1 * width)
    inside &= (rows[:, 1] >= -_SLACK * height) & (rows[:, 1] <= 1.1 * height)
    return bool(inside.mean() >= _IN_ORDER)


def _require_raw(rows: Floats) -> None:
    """Raises ModelError where rows [N,4] are boxes already, not offsets in cells and logarithms of sizes."""
    if not len(rows):
        return
    offsets, logs = float(np.abs(rows[:, :2]).max()), float(rows[:, 2:].max())
    if offsets > _RAW_OFFSET or logs > _RAW_LOG:
        raise ModelError("as yolox-grid its boxes are decoded already")
    if rows.min() >= 0.0 and rows.max() <= 1.0 + _SLACK and len(rows) >= _MANY:
        raise ModelError("as yolox-grid its offsets are never negative: they seem to be boxes in 0..1")


def _require_classes(layout: Layout, classes: Floats) -> None:
    if not len(classes):
        return
    off = float(np.abs(classes - np.rint(classes)).mean())  # quantised ones are a little off; anything is 0.25 off
    if off > _CLASS_OFF or float(classes.min()) < -1.0 - _CLASS_OFF:
        raise ModelError(f"as {layout.kind} its class numbers are no whole numbers")
    if len(np.unique(classes)) > len(np.unique(np.rint(classes))):  # also a quantised class has one value
        raise ModelError(f"as {layout.kind} its class numbers seem to be scores (model.output.layout)")


def _without_objectness(layout: Layout, outputs: Outputs) -> bool:
    """Whether the objectness is always 1: YOLOv6, whose input is known."""
    return bool((np.asarray(outputs[layout.boxes])[0, :, 4] == 1.0).all())


def _empty(layout: Layout, outputs: Outputs) -> bool:
    """Whether the run gave nothing to decide by."""
    return not np.asarray(_table(layout, outputs).boxes).any()


def _table(layout: Layout, outputs: Outputs) -> _Table:
    """The columns that `layout` reads; raises ModelError on outputs of other shapes or without numbers."""
    try:
        table = _columns(layout, [np.asarray(output, np.float32) for output in outputs])
    except (IndexError, ValueError, TypeError) as error:
        raise ModelError(f"as {layout.kind} its outputs have another shape ({error})") from None
    if not (np.isfinite(table.boxes).all() and np.isfinite(table.scores).all()):
        raise ModelError("it gives NaN or infinite numbers: its result cannot be used")
    return table


def _columns(layout: Layout, outputs: Sequence[Floats]) -> _Table:
    whole, classes = outputs[layout.boxes], layout.classes or 1
    if layout.kind == "dense":
        whole = whole[0].T
        return _Table(boxes=whole[:, :4], scores=whole[:, 4 : 4 + classes])
    if layout.kind == "gfl":
        return _Table(boxes=whole[0][:, :0].reshape(-1, 4)[:0], scores=whole[0][:, :classes])
    if layout.kind in ("rows", "rows-objectness", "yolox-grid"):
        first = 4 + classes + (layout.kind != "rows")
        return _Table(boxes=whole[0][:, :4], scores=whole[0][:, 4:first])
    if layout.kind in ("yolox-boxes", "boxes-scores", "detr"):
        return _Table(boxes=whole[0], scores=outputs[layout.scores or 0][0])
    if layout.kind == "end-to-end":
        return _Table(boxes=whole[0][:, :4], scores=whole[0][:, 4], classes=whole[0][:, 5])
    if layout.kind == "yolox-nms":
        labels = outputs[layout.labels or 0].reshape(-1)
        return _Table(boxes=whole[0][:, :4], scores=whole[0][:, 4], classes=labels)
    if layout.kind == "detections":
        scores, labels = (outputs[index or 0].reshape(-1) for index in (layout.scores, layout.labels))
        return _Table(boxes=whole.reshape(-1, 4), scores=scores, classes=labels)
    rows = whole.reshape(-1, whole.shape[-1])
    box, score, label = layout.columns
    return _Table(boxes=rows[:, box : box + 4], scores=rows[:, score], classes=rows[:, label])
