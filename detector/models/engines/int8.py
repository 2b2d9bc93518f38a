"""The INT8 variant of a model for TensorRT: calibrated on pictures, and checked on the CPU before its engine is built."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from detector.capture.pictures import fingerprint, folder_pictures
from detector.core.errors import ModelError
from detector.core.files import replacing
from detector.core.types import Image
from detector.inference.agreement import Limits, Verdict
from detector.inference.detector import PersonDetector
from detector.inference.factory import load_detector
from detector.inference.spec import InputSpec
from detector.models.accuracy.gate import LabelledPictures, compare

CALIBRATION_COUNT = 64
"""The most calibration pictures: with more, ranges hardly grow, and each costs a run."""


def calibration_pictures(folder: Path) -> tuple[list[Image], str]:
    """At most CALIBRATION_COUNT pictures of the folder, and their hash for the engine's key; raises ModelError."""
    pictures = list(folder_pictures(folder, count=CALIBRATION_COUNT))
    return pictures, fingerprint(pictures)


def quantise(model: Path, pictures: Sequence[Image], *, output: Path, spec: InputSpec | None) -> None:
    """Write `model` with explicit, symmetric Q/DQ pairs for TensorRT, atomically; raises ModelError."""
    from detector.models.graph.quantize import quantize_tensorrt

    try:
        with replacing(output) as part:
            # By percentile: many scenes have rare large values, and ranges that contain them all are coarse.
            quantize_tensorrt(model, pictures, output=part, spec=spec, method="percentile")
    except OSError as error:
        raise ModelError(f"cannot write {output}: {error.strerror}") from None


def judge(
    form: Path,
    *,
    name: str,
    spec: InputSpec | None,
    reference: Callable[[], PersonDetector],
    pictures: Iterable[Image],
    floor: float,
    truth: LabelledPictures | None = None,
    limits: Limits | None = None,
) -> Verdict:
    """The gate's verdict on the INT8 file run by ONNX Runtime: the engine's results, except for the order of sums.

    Raises the errors of the reference.
    """
    detector = load_detector(path=form, name=name, spec=spec, backend="onnxruntime", score_floor=floor)
    with contextlib.closing(detector), contextlib.closing(reference()) as judge_by:
        return compare(judge_by, detector, pictures, limits=limits, truth=truth)
