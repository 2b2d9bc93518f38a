"""What each variant of a model costs and still sees: time over B, person AP on photographs and on the street.

    python -m bench.variants [--shared DIR] [--models NAME...] [--rounds N] [--json FILE]

B is the bare ONNX Runtime run of YOLOv10n, fp32, 640x640, one thread, measured in the same rounds as the
variants: every round runs each once, in turning order, and a ratio is that of the medians. INT8 is calibrated on
every second of the COCO pictures, which the AP then counts too. Variants come from and go to the usual cache.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from bench.street import street
from detector.core.types import ArrayImage, Image
from detector.inference.detector import PersonDetector
from detector.inference.factory import load_detector
from detector.inference.input_sizes import InputSize, allowed_input_sizes
from detector.models.accuracy.average_precision import EVALUATION_FLOOR, evaluate
from detector.models.graph.variants import VariantPrecision, prepare

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = "yolov10n"
MODELS = ("yolox_tiny_humanart", "yolov10n", "yolox_nano", "yolov8n", "yolo11n")
_WITH_INT8 = MODELS[:2]
_STREET_STEP = 20  # of vtest's 795 frames, which change little from one to the next


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantRow:
    """One variant; `ratio` over B, `own_ratio` over the model as it is."""

    model: str
    shape: InputSize
    person_only: bool
    precision: str
    ratio: float
    own_ratio: float
    coco_ap: float
    coco_ap50: float
    street_ap: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sets:
    """Annotated pictures: folders and COCO files."""

    coco: tuple[Path, Path]
    street: tuple[Path, Path]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("DETECTOR_SHARED", ROOT.parent / "shared")))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(arguments)
    if not (chosen.shared / "media").is_dir():
        print(f"no {chosen.shared / 'media'}: give --shared or set DETECTOR_SHARED", file=sys.stderr)
        return 1
    rows: list[VariantRow] = []
    print(
        f"{'model':20} {'input':>9} {'head':7} {'precision':10} {'x B':>6} {'x own':>6} {'AP':>6} {'AP50':>6} {'street':>6}"
    )
    with tempfile.TemporaryDirectory() as folder:
        coco = chosen.shared / "media" / "coco"
        sets = _Sets(
            coco=(coco / "images", coco / "person_instances.json"),
            street=street_set(chosen.shared / "media" / "video", Path(folder)),
        )
        for model in chosen.models:
            rows += _measured(chosen.shared / "models", model, sets, chosen.rounds)
    if chosen.json:
        found = {"load_average": os.getloadavg()[0], "rows": [dataclasses.asdict(row) for row in rows]}
        chosen.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def _measured(models: Path, model: str, sets: _Sets, rounds: int) -> list[VariantRow]:
    source = models / f"{model}.onnx"
    pictures = _photos(sets.coco[0])
    base = _input_size(source)
    wishes = _wishes(model, base)
    files = [
        prepare(source, shape=shape, person_only=cut, precision=precision, pictures=pictures) if cut else source
        for shape, cut, precision in wishes
    ]
    reference = _load(models / f"{REFERENCE}.onnx")
    detectors = [_load(file) for file in files]
    bare, times = _times(reference, detectors, pictures, rounds)
    rows = []
    for (shape, cut, precision), detector, ms in zip(wishes, detectors, times, strict=True):
        photos, street = (evaluate(detector=detector, images=i, annotations=a) for i, a in (sets.coco, sets.street))
        rows.append(
            VariantRow(
                model=model,
                shape=shape or base,
                person_only=cut,
                precision=precision,
                ratio=round(ms / bare, 3),
                own_ratio=round(ms / times[0], 3),
                coco_ap=round(photos.ap, 3),
                coco_ap50=round(photos.ap50, 3),
                street_ap=round(street.ap, 3),
            )
        )
        _print(rows[-1])
    for detector in (reference, *detectors):
        detector.close()
    return rows


def _wishes(model: str, base: InputSize) -> list[tuple[InputSize | None, bool, VariantPrecision]]:
    """The model as it is, then person-only in each lying shape, then these in INT8."""
    lying = [shape for shape in allowed_input_sizes(base) if shape[0] >= shape[1]]
    precisions: tuple[VariantPrecision, ...] = ("fp32", "int8", "int8-mixed") if model in _WITH_INT8 else ("fp32",)
    return [(None, False, "fp32"), *((shape, True, precision) for precision in precisions for shape in lying)]


def _times(
    reference: PersonDetector, detectors: Sequence[PersonDetector], pictures: Sequence[Image], rounds: int
) -> tuple[float, list[float]]:
    """Median ms of the bare runs: B's and each detector's."""
    everyone = [reference, *detectors]
    for detector in everyone:
        detector.detect_image(pictures[0])
        detector.run_bare()
    samples: list[list[float]] = [[] for _ in everyone]
    for turn in range(rounds):
        for place in range(len(everyone)):
            index = (turn + place) % len(everyone)  # nobody always runs after the same one
            samples[index].append(everyone[index].run_bare())
    bare, *others = (statistics.median(each) for each in samples)
    return bare, others


def _load(path: Path) -> PersonDetector:
    return load_detector(path=path, name=path.stem, threads=1, score_floor=EVALUATION_FLOOR)


def _input_size(path: Path) -> InputSize:
    detector = _load(path)
    detector.close()
    return detector.input_size


def _photos(folder: Path) -> list[Image]:
    files = sorted(folder.iterdir())[::2]
    return [ArrayImage(np.asarray(cv2.imread(str(file)), np.uint8)) for file in files]


def street_set(videos: Path, folder: Path) -> tuple[Path, Path]:
    """Every so many frames of vtest as pictures with COCO annotations, in `folder`; their order is the clip's."""
    return street(videos, folder, "street", step=_STREET_STEP)


def _print(row: VariantRow) -> None:
    size, head = f"{row.shape[0]}x{row.shape[1]}", "person" if row.person_only else "whole"
    print(
        f"{row.model:20} {size:>9} {head:7} {row.precision:10} {row.ratio:6.3f} {row.own_ratio:6.3f} "
        f"{row.coco_ap:6.3f} {row.coco_ap50:6.3f} {row.street_ap:6.3f}",
        flush=True,
    )


if __name__ == "__main__":
    raise SystemExit(main())
