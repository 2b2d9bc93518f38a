"""What a detection model's graph promises: found from its shapes, names and metadata.

Shapes are often those of several families. `find_layouts` gives all that fit, the most common first; which of them
is meant, and in which units the boxes are, the numbers of a run decide (`acceptance`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from detector.core.errors import ModelError

from . import model_metadata as said
from .input_tensors import shown, split_inputs
from .layout_match import Form, LayoutKind, Match, Units, anchor_counts, matches
from .model_metadata import ACTIVATION, PIXELS
from .person_class import find_person, person_of
from .spec import InputSpec
from .tensors import TensorSpec

__all__ = (
    "ACTIVATION",
    "PIXELS",
    "Activation",
    "Layout",
    "LayoutKind",
    "anchors",
    "default_spec",
    "find_layout",
    "person_of",
)

Activation = Literal["none", "sigmoid", "softmax"]
STRIDES = (8, 16, 32)
_DEFAULT_SIZE = (640, 640)
_COCO_IDS = (91, 92)  # DETR's classes are COCO's own category numbers; the 92nd is "nothing"
_DEVICE_KINDS = ("end-to-end", "dense", "yolox-grid", "yolox-nms", "yolox-boxes", "detr")
_FORMS: dict[LayoutKind, Form] = {
    "dense": "cxcywh",
    "rows": "cxcywh",
    "rows-objectness": "cxcywh",
    "detr": "cxcywh",
}
_KNOWN = (
    "known are [1, K, 6] (end-to-end, as YOLOv10 and YOLO26), [1, 4+classes, N] (dense, as YOLOv8 and YOLO11), "
    "[1, N, 5+classes] (YOLOv5, v7, YOLOX), dets [1, N, 5] with labels [1, N] (YOLOX, RTMDet with NMS), "
    "boxes [1, N, 4] with scores [1, classes, N] or [1, N, classes] (YOLOX before its NMS, PP-YOLOE, YOLO-NAS, RT-DETR, "
    "D-FINE, RF-DETR), boxes, scores and classes apart (SSD, RT-DETR's own export), [N, 7] (YOLOv7 with NMS), "
    "and NanoDet's [1, N, classes+32]"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One of the known outputs; `width`, `height` are the input's px, `person` the class's index.

    `classes` is None where the outputs do not tell; `boxes`, `labels`, `scores`, `count` are the outputs' indices.
    `iou` is the NMS threshold that the model's own NMS had, where the metadata tells. `pixels`: the input is
    uint8 [1,height,width,3] BGR (RGB with `rgb_bytes`), else float [1,3,height,width]. `activation` turns scores
    into 0..1. `form` and `units` of a box are None where they are the kind's usual ones; `rows` is how many there
    are, where the grid's usual strides do not say; `extra` columns follow the classes (key points, mask weights).
    `suppress`: rows still overlap and need NMS. `columns` are where a flat row's box, score and class begin.
    `outputs`: how many the model has, where that is more than the kind reads. `note` says what was assumed, `asks`
    why the input's preparation must be given.
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
    form: Form | None = None
    units: Units | None = None
    rows: int | None = None
    extra: int = 0
    suppress: bool = False
    count: int | None = None
    outputs: int | None = None
    columns: tuple[int, int, int] = (0, 4, 5)
    rgb_bytes: bool = False
    note: str | None = None
    asks: str | None = None

    @property
    def box_form(self) -> Form:
        return self.form or _FORMS.get(self.kind, "xyxy")

    @property
    def box_units(self) -> Units:
        return self.units or ("share" if self.kind == "detr" else "px")

    @property
    def usual(self) -> bool:
        """Whether the graph's edits and the GPU's kernels know it: a common kind, with nothing out of the ordinary."""
        plain = self.form is None and self.units is None and self.rows is None and not (self.extra or self.suppress)
        activated = self.activation != "none" and self.kind != "detr"
        return self.kind in _DEVICE_KINDS and plain and not activated and self.outputs is None

    def __str__(self) -> str:
        parts = [f"{self.kind}: boxes {self.box_form}, {'px' if self.box_units == 'px' else '0..1'}"]
        if self.kind == "yolox-grid":
            parts = ["yolox-grid: boxes as offsets in grid cells"]
        if self.activation != "none":
            parts.append(f"scores by {self.activation}")
        if self.suppress:
            parts.append("overlapping")
        return ", ".join(parts)


def anchors(width: int, height: int) -> int:
    """How many cells the three grids have over an input of that many px."""
    return anchor_counts(width, height)[0]


def find_layout(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], metadata: Mapping[str, str]) -> Layout:
    """The most common layout that fits a graph; raises ModelError that says what was found and what is known."""
    return find_layouts(inputs, outputs, metadata)[0]


def find_layouts(
    inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], metadata: Mapping[str, str]
) -> tuple[Layout, ...]:
    """Every layout that fits a graph's shapes and metadata, the most common first; raises ModelError."""
    picture, _ = split_inputs(inputs)
    width, height = _input_size(picture, inputs, metadata)
    names = said.class_names(metadata)
    found = matches(inputs, outputs, metadata, width=width, height=height, names=names)
    wanted = metadata.get(said.LAYOUT)
    if wanted is not None:
        of_kind = [match for match in found if match.kind == wanted]
        if not of_kind:
            kinds = ", ".join(dict.fromkeys(match.kind for match in found)) or "none"
            raise ModelError(f"model.output.layout: {wanted}: these outputs ({shown(outputs)}) fit {kinds}")
        found = of_kind
    if not found:
        grids = any(len(spec.shape) == 5 for spec in outputs)
        hint = "export it with the boxes decoded in the graph; " if grids else ""
        raise ModelError(f"unknown outputs {shown(outputs)}; {hint}{_KNOWN}")
    layouts, refused = [], []
    for match in found:
        try:
            layouts.append(_finished(match, picture, metadata, names, (width, height)))
        except ModelError as error:
            refused.append(error)
    if not layouts:
        raise refused[0]
    return tuple(layouts)


