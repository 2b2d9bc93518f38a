"""The INT8 form of a model: made from calibration pictures, and judged on the CPU before minutes go into its engine."""

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
"""Ranges hardly grow with more; each costs a run."""


def calibration_pictures(folder: Path) -> tuple[list[Image], str]:
    """At most CALIBRATION_COUNT of the folder's, and the hash that an engine's key knows them by; raises ModelError."""
    pictures = list(folder_pictures(folder, count=CALIBRATION_COUNT))
    return pictures, fingerprint(pictures)


def quantise(model: Path, pictures: Sequence[Image], *, output: Path, spec: InputSpec | None) -> None:
    """Writes `model` with explicit, symmetric pairs as TensorRT wants them, whole or not at all; raises ModelError."""
    from detector.models.graph.quantize import quantize_tensorrt

    try:
        with replacing(output) as part:
            # By percentile: pictures of many scenes have rare large numbers, and ranges that hold them all are coarse.
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
    """What the gate says of the INT8 file itself, run by ONNX Runtime: the same numbers as the engine's, but for sums.

    Raises what the reference raises.
    """
    detector = load_detector(path=form, name=name, spec=spec, backend="onnxruntime", score_floor=floor)
    with contextlib.closing(detector), contextlib.closing(reference()) as judge_by:
        return compare(judge_by, detector, pictures, limits=limits, truth=truth)
