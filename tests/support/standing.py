"""A scene that costs next to nothing: somebody stands in it for the model, and a square moves, so the motion gate opens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support import scenes
from support.inference import WALKER, end_to_end_model


def model(folder: Path) -> dict[str, Any]:
    """The configuration's `model`."""
    path = end_to_end_model(folder / "walker.onnx", [WALKER])
    return {"name": str(path), "backend": "onnxruntime", "threads": 1, "probe": False}


def camera(folder: Path, *, fps: float, **alert: Any) -> dict[str, Any]:
    """A camera of the configuration; `alert` is added to its rule, which has no cooldown."""
    walk = [20 + 5 * step for step in range(50)]
    clip = scenes.clip(folder / "walk.mp4", [*walk, *reversed(walk)])
    # A model that always answers the same would see somebody in each enlarged window, too.
    motion = {"crops_per_s": 0}
    return {"source": str(clip), "loop": True, "detect_fps": fps, "motion": motion, "alert": {"cooldown_s": 0, **alert}}
