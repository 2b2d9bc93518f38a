"""Prepares a PyTorch detector for tracing: its outputs, its classes, and the file's metadata."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from detector.core.errors import ModelError, UsageError
from detector.inference.layout import ACTIVATION, person_of

Head = Literal["nms-free", "dense"]
Rows = Callable[[Any], tuple[Any, Any]]
_PERSON = "person"


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """`module` maps pictures [B,3,H,W] to tensors called `outputs`; `metadata` goes into the ONNX file.

    `rows` gives, of the whole network as it was loaded, every candidate before any choice of the best, in one
    picture: boxes [N,4] x1, y1, x2, y2 in input px and the person's scores [N]. What an export is compared with.
    `bare`: the weights are random.
    """

    module: Any
    outputs: Sequence[str]
    rows: Rows
    head: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    bare: bool = False


def from_ultralytics(model: Any, *, head: Head | None, person_only: bool) -> Network:
    """The network of a checkpoint (`checkpoints.load`), in inference form; raises ModelError, UsageError.

    `head` None keeps the NMS-free one where there is one. `model` stays as it was.
    """
    names = {int(number): str(name) for number, name in dict(model.names).items()}
    person = person_of(names)
    whole, cut = copy.deepcopy(model).eval(), copy.deepcopy(model).eval()
    last = cut.model[-1]
    metadata = {"task": "detect", "names": str({0: _PERSON} if person_only else names)}
    if type(last).__name__ == "RTDETRDecoder":
        if head == "dense":
            raise UsageError("--head dense: a transformer has no dense head; leave it out")
        return _queries(whole, cut, person, metadata, person_only=person_only)
    if not hasattr(last, "cv3"):
        raise ModelError(f"the head {type(last).__name__} is not known: YOLOv8, v10, v11 and RT-DETR are")
    free = _nms_free(last, head)
    for each in (whole.model[-1], last):
        each.end2end = free
    if person_only:
        _cut_classes(last, person, "one2one_cv3" if free else "cv3")
    _for_export(last)
    return Network(
        module=cut,
        outputs=("output0",),
        rows=_cells(whole, person, corners=free),
        head="nms-free" if free else "dense",
        metadata={**metadata, "end2end": str(free)},
    )


def _nms_free(last: Any, head: Head | None) -> bool:
    """Which of its heads to take; a fused model has one left."""
    free_there = getattr(last, "one2one_cv2", None) is not None
    dense_there = getattr(last, "cv2", None) is not None
    if head == "nms-free" and not free_there:
        raise UsageError("--head nms-free: this model was not trained with an NMS-free head; take --head dense")
    if head == "dense" and not dense_there:
        raise UsageError("--head dense: this model's dense head was removed when it was fused; take --head nms-free")
    return free_there if head is None else head == "nms-free"


def _cut_classes(last: Any, person: int, branch: str) -> None:
    """Leaves the person's row of the last convolution of each class branch."""
    import torch

    for branches in getattr(last, branch):
        branches[-1] = _one_row(branches[-1], person, torch)
    last.no -= last.nc - 1
    last.nc = 1


def _one_row(layer: Any, row: int, torch: Any) -> Any:
    """A Conv2d 1x1 or Linear with one output of `layer`'s."""
    if isinstance(layer, torch.nn.Linear):
        made = torch.nn.Linear(layer.in_features, 1)
    else:
        made = torch.nn.Conv2d(layer.in_channels, 1, layer.kernel_size)
    with torch.no_grad():
        made.weight.copy_(layer.weight[row : row + 1])
        made.bias.copy_(layer.bias[row : row + 1])
    return made.eval()


def _for_export(last: Any) -> None:
    last.export, last.format = True, "onnx"


def _cells(whole: Any, person: int, *, corners: bool) -> Rows:
    """Each cell's box and score, before the choice of the best."""
    last = whole.model[-1]
    _for_export(last)
    last.postprocess = lambda found: found.permute(0, 2, 1)

    def rows(pictures: Any) -> tuple[Any, Any]:
        columns = whole(pictures)[0]
        boxes, scores = columns[:4].T, columns[4 + person]
        return (boxes if corners else to_corners(boxes)), scores

    return rows


def _queries(whole: Any, cut: Any, person: int, metadata: Mapping[str, str], *, person_only: bool) -> Network:
    """RT-DETR: boxes [B,Q,4] and scores [B,Q,classes] as they leave the decoder."""
    import torch

    last = cut.model[-1]
    if person_only:
        last.dec_score_head[-1] = _one_row(last.dec_score_head[-1], person, torch)
    for each in (whole.model[-1], last):
        _for_export(each)
        each.postprocess = lambda boxes, scores: (boxes, scores)

    def rows(pictures: Any) -> tuple[Any, Any]:
        boxes, scores = whole(pictures)
        height, width = pictures.shape[2:]
        return to_corners(boxes[0]) * torch.tensor([width, height] * 2), scores[0, :, person]

    told = {**metadata, ACTIVATION: "none"}
    return Network(module=cut, outputs=("boxes", "scores"), rows=rows, head="queries", metadata=told)


def to_corners(boxes: Any) -> Any:
    """Torch boxes [N,4] cx, cy, w, h to x1, y1, x2, y2."""
    half = boxes[:, 2:] / 2
    import torch

    return torch.cat((boxes[:, :2] - half, boxes[:, :2] + half), dim=1)
