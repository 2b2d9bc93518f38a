"""`detector optimize` on YOLOv10n and yolox-tiny-person: speed over PyTorch eager at the accuracy that was asked for.

    python -m bench.optimize [--shared DIR] [--json FILE] [--out DIR] [--rounds N] [--threads N...]

Two studies a model. The first at the model's own square input, judged on the COCO pictures and on frames of vtest.
The second for 16:9 video at 16:9 input, judged on the same frames cut to 16:9. INT8 is calibrated on pictures that
nothing is judged by. An interrupted run goes on where it was if `--out` names a folder. Exit 1 where a target was missed: that is a finding, and the figures stand.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2

from bench.section import ROOT
from bench.street import WIDE, frames, street
from detector.capture.pictures import clip_frames, folder_pictures
from detector.core.types import Image
from detector.inference.backends.onnxruntime import OnnxRuntimeBackend
from detector.inference.detector import PersonDetector
from detector.models.registry import load_registry
from detector.optimize.study.report import points

_INTRODUCTION = (
    "`detector optimize` by `python -m bench.optimize`: the fastest variant within 0.5 AP points of FP32, over PyTorch "
    "eager FP32 as loaded at the square input, with as many threads, in the same rounds. AP on the COCO pictures and on "
    "every 20th frame of vtest; for 16:9 on those frames cut to 16:9. INT8 is calibrated on other pictures."
)
BUDGET = 0.5
Figures = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchModel:
    """`wide` is the 16:9 input; without a checkpoint PyTorch runs the network rebuilt from the ONNX graph."""

    name: str
    file: str
    square: str
    wide: str
    checkpoint: str | None = None


MODELS = (
    BenchModel(name="yolov10n", file="yolov10n.onnx", square="640x640", wide="640x384", checkpoint="yolov10n.pt"),
    BenchModel(name="yolox-tiny-person", file="yolox_tiny_humanart.onnx", square="416x416", wide="416x256"),
)
TARGETS = {"square": 5.0, "wide": 8.0}
"""Times the speed of PyTorch eager FP32 at the square input."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("DETECTOR_SHARED", ROOT.parent / "shared")))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--out", type=Path, help="keep the studies here: reports and models")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument(
        "--models", nargs="+", choices=[one.name for one in MODELS], default=[one.name for one in MODELS]
    )
    chosen = parser.parse_args(arguments)
    if not (chosen.shared / "media").is_dir():
        print(f"no {chosen.shared / 'media'}: give --shared or set DETECTOR_SHARED", file=sys.stderr)
        return 1
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        out = chosen.out or Path(folder) / "out"
        data = _data(chosen.shared / "media", Path(folder))
        found = {
            model.name: {kind: _study(model, kind, data, chosen, out) for kind in TARGETS}
            for model in MODELS if model.name in chosen.models
        }  # fmt: skip
    document = {"took_s": round(time.monotonic() - begun), "studies": found}
    if chosen.json:
        chosen.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print("\n".join(section(found)))
    return 0 if all(_met(study, kind) for studies in found.values() for kind, study in studies.items()) else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _OptimizeData:
    calibration: Path
    square: list[tuple[Path, Path]]
    wide: list[tuple[Path, Path]]


def _data(media: Path, folder: Path) -> _OptimizeData:
    """The sets, and calibration pictures of other moments and another place."""
    coco, videos = media / "coco", media / "video"
    calibration = folder / "calibration"
    calibration.mkdir()
    visits = itertools.islice(clip_frames(videos / "one-by-one-person-detection.mp4"), 60, 1300, 80)
    pictures = [*frames(videos, first=10, step=50), *(frame.image.bgr() for frame in visits)]
    for number, picture in enumerate(pictures):
        cv2.imwrite(str(calibration / f"{number:03}.png"), picture)
    return _OptimizeData(
        calibration=calibration,
        square=[(coco / "images", coco / "person_instances.json"), street(videos, folder, "vtest")],
        wide=[street(videos, folder, "vtest-16-9", cut=WIDE)],
    )