def _finished(
    match: Match,
    picture: TensorSpec,
    metadata: Mapping[str, str],
    names: Mapping[int, str] | None,
    size: tuple[int, int],
) -> Layout:
    width, height = size
    if match.kind in ("dense", "yolox-grid", "yolox-boxes") and (width % STRIDES[-1] or height % STRIDES[-1]):
        raise ModelError(f"this model's input is {width} x {height} px: both must be multiples of {STRIDES[-1]}")
    queries = match.kind == "detr"
    if match.person is not None and names is None and said.PERSON_CLASS not in metadata:
        number, note = match.person, None
    else:
        if match.unnumbered and names is None and said.PERSON_CLASS not in metadata:
            raise ModelError(
                "this model numbers its classes and names none: say which number is a person "
                "(often 0 or 1): model.person_class: NUMBER"
            )
        person = find_person(metadata, names, match.classes, extra=int(queries), coco_ids=queries)
        number, note = person.number, person.note
    return Layout(
        kind=match.kind,
        width=width,
        height=height,
        person=number,
        classes=len(names) if match.classes is None and names else match.classes,
        boxes=match.boxes,
        labels=match.labels,
        scores=match.scores,
        iou=said.nms_iou(metadata),
        pixels=picture.dtype == "uint8",
        activation=_activation(metadata, names, match),
        form=_known_word(metadata, said.BOXES, Form) or match.form,
        units=_known_word(metadata, said.UNITS, Units) or match.units,
        rows=match.rows,
        extra=match.extra,
        suppress=match.suppress,
        count=match.count,
        outputs=match.outputs,
        columns=match.columns,
        rgb_bytes=picture.dtype == "uint8" and match.kind == "detections" and PIXELS not in metadata,
        note=note,
        asks=match.asks,
    )


