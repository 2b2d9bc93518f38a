"""What a specialist costs and sees: `detector specialise` on the first half of two clips, judged on the second.

    python -m bench.specialise [--shared DIR] [--clips NAME...] [--steps N] [--threads N] [--json FILE]

B is a bare run of ONNX Runtime fp32, YOLOv10n at 640x640, one thread, measured in turns with the rest. AP50 by hand-made
marks is of vtest.avi's second half; the other figures are the gate's own, against what the teachers agree on. Each
specialist is also shown the other clip, which it does not know.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from detector.capture.pictures import clip_pictures
from detector.core.files import write_atomically
from detector.inference.detector import PersonDetector
from detector.inference.factory import load_detector
from detector.inference.input_sizes import best_input_size
from detector.models.accuracy.average_precision import EVALUATION_FLOOR, evaluate
from detector.models.accuracy.gate import compare
from detector.models.graph.variants import prepare
from detector.models.registry import Registry, load_registry
from detector.optimize.quantize.timing import race

from .pruning import marked_street

ROOT = Path(__file__).resolve().parents[1]
CLIPS = {"street": "vtest.avi", "visitors": "one-by-one-person-detection.mp4"}
GENERAL, STUDENT, BASELINE = "yolox-tiny-person", "yolox-nano", "yolov10n"
_HALF, _EVERY = 398, 8  # of vtest.avi's 795 frames


def main() -> None:
    options = _options()
    options.work.mkdir(parents=True, exist_ok=True)
    video = options.shared / "media" / "video"
    runs: dict[str, Any] = {}
    for name in options.clips:
        runs[name] = _specialise(options, name, video / CLIPS[name])
        _complete(options, name, runs[name], video)
        write_atomically(options.json, json.dumps({"steps": options.steps, "runs": runs}, indent=1) + "\n")
        print(json.dumps(runs[name]), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("DETECTOR_SHARED", ROOT.parent / "shared")))
    parser.add_argument("--clips", nargs="+", choices=list(CLIPS), default=list(CLIPS))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, default=ROOT / "bench" / "out" / "specialise")
    parser.add_argument("--json", type=Path, default=ROOT / "bench" / "out" / "specialise.json")
    return parser.parse_args()


def _specialise(options: argparse.Namespace, name: str, clip: Path) -> dict[str, Any]:
    """The command's own JSON; a student that is refused is a result, too."""
    config = options.work / f"{name}.yaml"
    cameras = {name: {"source": str(clip)}}
    config.write_text(yaml.safe_dump({"model": {"name": GENERAL}, "cameras": cameras}), encoding="utf-8")
    command = [sys.executable, "-m", "detector", "specialise", "-c", config, "--camera", name, "--pictures", clip]
    command += ["--judge", "0.5", "--steps", options.steps, "--threads", options.threads, "--json"]
    command += ["-o", options.work / f"{name}.onnx"]
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, check=False)
    if not done.stdout:
        raise SystemExit(f"detector specialise failed for {clip.name}")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def _complete(options: argparse.Namespace, name: str, run: dict[str, Any], video: Path) -> None:
    """Adds the cost in B, and what the specialist sees by hand-made marks and in the other scene."""
    registry, clip = load_registry(), video / CLIPS[name]
    shown = next(iter(clip_pictures(clip, count=1)))
    size = best_input_size((416, 416), shown.width, shown.height)
    general = _variant(registry, GENERAL, size)
    with (
        _opened(registry, BASELINE, _variant(registry, BASELINE, None)) as base,
        _opened(registry, GENERAL, general) as other,
    ):
        times = race([base, other])
    run["b"] = {key: round(ms / run["ms"]["general"] * times[1] / times[0], 4) for key, ms in run["ms"].items()}
    if run["offered"] is None:
        return
    made = options.work / f"{name}.onnx"
    if name == "street":
        run["marked"] = _marked(options, registry, {GENERAL: (GENERAL, general), "untaught": (STUDENT, _variant(registry, STUDENT, tuple(run["offered"]))), "specialist": (STUDENT, made)})  # fmt: skip
    elsewhere = next(other for other in CLIPS if other != name)
    run["elsewhere"] = _elsewhere(registry, made, video / CLIPS[elsewhere])


def _marked(options: argparse.Namespace, registry: Registry, models: dict[str, tuple[str, Path]]) -> dict[str, float]:
    """AP50 on marked frames of vtest.avi's second half."""
    folder = options.work / "marked"
    images, annotations = marked_street(
        folder, options.shared / "media", lambda number: number >= _HALF and number % _EVERY == 0
    )
    found = {}
    for name, (model, path) in models.items():
        with _opened(registry, model, path, floor=EVALUATION_FLOOR) as detector:
            found[name] = round(evaluate(detector=detector, images=images, annotations=annotations).ap50, 4)
    return found


def _elsewhere(registry: Registry, made: Path, clip: Path) -> dict[str, Any]:
    """Against the general model on pictures of the other scene."""
    pictures = list(clip_pictures(clip, count=100, every=7))
    size = best_input_size((416, 416), pictures[0].width, pictures[0].height)
    with (
        _opened(registry, GENERAL, _variant(registry, GENERAL, size)) as general,
        _opened(registry, STUDENT, made) as student,
    ):
        verdict = asdict(compare(general, student, pictures))
    return {key: verdict[key] for key in ("images", "persons", "missed", "extra")}


def _variant(registry: Registry, name: str, size: tuple[int, int] | None) -> Path:
    """The model for persons only at that size; None: the file itself."""
    found = registry.resolve(name)
    return found.path if size is None else prepare(found.path, shape=size, spec=found.spec)


@contextmanager
def _opened(registry: Registry, name: str, path: Path, *, floor: float = 0.1) -> Iterator[PersonDetector]:
    spec = registry.entry(name).input.spec
    detector = load_detector(path=path, name=name, spec=spec, backend="onnxruntime", threads=1, score_floor=floor)
    with closing(detector):
        yield detector


if __name__ == "__main__":
    main()
