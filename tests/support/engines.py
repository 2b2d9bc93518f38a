"""Engines that nobody can run: any bytes, described as if TensorRT had made them on this or that machine."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from detector.inference.agreement import Verdict
from detector.inference.spec import InputSpec
from detector.inference.tensorrt import manifest
from detector.inference.tensorrt.gpu import Gpu
from detector.inference.tensorrt.manifest import EngineManifest, EngineRecipe, Environment

ORIN = Environment(
    flavour="tensorrt", tensorrt="10.3.0", cuda="12.6", compute="8.7", gpu="Orin (nvgpu)", driver="36.4.0"
)
GPU = Gpu(name=ORIN.gpu, compute=ORIN.compute, cuda=ORIN.cuda, driver=ORIN.driver)
PLAN = b"a plan " * 100


def recipe(**other: Any) -> EngineRecipe:
    known: dict[str, Any] = {
        "model_sha256": "a" * 64,
        "precision": "fp16",
        "shapes": {"images": [[1, 3, 640, 640]] * 3},
        "steps": ("fp16 cast",),
        "calibration": None,
        "detector": "0.1.0",
    }
    return EngineRecipe(**{**known, **other})


def verdict(*reasons: str) -> Verdict:
    return Verdict(
        accepted=not reasons,
        reasons=reasons,
        images=32,
        persons=40,
        missed=0,
        extra=0,
        iou_mean=0.99,
        iou_min=0.95,
        score_delta_mean=0.001,
        score_delta_max=0.01,
    )


def described(environment: Environment = ORIN, **other: Any) -> EngineManifest:
    return EngineManifest(
        recipe=recipe(**other),
        environment=environment,
        size=len(PLAN),
        sha256=hashlib.sha256(PLAN).hexdigest(),
        model_name="yolov10n",
        model_path="models/yolov10n.onnx",
        metadata={"names": "{0: 'person'}"},
        spec=InputSpec(color="rgb", scale=1 / 255),
    )


def write_engine(path: Path, made: EngineManifest | None = None, *, accepted: bool = True) -> EngineManifest:
    """The plan and its manifest, judged in the environment that it is for."""
    made = made or described()
    if accepted:
        made = made.judged(verdict(), made.environment)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(PLAN)
    manifest.write(path, made)
    return made
