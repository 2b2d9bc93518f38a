"""Post-processing on the device: how post.cu is called, and its results as persons.

CUDA is not imported here: pointers are device addresses as int.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from detector.core.errors import InferenceError
from detector.inference.decode import IOU_DENSE, IOU_YOLOX
from detector.inference.layout import Layout, anchors
from detector.inference.nms import MAX_DETECTIONS
from detector.inference.output_values import Persons

from .launch import SUFFIXES, FloatType, Launch

HeadForm = Literal["centers", "corners", "grid"]

NO_NMS = 1.0
_GATHER_BLOCK, _SUPPRESS_BLOCK = 256, 512
_FORMS: tuple[HeadForm, ...] = ("centers", "corners", "grid")
_NONSENSE = {
    1: "the model gave NaN or infinite numbers: its result cannot be used",
    2: "the model gave scores outside 0 to 1",
    4: "the model gave boxes far outside the picture: is its output of another kind?",
}

HEAD = np.dtype(
    [
        *((name, np.uint64) for name in ("boxes", "scores", "objectness", "labels")),
        *((name, np.int32) for name in ("cells", "form", "box_step", "box_pitch", "score_step")),
        *((name, np.int32) for name in ("box_image", "score_image", "width", "height", "person")),
        ("floor", np.float32),
        ("iou", np.float32),
    ]
)
"""post.cu's struct Head."""

RESULT = np.dtype(
    [
        *((name, np.int32) for name in ("count", "status", "candidates", "unused")),
        ("rows", np.float32, (MAX_DETECTIONS, 5)),
    ]
)
"""post.cu's struct Result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadTensors:
    """A head's tensors in memory: addresses, and strides in elements; `cells` per picture.

    `scores` is the address of the person class; `objectness` multiplies it; rows with another label are left out.
    """

    form: HeadForm
    cells: int
    boxes: int
    box_step: int
    box_pitch: int
    box_image: int
    scores: int
    score_step: int
    score_image: int
    objectness: int = 0
    labels: int = 0
    iou: float = NO_NMS


def head_tensors(
    layout: Layout, address: int, *, cells: int | None = None, dtype: FloatType = "float32"
) -> HeadTensors:
    """The tensors of a layout with one output at `address`; `cells` is the number of rows of end-to-end heads.

    Raises ValueError for YOLOX with its NMS in the graph: remove the NMS, and use `cut_tensors`.
    """
    size, classes = np.dtype(dtype).itemsize, layout.classes or 1
    count = anchors(layout.width, layout.height)
    if not layout.usual:
        raise ValueError(f"the head ({layout}) is none that is decoded on the device")
    if layout.kind == "dense":
        return HeadTensors(
            form="centers", cells=count, iou=IOU_DENSE,
            boxes=address, box_step=1, box_pitch=count, box_image=(4 + classes) * count,
            scores=address + (4 + layout.person) * count * size, score_step=1, score_image=(4 + classes) * count,
        )  # fmt: skip
    if layout.kind == "yolox-grid":
        return HeadTensors(
            form="grid", cells=count, iou=IOU_YOLOX,
            boxes=address, box_step=5 + classes, box_pitch=1, box_image=(5 + classes) * count,
            scores=address + (5 + layout.person) * size, score_step=5 + classes, score_image=(5 + classes) * count,
            objectness=address + 4 * size,
        )  # fmt: skip
    if layout.kind == "end-to-end" and cells:
        return HeadTensors(
            form="corners", cells=cells,
            boxes=address, box_step=6, box_pitch=1, box_image=6 * cells,
            scores=address + 4 * size, score_step=6, score_image=6 * cells, labels=address + 5 * size,
        )  # fmt: skip
    raise ValueError(f"the {layout.kind} head cannot be decoded on the device")


def cut_tensors(boxes: int, scores: int, *, cells: int, classes: int, person: int = 0, dtype: FloatType) -> HeadTensors:
    """The tensors of YOLOX without its NMS: boxes [B, cells, 4] corners in px, scores [B, classes, cells]."""
    return HeadTensors(
        form="corners", cells=cells, iou=IOU_YOLOX,
        boxes=boxes, box_step=4, box_pitch=1, box_image=4 * cells,
        scores=scores + person * cells * np.dtype(dtype).itemsize, score_step=1, score_image=classes * cells,
    )  # fmt: skip


def head_struct(tensors: HeadTensors, layout: Layout, *, floor: float) -> NDArray[np.void]:
    """HEAD [1] for `tensors` of a model of `layout`, and persons with score >= `floor`."""
    struct = np.zeros(1, HEAD)
    for name in HeadTensors.__slots__:
        value: Any = getattr(tensors, name)
        struct[name] = _FORMS.index(value) if name == "form" else value
    struct["width"], struct["height"], struct["person"] = layout.width, layout.height, layout.person
    struct["floor"] = floor
    return struct


def scratch_bytes(cells: int, count: int) -> int:
    """Bytes of device memory that both kernels use for `count` pictures; it must be zeroed once."""
    return (16 + 8 * cells) * count


def gather(*, head: int, scratch: int, cells: int, count: int, dtype: FloatType = "float32") -> Launch:
    """The first launch: writes the candidates of `count` pictures to `scratch`."""
    return Launch(
        kernel=f"gather_{SUFFIXES[dtype]}",
        grid=(-(-cells // _GATHER_BLOCK), count, 1),
        block=(_GATHER_BLOCK, 1, 1),
        args=(np.uint64(head), np.uint64(scratch)),
    )


def suppress(*, head: int, scratch: int, results: int, count: int, dtype: FloatType = "float32") -> Launch:
    """The second launch, on the same stream: writes the persons of `count` pictures to RESULT [count] at `results`."""
    return Launch(
        kernel=f"suppress_{SUFFIXES[dtype]}",
        grid=(count, 1, 1),
        block=(_SUPPRESS_BLOCK, 1, 1),
        args=(np.uint64(head), np.uint64(scratch), np.uint64(results)),
    )


def persons(result: np.void) -> Persons:
    """One RESULT as (boxes float32 [N,4] input px, scores float32 [N]), best first; raises InferenceError.

    The arrays are copies: the buffer may be overwritten.
    """
    status, count = int(result["status"]), int(result["count"])
    for bit, why in _NONSENSE.items():
        if status & bit:
            raise InferenceError(why)
    if not 0 <= count <= MAX_DETECTIONS:
        raise InferenceError(f"the device gave {count} persons: its result cannot be used")
    rows = result["rows"][:count]
    return rows[:, :4].copy(), rows[:, 4].copy()
