"""What pruning costs, and what fine-tuning with distillation brings back: AP before, after, and after tuning.

    python -m bench.pruning [--shared DIR] [--macs 0.9 0.8] [--steps 1000] [--json FILE]

Learned from, without annotations: odd frames of vtest.avi, frames of the one-by-one clip, six photographs. Measured on
pictures that were not learned from: COCO-64, and even frames of vtest.avi (another camera's scene against the very
scene that was learned). Each share of work is a run of `detector prune`; it resumes where it was stopped.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2

from detector.capture.pictures import clip_frames
from detector.core.files import write_atomically
from detector.models.accuracy.average_precision import EVALUATION_FLOOR, evaluate
from detector.optimize.export import ultralytics_models
from detector.optimize.export.torchbackend import judge
from detector.optimize.prune.network import keep_deployed

ROOT = Path(__file__).resolve().parents[1]
LEARN_VTEST, LEARN_ROOM, JUDGE_VTEST = 6, 10, 20  # one frame in so many; the first odd, the last even


def main() -> None:
    options = _options()
    options.work.mkdir(parents=True, exist_ok=True)
    media = options.shared / "media"
    data, judged = (
        _lessons(options.work / "learned", media),
        marked_street(options.work / "judged", media, lambda number: number % JUDGE_VTEST == 0),
    )
    coco = (media / "coco" / "images", media / "coco" / "person_instances.json")
    runs = []
    for macs in options.macs:
        output = options.work / f"yolov10n-{macs:g}.pt"
        done = _prune(options, macs, data, output, coco)
        on_clip = {name: _clip_ap(path, judged) for name, path in _models(options, output).items()}
        runs.append({**done, "model": "yolov10n.pt", "output": output.name, "vtest_even_frames": on_clip})
        write_atomically(
            options.json, json.dumps({"learned_from": len(list(data.iterdir())), "runs": runs}, indent=1) + "\n"
        )
        print(json.dumps(runs[-1]), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("DETECTOR_SHARED", ROOT.parent / "shared")))
    parser.add_argument("--macs", type=float, nargs="+", default=[0.9])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--train-size", default="320x320")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--work", type=Path, default=ROOT / "bench" / "out" / "pruning")
    parser.add_argument("--json", type=Path, default=ROOT / "bench" / "out" / "pruning.json")
    return parser.parse_args()


def _prune(
    options: argparse.Namespace, macs: float, data: Path, output: Path, coco: tuple[Path, Path]
) -> dict[str, Any]:
    arguments = ["prune", options.shared / "models" / "yolov10n.pt", "--macs", macs, "--output", output, "--data", data]
    arguments += ["--finetune", options.steps, "--train-size", options.train_size, "--threads", options.threads]
    return _detector(*arguments, "--images", coco[0], "--annotations", coco[1], "--json")


def _models(options: argparse.Namespace, tuned: Path) -> dict[str, Path]:
    return {"before": options.shared / "models" / "yolov10n.pt", "tuned": tuned}


def _clip_ap(model: Path, judged: tuple[Path, Path]) -> dict[str, Any]:
    network = ultralytics_models.load(model)
    keep_deployed(network)
    found = evaluate(
        detector=judge(network, size=(640, 640), score_floor=EVALUATION_FLOOR), images=judged[0], annotations=judged[1]
    )
    return {"ap": found.ap, "ap50": found.ap50, "images": found.images}


def _detector(*arguments: object) -> dict[str, Any]:
    """The program's own JSON; ends the bench where it fails."""
    command = [sys.executable, "-m", "detector", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def _lessons(folder: Path, media: Path) -> Path:
    """The pictures to learn from, made once."""
    if not folder.exists():
        part = folder.with_name("learned.part")
        part.mkdir(exist_ok=True)
        _frames(media / "video" / "vtest.avi", part, lambda number: number % LEARN_VTEST == 1)
        clip = media / "video" / "one-by-one-person-detection.mp4"
        _frames(clip, part, lambda number: number % LEARN_ROOM == 0)
        for path in [*(media / "images").iterdir(), *(media / "negatives").iterdir()]:
            (part / path.name).write_bytes(path.read_bytes())
        part.replace(folder)
    return folder


def marked_street(folder: Path, media: Path, wanted: Callable[[int], bool]) -> tuple[Path, Path]:
    """The wanted frames of vtest.avi and their marked persons, in COCO's format."""
    folder.mkdir(exist_ok=True)
    names = _frames(media / "video" / "vtest.avi", folder, wanted)
    boxes: list[dict[str, Any]] = []
    with (media / "video" / "gt" / "vtest_mot_gt.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            frame, *box = (int(float(row["frame0"])), *(float(row[key]) for key in ("x", "y", "w", "h")))
            if frame in names:
                boxes.append(
                    {
                        "id": len(boxes) + 1,
                        "image_id": frame,
                        "category_id": 1,
                        "bbox": box,
                        "area": box[2] * box[3],
                        "iscrowd": 0,
                    }
                )
    images = [{"id": number, "file_name": name} for number, name in names.items()]
    document = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "person"}]}
    path = folder.with_suffix(".json")
    path.write_text(json.dumps(document), encoding="utf-8")
    return folder, path


def _frames(clip: Path, folder: Path, wanted: Callable[[int], bool]) -> dict[int, str]:
    """Writes the wanted frames as PNG; their names by number."""
    names: dict[int, str] = {}
    for number, frame in enumerate(clip_frames(clip)):
        if wanted(number):
            names[number] = f"{clip.stem}-{number:04d}.png"
            if not (folder / names[number]).exists():
                cv2.imwrite(str(folder / names[number]), frame.image.bgr())
    return names


if __name__ == "__main__":
    main()
