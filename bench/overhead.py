"""From frame in hand to detections, over the bare run of the same model, on 1080p pictures.

    python -m bench.overhead [--shared DIR] [--frames N] [--json FILE]

What `detector bench` does, for the models that the service runs in bench.glass; both sides interleaved in one process.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detector.config.model_settings import Model
from detector.core.progress import quiet
from detector.models.autotune.loader import AutotunedLoader
from detector.models.benchmark import benchmark
from detector.models.loading import resolve

from .drawn import draw
from .glass import CLIP, SIZE
from .lineup import BF16, DEFAULT, FP32, INT8, services
from .subjects import ROOT

TARGET = 1.03
_MODELS = (FP32, INT8, BF16, DEFAULT)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("DETECTOR_SHARED", ROOT.parent / "shared")))
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(arguments)
    if not (chosen.shared / CLIP).is_file():
        print(f"no {chosen.shared / CLIP}: give --shared or set DETECTOR_SHARED", file=sys.stderr)
        return 1
    figures = measure(chosen.shared, chosen.frames)
    for name, one in figures.items():
        stages = ", ".join(f"{stage} {ms:.2f}" for stage, ms in one["stages_ms"].items())
        print(f"{name}: {one['ratio']:.3f} (target: {TARGET}); p50 ms: {stages}")
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0 if all(one["ratio"] <= TARGET for one in figures.values()) else 1


def measure(shared: Path, frames: int) -> dict[str, Any]:
    """Per model the ratio, and the median ms of each stage."""
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.h264"
        clip.write_bytes(b"".join(draw(shared / CLIP, fps=10, size=SIZE).units))
        runnable = [one for one in services(shared) if one.name in _MODELS and one.why_not() is None]
        return {one.name: _measured(one.model, clip, frames) for one in runnable}


def _measured(section: dict[str, Any], clip: Path, frames: int) -> dict[str, Any]:
    model = Model.model_validate(section)
    detector = AutotunedLoader(model, resolve(model))()
    try:
        found = benchmark(detector=detector, source=clip, frames=frames, progress=quiet)
    finally:
        detector.close()
    stages = {stage: one["p50"] for stage, one in found.stages.items()}
    return {"ratio": found.pipeline_over_model_ratio, "stages_ms": stages}


if __name__ == "__main__":
    raise SystemExit(main())