def default_spec(layout: Layout) -> InputSpec:
    """The input as models of this layout are commonly trained."""
    if layout.kind.startswith("yolox"):
        return InputSpec(color="bgr", scale=1.0, placement="top-left")
    if layout.kind == "gfl":  # NanoDet's configs: the whole picture, its aspect lost
        mean, std = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
        return InputSpec(color="bgr", scale=1.0, placement="stretch", mean=mean, std=std)
    # RT-DETR and D-FINE, and SSD: the whole picture, its aspect lost. Boxes as shares of a padded input are unknown.
    whole = layout.kind in ("detr", "detections") or (layout.kind in ("rows", "end-to-end") and _queries_in(layout))
    return InputSpec(color="rgb", scale=1.0 / 255.0, placement="stretch" if whole else "center")


def is_yolox(layout: Layout, operators: frozenset[str]) -> bool:
    """Whether a graph's operators are YOLOX's, where RTMDet's or PP-YOLOE's outputs look the same.

    YOLOX takes exp() of its sizes; the others have channel attention, or a distribution for each side. OpenVINO's
    names of the operators are known too.
    """
    others = {"GlobalAveragePool", "HardSigmoid", "HSigmoid", "ReduceMean"}
    if layout.kind == "yolox-boxes":
        others |= {"Softmax", "SoftMax"}
    convolves = bool(operators & {"Conv", "Convolution", "QLinearConv", "GroupConvolution"})
    return layout.kind.startswith("yolox") and convolves and "Exp" in operators and not operators & others


def _queries_in(layout: Layout) -> bool:
    """Whether rows are a transformer's: centres in 0..1, or rows that are no grid's."""
    return layout.box_form == "cxcywh" and layout.box_units == "share" and not layout.suppress


def _input_size(picture: TensorSpec, inputs: Sequence[TensorSpec], metadata: Mapping[str, str]) -> tuple[int, int]:
    """Width and height in px; dynamic ones come from the metadata's `imgsz` (height, width)."""
    found, shape = shown(inputs), picture.shape
    if picture.dtype == "uint8" and shape[3] == 3:
        shape = (shape[0], shape[3], *shape[1:3])
    elif shape[1] not in (3, None):
        raise ModelError(f"not a picture model: its inputs are {found}, needed is one of [1, 3, height, width]")
    elif picture.dtype not in ("float32", "float16"):
        raise ModelError(f"this model takes {picture.dtype} pictures ({found}): export it with a float input")
    batch, _, height, width = shape
    if batch not in (1, None):
        raise ModelError(f"this model takes {batch} pictures at once ({found}): export it with batch 1")
    default_width, default_height = said.imgsz(metadata) or _DEFAULT_SIZE
    size = (width or default_width, height or default_height)
    if said.SIZE in metadata and size != (default_width, default_height):
        wanted = f"{default_width} x {default_height}"
        raise ModelError(
            f"model.input.size: {wanted}: this model's input is fixed at {size[0]} x {size[1]} px ({found})"
        )
    if not all(STRIDES[-1] <= side <= 8192 for side in size):
        raise ModelError(f"this model's input of {size[0]} x {size[1]} px is none that can be used ({found})")
    return size


def _activation(metadata: Mapping[str, str], names: Mapping[int, str] | None, match: Match) -> Activation:
    """By the metadata's word; of a transformer softmax where the outputs have one class more, nothing, than names."""
    told = _known_word(metadata, ACTIVATION, Activation)
    if told is not None:
        return cast("Activation", told)
    if match.kind != "detr":
        return "none"
    with_nothing = match.classes == _COCO_IDS[1] if names is None else match.classes == len(names) + 1
    return "softmax" if with_nothing and not match.sigmoid else "sigmoid"


def _known_word(metadata: Mapping[str, str], key: str, known: Any) -> Any:
    value = metadata.get(key)
    return next((each for each in get_args(known) if each == value), None)
