"""A small model with annotated pictures to study, and made-up cells where only what follows from them is tested."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx

from detector.core.types import Image
from detector.inference.backends.onnxruntime import OnnxRuntimeBackend
from detector.inference.detector import PersonDetector
from detector.inference.input_sizes import InputSize
from detector.models.accuracy.matches import Drop
from detector.models.registry import load_registry
from detector.optimize.study.data import EvaluationSet, evaluation_sets
from detector.optimize.study.grid import GridLimits
from detector.optimize.study.machine import base_size
from detector.optimize.study.measure import Speed
from detector.optimize.study.request import StudyRequest
from detector.optimize.study.study import Cell
from detector.optimize.study.variant import BackendChoice, Runtime, Variant, VariantForm
from support.networks import network

SIDE = 96


def small_model(folder: Path) -> Path:
    path = folder / "small.onnx"
    onnx.save(network("end-to-end"), str(path))
    return path


def pictures(folder: Path, count: int, *, seed: int = 1) -> Path:
    """A folder of noise, each picture another."""
    folder.mkdir()
    random = np.random.default_rng(seed)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number:02}.png"), random.integers(0, 256, (SIDE, SIDE, 3), np.uint8))
    return folder


def annotated(folder: Path, count: int = 10) -> tuple[Path, Path]:
    """Noise with one person in each picture, in COCO's format."""
    images, annotations = pictures(folder / "images", count, seed=2), folder / "truth.json"
    entries = [{"id": n, "file_name": f"{n:02}.png", "width": SIDE, "height": SIDE} for n in range(count)]
    boxes = [{"image_id": n, "category_id": 1, "bbox": [10, 10, 40, 60]} for n in range(count)]
    document = {"images": entries, "annotations": boxes, "categories": [{"id": 1, "name": "person"}]}
    annotations.write_text(json.dumps(document), encoding="utf-8")
    return images, annotations


def request(folder: Path, **changed: Any) -> StudyRequest:
    """Two variants of the small model on ONNX Runtime: its whole head, and persons alone."""
    path = small_model(folder)
    digest, base = base_size(path)
    images, annotations = annotated(folder)
    values: dict[str, Any] = {
        "name": "small",
        "path": path,
        "sha256": digest,
        "spec": None,
        "base": base,
        "sets": evaluation_sets([images], [annotations]),
        "calibration": None,
        "limits": GridLimits(shapes=[base], backends=["onnxruntime"], threads=[1], calibrated=False, quick=True),
        "max_drop": 0.5,
        "out": folder / "out",
        "rounds": 3,
    }
    return StudyRequest(**{**values, **changed})


def made_up_set(name: str) -> EvaluationSet:
    return EvaluationSet(
        name=name,
        images=Path(name),
        annotations=Path(name),
        files=(Path("a"), Path("b")),
        names=("a", "b"),
        digest=name,
    )


def variant(
    precision: str = "fp32",
    *,
    person_only: bool = False,
    shape: InputSize = (SIDE, SIDE),
    backend: BackendChoice = "onnxruntime",
    threads: int = 1,
    half: bool = False,
) -> Variant:
    return Variant(
        form=VariantForm(shape=shape, precision=precision, person_only=person_only),
        runtime=Runtime(backend=backend, threads=threads, half=half),
    )


def speed(ms: float, **changed: Any) -> Speed:
    values: dict[str, Any] = {
        "p50_ms": ms,
        "p99_ms": ms * 1.5,
        "infer_ms": ms * 0.9,
        "samples": 9,
        "peak_mib": 100.0,
        "watts": None,
        "version": "1",
        "precision": "fp32",
    }
    return Speed(**{**values, **changed})


def cell(what: Variant, ms: float, ap: float, *, ort: float = 10.0, eager: float | str = 20.0) -> Cell:
    """Measured beside an ONNX Runtime of `ort` ms and a PyTorch of `eager`."""
    return Cell(
        variant=what,
        key=str(what),
        sha256="0" * 64,
        bytes=1_000_000,
        speed=speed(ms),
        baselines={"onnxruntime": speed(ort), "eager": eager if isinstance(eager, str) else speed(eager)},
        accuracy={"set": {"ap": ap, "ap50": ap * 1.5}},
        drops={"set": drop(0.5 - ap)},
    )


def drop(ap: float, *, wider: float = 0.0) -> Drop:
    """A loss of `ap` 0..1, its bound so many points above."""
    return Drop(points=100 * ap, bound=100 * ap + wider, persons=100, pictures=40)


def assert_same_persons(
    model: Path, other: PersonDetector, pictures: list[Image], *, score: float = 1e-4, px: float = 0.05
) -> None:
    spec = load_registry().resolve(model).spec
    backend = OnnxRuntimeBackend(path=model, threads=1)
    one = PersonDetector(model_name="m", backend=backend, spec=spec, score_floor=other.score_floor)
    persons = 0
    for picture in pictures:
        (boxes, scores, _), (boxes2, scores2, _) = one.detect_image(picture), other.detect_image(picture)
        assert len(scores) == len(scores2)
        np.testing.assert_allclose(scores2, scores, atol=score)
        np.testing.assert_allclose(boxes2, boxes, atol=px)
        persons += len(scores)
    assert persons >= 8