def _study(model: BenchModel, kind: str, data: _OptimizeData, chosen: argparse.Namespace, out: Path) -> Figures:
    sets = data.square if kind == "square" else data.wide
    command: list[str | Path] = [sys.executable, "-m", "detector", "optimize", "--quick", "--json"]
    command += ["--model", chosen.shared / "models" / model.file, "--calibration", data.calibration]
    for folder, truth in sets:
        command += ["--images", folder, "--annotations", truth]
    command += ["--size", model.square if kind == "square" else model.wide, "--max-ap-drop", str(BUDGET)]
    command += ["--rounds", str(chosen.rounds), "--out", out / model.name / kind]
    for threads in chosen.threads:
        command += ["--threads", str(threads)]
    if model.checkpoint is not None:
        command += ["--checkpoint", chosen.shared / "models" / model.checkpoint]
    print(f"$ detector optimize: {model.name}, {kind}", file=sys.stderr)
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if not done.stdout:
        raise SystemExit(done.returncode)
    figures: Figures = json.loads(done.stdout)  # without a winner it ends with 1, its figures told
    if model.checkpoint is None and find_spec("torch") is not None:
        _add_eager(figures, chosen.shared / "models" / model.file, sets[0][0], chosen)
    return figures


def _add_eager(study: Figures, path: Path, pictures: Path, chosen: argparse.Namespace) -> None:
    """PyTorch's factors where there is no checkpoint: the network rebuilt from the ONNX graph, beside ONNX Runtime.

    A variant's factor is its factor over ONNX Runtime times how much longer PyTorch takes than that.
    """
    found = list(folder_pictures(pictures, count=chosen.rounds))
    for name, folded in (("eager", False), ("eager_folded", True)):
        ratios = {threads: _over_onnxruntime(path, found, threads, folded=folded) for threads in chosen.threads}
        for row in study["cells"]:
            row[f"over_{name}"] = row["over_onnxruntime"] * ratios[row["runtime"]["threads"]]
        usual = study["baselines"]["onnxruntime"]["p50_ms"]
        times = {str(threads): ratio * usual[str(threads)] for threads, ratio in ratios.items()}
        study["baselines"][name] |= {"p50_ms": times, "reason": None}


def _over_onnxruntime(path: Path, pictures: Sequence[Image], threads: int, *, folded: bool) -> float:
    """How many times as long PyTorch takes from a picture to its boxes: medians of runs in turns, in one process."""
    from bench.eager import EagerBackend

    spec = load_registry().resolve(path).spec
    backends = (EagerBackend(path=path, threads=threads, folded=folded), OnnxRuntimeBackend(path=path, threads=threads))
    detectors = [PersonDetector(model_name=path.stem, backend=one, spec=spec) for one in backends]
    times: list[list[float]] = [[], []]
    for picture in pictures:
        for detector, own in zip(detectors, times, strict=True):
            detector.detect_image(picture)  # not counted: the other one has had the caches
            for _ in range(3):
                begun = time.perf_counter()
                detector.detect_image(picture)
                own.append(time.perf_counter() - begun)
    return statistics.median(times[0]) / statistics.median(times[1])


def _winner(study: Figures) -> Figures | None:
    return next((row for row in study["cells"] if row["key"] == study["winner"]), None)


def _met(study: Figures, kind: str) -> bool:
    best = _winner(study)
    return best is not None and best["over_eager"] is not None and best["over_eager"] >= TARGETS[kind]


