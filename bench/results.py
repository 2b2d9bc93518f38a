"""Measures the registry's models and the pipeline here, and writes engines/README.md and models.yaml.

    python -m bench.results [--shared DIR]

No figure in those two files is typed by hand. Needs the shared data, and the extra `evaluate`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime

from bench.sections import kept
from detector import __version__
from detector.models import load_registry

ROOT = Path(__file__).resolve().parents[1]
README, REGISTRY = ROOT / "engines" / "README.md", ROOT / "engines" / "models.yaml"
FILES = {
    "yolox-tiny-person": "yolox_tiny_humanart.onnx",
    "yolov10n": "yolov10n.onnx",
    "yolox-nano": "yolox_nano.onnx",
    "yolov8n": "yolov8n.onnx",
    "yolo11n": "yolo11n.onnx",
}
DATA_SET = "COCO-64"
Figures = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measure everything and write it down.")
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("DETECTOR_SHARED", ROOT.parent / "shared")))
    shared = parser.parse_args(arguments).shared
    if not (shared / "media" / "coco").is_dir():
        print(f"no pictures in {shared}: give --shared or set DETECTOR_SHARED", file=sys.stderr)
        return 1
    models = {name: _model(shared, file) for name, file in FILES.items()}
    tracking, cpu = _module("tracking", shared), _module("cpu", shared)
    README.write_text(_page(models, tracking, cpu) + kept(README), encoding="utf-8")
    REGISTRY.write_text(_measured(REGISTRY.read_text(encoding="utf-8"), models), encoding="utf-8")
    load_registry(REGISTRY)  # what was written must be valid
    return 0


def machine() -> str:
    """The processor's name and how many cores of it there are."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    name = re.search(r"^model name\s*: (.+)$", info, re.MULTILINE)
    return f"{name[1] if name else platform.machine()}, {len(os.sched_getaffinity(0))} cores"


def _detector(*arguments: str | Path) -> Figures:
    command = [sys.executable, "-m", "detector", *map(str, arguments), "--json"]
    print("$ detector", *arguments[:3], file=sys.stderr)
    figures: Figures = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return figures


def _model(shared: Path, file: str) -> Figures:
    path, media = shared / "models" / file, shared / "media"
    accuracy = _detector(
        "evaluate", "--model", path, "--images", media / "coco" / "images",
        "--annotations", media / "coco" / "person_instances.json",
    )  # fmt: skip
    speed = _detector("bench", "--model", path, "--source", media / "video" / "vtest.avi", "--frames", "200")
    return {"accuracy": accuracy, "speed": speed}


def _module(name: str, shared: Path) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        command = [sys.executable, "-m", f"bench.{name}", "--shared", str(shared), "--json", str(out)]
        subprocess.run(command, cwd=ROOT, check=False, stdout=sys.stderr)  # a missed target is a finding, too
        figures: Figures = json.loads(out.read_text(encoding="utf-8"))
        return figures


def _page(models: dict[str, Figures], tracking: Figures, cpu: Figures) -> str:
    when = datetime.now(timezone.utc).date().isoformat()
    versions = f"detector {__version__}, Python {platform.python_version()}, ONNX Runtime {onnxruntime.__version__}"
    versions += f", OpenCV {cv2.__version__}, NumPy {np.__version__}"
    return "\n".join([
        "# Measured results", "",
        "Written by `python -m bench.results`; do not edit. Times are of this machine and say nothing of a Jetson.", "",
        f"{when}: {machine()}; {versions}.", "",
        "## Models", "",
        f"Person AP by pycocotools on {DATA_SET} (64 pictures of COCO val2017, 187 persons); speed on vtest.avi (768x576).",
        "The ratio is the median time from frame in hand to detections over the median bare model run, interleaved in",
        "one process.", "",
        *_model_table(models), "",
        "## Tracking", "",
        "vtest.avi (PETS 2009 S2L1), IoU 0.5, by motmetrics; both trackers on the same boxes in the same run.", "",
        *_tracking_table(tracking), "",
        *_visits(tracking), "",
        "## A still scene", "",
        f"CPU of the whole service on one core: busy scene {cpu['busy_percent']} %, still scene {cpu['still_percent']} %;",
        f"still over busy {cpu['still_over_busy']} (target: at most 0.2). By `python -m bench.cpu`.", "",
    ])  # fmt: skip


def _model_table(models: dict[str, Figures]) -> list[str]:
    rows = [
        "| model | AP50 | AP | model p50 ms | p99 ms | pipeline over model | peak MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, figures in models.items():
        accuracy, speed = figures["accuracy"], figures["speed"]
        infer = speed["stages"]["infer"]
        rows.append(
            f"| {name} | {accuracy['ap50']:.3f} | {accuracy['ap']:.3f} | {infer['p50']:.1f} | {infer['p99']:.1f} "
            f"| {speed['pipeline_over_model_ratio']:.3f} | {speed['peak_rss_mb']:.0f} |"
        )
    return rows


def _tracking_table(tracking: Figures) -> list[str]:
    rows = ["| boxes of | frames | tracker | MOTA | IDF1 | switches | ms per update |", "|---|---|---|---|---|---|---|"]
    for row in tracking["vtest"]:
        score = row["score"]
        rows.append(
            f"| {Path(row['model']).stem} | {row['frames']} | {row['tracker']} | {score['mota']:.3f} "
            f"| {score['idf1']:.3f} | {score['switches']} | {row['ms_per_update']:.2f} |"
        )
    if tracking["package_missing"]:
        rows.append(f"\nThe `trackers` package was left out: {tracking['package_missing']}.")
    return rows


def _visits(tracking: Figures) -> list[str]:
    seen = dict(tracking["one_by_one"])
    real = seen.pop("record")["true"]
    return [
        f"One-by-one clip, {real} true visits; found with {Path(model).stem}: "
        + ", ".join(f"{count} at {rate}" for rate, count in counts.items()) + "."
        for model, counts in seen.items()
    ]  # fmt: skip


def _measured(text: str, models: dict[str, Figures]) -> str:
    """`text` of models.yaml with each model's `measured` line replaced; comments stay."""
    for name, figures in models.items():
        accuracy = {key: round(figures["accuracy"][key], 3) for key in ("ap50", "ap")}
        speed = {"infer_ms": round(figures["speed"]["stages"]["infer"]["p50"], 1)}
        line = json.dumps({"accuracy": {DATA_SET: accuracy}, "speed": {machine(): speed}})
        pattern = rf"(^  {re.escape(name)}:\n(?:^(?:    .*)?\n)*?^    measured: ).*$"
        text, count = re.subn(pattern, lambda m, line=line: m[1] + line, text, flags=re.MULTILINE)  # type: ignore[misc]
        if count != 1:
            raise SystemExit(f"{REGISTRY} has no line `measured:` for {name}")
    return text


if __name__ == "__main__":
    raise SystemExit(main())
