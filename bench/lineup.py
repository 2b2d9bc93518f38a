"""Who is measured from glass to alert: the service in each form of the reference model, and plain loops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from detector.core.types import ArrayImage
from detector.inference.input_sizes import InputSize
from detector.models.graph.variants import VariantPrecision, prepare

from .subjects import Naive, ServiceSubject, Subject

FP32, INT8, BF16 = "service, ONNX Runtime fp32", "service, ONNX Runtime int8", "service, OpenVINO bf16"
DEFAULT, TUNED = "service, default config", "service, default config, tuned"
PLAIN = "plain loop, ONNX Runtime"
_WIDE: InputSize = (640, 384)  # what 16:9 fills of the reference model's 640x640


def reference(shared: Path) -> Path:
    """B's model."""
    return shared / "models" / "yolov10n.onnx"


def services(shared: Path) -> list[ServiceSubject]:
    """The reference model cut to persons and to 16:9, in each form; made once, kept in the usual cache.

    ONNX Runtime on one thread, as B: a second one took 1.6 times the CPU for a tenth of the time here.
    """
    fp32, int8 = str(_variant(shared, "fp32")), str(_variant(shared, "int8"))
    return [
        ServiceSubject(FP32, {"name": fp32, "backend": "onnxruntime", "threads": 1}),
        ServiceSubject(INT8, {"name": int8, "backend": "onnxruntime", "threads": 1}),
        ServiceSubject(BF16, {"name": fp32, "backend": "openvino", "precision": "fp16"}, needs="openvino"),
        ServiceSubject(DEFAULT, {}),
        ServiceSubject(TUNED, {}, tuned=True),
    ]


def loops(shared: Path) -> list[Subject]:
    model = str(reference(shared))
    return [
        Naive(PLAIN, "ort", model),
        Naive("plain loop, cv2.dnn", "dnn", model),
        Naive("ultralytics, stream=True", "ultralytics", model),
    ]


def _variant(shared: Path, precision: VariantPrecision) -> Path:
    pictures: list[Any] = []
    if precision != "fp32":
        files = sorted((shared / "media" / "coco" / "images").iterdir())[::2]
        pictures = [ArrayImage(np.asarray(cv2.imread(str(file)), np.uint8)) for file in files]
    return prepare(reference(shared), shape=_WIDE, precision=precision, pictures=pictures)