def section(found: dict[str, dict[str, Figures]]) -> list[str]:
    """Markdown for engines/README.md, from the studies by model and kind."""
    lines = [
        _INTRODUCTION, "",
        "| model | for | chosen | AP points | ms | over eager | target | over eager, folded | same input | over ORT FP32 |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    lines += [_row(name, kind, study) for name, studies in found.items() for kind, study in studies.items()]
    missed = [
        _why(name, kind, study) for name, each in found.items() for kind, study in each.items() if not _met(study, kind)
    ]
    lines += ["", *missed] if missed else []
    for name, studies in found.items():
        for kind, study in studies.items():
            lines += ["", f"### {name}, {'square input' if kind == 'square' else '16:9 video'}", "", *_details(study)]
    return lines


def _row(name: str, kind: str, study: Figures) -> str:
    best = _winner(study)
    what = "any picture" if kind == "square" else "16:9 video"
    if best is None:
        return f"| {name} | {what} | none within the budget | | | | {TARGETS[kind]:g} missed | | | |"
    met = "met" if _met(study, kind) else "missed"
    factors = " | ".join(_times(best[f"over_{key}"]) for key in ("eager_folded", "eager_same_input", "onnxruntime"))
    return (
        f"| {name} | {what} | {best['label']} | {points(best['drop'])} | {best['p50_ms']:.1f} "
        f"| {_times(best['over_eager'])} | {TARGETS[kind]:g}: {met} | {factors} |"
    )


def _why(name: str, kind: str, study: Figures) -> str:
    """How far a missed target is, and what limits it, from the figures."""
    missed = (
        f"{name}, {'square input' if kind == 'square' else '16:9 video'}: {TARGETS[kind]:g} cannot be reached here. "
    )
    factors = [row["over_eager"] for row in study["cells"] if row["over_eager"] is not None]
    if not factors:
        return missed + "PyTorch's speed is not known: " + str(study["baselines"]["eager"]["reason"]) + "."
    times = {key: study["baselines"][key]["p50_ms"] for key in ("eager", "onnxruntime")}
    ratios = [ms / times["onnxruntime"][threads] for threads, ms in times["eager"].items()]
    return (
        f"{missed}The fastest of {len(factors)} variants, whatever its accuracy, reaches {max(factors):.2f}; PyTorch eager "
        f"itself takes only {min(ratios):.2f} times as long as ONNX Runtime FP32."
    )


def _details(study: Figures) -> list[str]:
    lines = ["| change | factor | least to most | AP points | pairs |", "|---|---|---|---|---|"]
    lines += [
        f"| {lever['name']} | {lever['factor']:.2f} | {lever['least']:.2f} to {lever['most']:.2f} "
        f"| {points(lever['points'])} | {lever['pairs']} |"
        for lever in study["levers"]
    ]
    sets = [one["name"] for one in study["sets"]]
    head = " | ".join(f"AP {name}" for name in sets)
    lines += ["", f"| variant | {head} | AP points | p50 ms | p99 ms | over eager | over ORT | MB | peak MiB |"]
    lines.append("|---" * (len(sets) + 8) + "|")
    for row in study["cells"]:
        accuracy = " | ".join(f"{row['accuracy'][name]['ap']:.3f}" for name in sets)
        lines.append(
            f"| {row['label']} | {accuracy} | {points(row['drop'])} | {row['p50_ms']:.1f} | {row['p99_ms']:.1f} "
            f"| {_times(row['over_eager'])} | {_times(row['over_onnxruntime'])} | {row['bytes'] / 1e6:.1f} "
            f"| {row['peak_mib'] or 0:.0f} |"
        )
    baselines = "; ".join(
        f"{one['label']}: "
        + (", ".join(f"{ms:.1f} ms with {n}" for n, ms in one["p50_ms"].items()) or str(one["reason"]))
        for one in study["baselines"].values()
    )
    noise = (
        "" if study["noise"] is None else f" The same thing measured twice differed by {study['noise']:.1%} at worst."
    )
    return [*lines, "", f"Baselines (threads): {baselines}.{noise} Power: {study['power']}."]


def _times(factor: float | None) -> str:
    return "-" if factor is None else f"{factor:.2f}"


if __name__ == "__main__":
    raise SystemExit(main())
