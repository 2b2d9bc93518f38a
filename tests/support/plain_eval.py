"""Average precision the plain way: a second opinion that shares no code with the detector.

Written from the model families' own descriptions, one box at a time, with ONNX Runtime, OpenCV for
reading and scaling pictures, and pycocotools.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

FLOOR = 0.001
Row = tuple[float, ...]  # x1, y1, x2, y2, score


def plain_average_precision(model: Path, family: str, images: Path, annotations: Path) -> tuple[float, float]:
    """(AP, AP50) of persons; `family` is v10, v8, yolox or yolox-nms."""
    import onnxruntime
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 2
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    side = 416 if family.startswith("yolox") else 640
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
    rows = []
    for image in json.loads(annotations.read_text())["images"]:
        picture = cv2.imread(str(images / image["file_name"]))
        for x1, y1, x2, y2, score in find(session, family, side, picture):
            rows.append([image["id"], x1, y1, x2 - x1, y2 - y1, score, 1])
    with contextlib.redirect_stdout(io.StringIO()):
        result = COCOeval(truth, truth.loadRes(np.array(rows)), "bbox")
        result.params.catIds = [1]
        result.evaluate()
        result.accumulate()
        result.summarize()
    return float(result.stats[0]), float(result.stats[1])


def find(session: Any, family: str, side: int, picture: Any) -> list[Row]:
    height, width = picture.shape[:2]
    ratio = min(side / width, side / height)
    if family.startswith("yolox"):
        small = cv2.resize(picture, (int(width * ratio + 0.5), int(height * ratio + 0.5)))
        left = top = 0
        # mmdet maps boxes back by each axis' own scale after rounding, ultralytics by the one ratio.
        back_x, back_y = small.shape[1] / width, small.shape[0] / height
    else:
        small = cv2.resize(picture, (round(width * ratio), round(height * ratio)))
        left = round((side - small.shape[1]) / 2 - 0.1)
        top = round((side - small.shape[0]) / 2 - 0.1)
        back_x = back_y = ratio
    canvas = np.full((side, side, 3), 114, np.uint8)
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    if family.startswith("yolox"):
        tensor = canvas.astype(np.float32).transpose(2, 0, 1)[None]
    else:
        tensor = cv2.cvtColor(canvas, cv2.COLOR_BGR2RGB).astype(np.float32).transpose(2, 0, 1)[None] / 255
    outputs = session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(tensor)})
    found: list[Row] = []
    for x1, y1, x2, y2, score in PLAIN[family](outputs, side):
        xs = [min(max((v - left) / back_x, 0), width) for v in (x1, x2)]
        ys = [min(max((v - top) / back_y, 0), height) for v in (y1, y2)]
        found.append((xs[0], ys[0], xs[1], ys[1], score))
    return found


def end_to_end(outputs: Any, _side: int) -> list[Row]:
    return [tuple(row[:5]) for row in outputs[0][0].tolist() if row[4] >= FLOOR and int(row[5]) == 0]


def graph_nms(outputs: Any, _side: int) -> list[Row]:
    dets, labels = outputs
    return [
        tuple(row) for row, label in zip(dets[0].tolist(), labels[0].tolist(), strict=True) if label == 0 and row[4] > 0
    ]


def dense(outputs: Any, _side: int) -> list[Row]:
    boxes: list[Row] = []
    for column in outputs[0][0][:5].T.tolist():
        x, y, w, h, score = column
        if score >= FLOOR:
            boxes.append((x - w / 2, y - h / 2, x + w / 2, y + h / 2, score))
    return suppress(boxes, 0.7)


def grid(outputs: Any, side: int) -> list[Row]:
    boxes: list[Row] = []
    row = 0
    rows = outputs[0][0][:, :6].tolist()
    for stride in (8, 16, 32):
        for cell_y in range(side // stride):
            for cell_x in range(side // stride):
                dx, dy, log_w, log_h, there, person = rows[row]
                row += 1
                if there * person >= FLOOR:
                    x, y = (cell_x + dx) * stride, (cell_y + dy) * stride
                    w, h = math.exp(log_w) * stride, math.exp(log_h) * stride
                    boxes.append((x - w / 2, y - h / 2, x + w / 2, y + h / 2, there * person))
    assert row == len(rows)
    return suppress(boxes, 0.65)


def suppress(boxes: list[Row], limit: float) -> list[Row]:
    kept: list[Row] = []
    for box in sorted(boxes, key=lambda item: -item[4]):
        if all(overlap(box, other) <= limit for other in kept):
            kept.append(box)
            if len(kept) == 300:
                break
    return kept


def overlap(a: Row, b: Row) -> float:
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    return w * h / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h)


PLAIN: dict[str, Callable[[Any, int], list[Row]]] = {
    "v10": end_to_end,
    "v8": dense,
    "yolox": grid,
    "yolox-nms": graph_nms,
}
