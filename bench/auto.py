"""What `backend: auto` takes on this machine, what that saves, and what it costs in person AP.

    python -m bench.auto [--shared DIR] [--sets NAME...] [--models NAME...] [--without-openvino] [--json FILE]

Each set of pictures stands for a camera: its earlier half is what the service has seen (split again into what
calibrates and what judges; of vtest every tenth frame), then a form is chosen as the service chooses it. AP lost is against ONNX Runtime
fp32 in the same input sizes, in points of 100: over all pictures, and over the later half, which nothing was made
from. B is the bare ONNX Runtime run of YOLOv10n, fp32, 640x640, one thread, interleaved with the chosen form.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from bench.variants import REFERENCE, street_set
from detector.capture.pictures import clip_pictures
from detector.config.model_settings import Model
from detector.core.types import ArrayImage, Image
from detector.inference.factory import load_detector
from detector.inference.input_sizes import InputSize, best_input_size
from detector.inference.multi_size import MultiSizeDetector
from detector.models.accuracy.average_precision import EVALUATION_FLOOR, evaluate
from detector.models.autotune.candidates import Candidate, openvino_there
from detector.models.autotune.choice import Choice
from detector.models.autotune.cost import interleaved
from detector.models.autotune.loader import open_form
from detector.models.autotune.samples import CalibrationSet, small, split
from detector.models.autotune.tune import TuneRequest, tune
from detector.models.registry import Resolved, load_registry, sample_pictures

ROOT = Path(__file__).resolve().parents[1]
SETS = ("coco", "vtest")
MODELS = ("yolox_tiny_humanart", "yolov10n")
COCO_LOSS, STREET_LOSS, CPU_OVER_B = 0.5, 0.0, 0.40
"""The targets."""

_STREET_FRAMES = 795


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoRow:
    """One model as a camera of that set gets it; `lost` and `lost_unseen` in points of AP."""

    model: str
    pictures: str
    taken: str
    why: str
    ms_over_b: float
    cpu_over_b: float
    ap_fp32: float
    ap: float
    lost: float
    lost_unseen: float
    refused: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Set:
    """Pictures in time's order, with COCO annotations of all and of the later half."""

    name: str
    images: Path
    all: Path
    unseen: Path
    seen: tuple[Image, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("DETECTOR_SHARED", ROOT.parent / "shared")))
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--without-openvino", action="store_true", help="as after a plain install")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(arguments)
    if not (chosen.shared / "media").is_dir():
        print(f"no {chosen.shared / 'media'}: give --shared or set DETECTOR_SHARED", file=sys.stderr)
        return 1
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for pictures in (_set(name, chosen.shared / "media", Path(folder)) for name in chosen.sets):
            for model in chosen.models:
                row = _row(chosen.shared / "models", model, pictures, openvino=not chosen.without_openvino)
                _print(row)
                rows.append(row)
    if chosen.json:
        found = {"load_average": os.getloadavg()[0], "rows": [dataclasses.asdict(row) for row in rows]}
        chosen.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def _set(name: str, media: Path, folder: Path) -> _Set:
    if name == "coco":
        images, annotations = media / "coco" / "images", media / "coco" / "person_instances.json"
    else:
        images, annotations = street_set(media / "video", folder)
    document = json.loads(annotations.read_text(encoding="utf-8"))
    half = len(document["images"]) // 2
    later = {entry["id"] for entry in document["images"][half:]}
    unseen = folder / f"{name}-unseen.json"
    unseen.write_text(
        json.dumps(
            {
                "images": document["images"][half:],
                "annotations": [each for each in document["annotations"] if each["image_id"] in later],
                "categories": document["categories"],
            }
        ),
        encoding="utf-8",
    )
    if name == "coco":
        seen = tuple(_picture(images / entry["file_name"]) for entry in document["images"][:half])
    else:
        seen = tuple(clip_pictures(media / "video" / "vtest.avi", count=_STREET_FRAMES // 20, every=10))
    return _Set(name=name, images=images, all=annotations, unseen=unseen, seen=seen)


def _row(models: Path, model: str, pictures: _Set, *, openvino: bool) -> AutoRow:
    resolved = load_registry().resolve(models / f"{model}.onnx")
    base = _base(resolved)
    seen = pictures.seen
    counted = Counter(best_input_size(base, image.width, image.height) for image in seen)
    shapes = tuple(shape for shape, _ in counted.most_common())
    choice = tune(
        TuneRequest(
            model=Model(name=str(resolved.path)),
            resolved=resolved,
            shapes=shapes,
            evidence=_evidence(seen, base),
            built_in=sample_pictures,
            openvino=openvino and openvino_there(),
        )
    )
    reference = _aps(resolved, Candidate(threads=1), {}, pictures)
    taken = _aps(resolved, choice.taken, choice.files, pictures)
    ms, cpu = _over_b(models, resolved, choice, seen[0])
    return AutoRow(
        model=model,
        pictures=pictures.name,
        taken=str(choice.taken),
        why=choice.why,
        ms_over_b=round(ms, 3),
        cpu_over_b=round(cpu, 3),
        ap_fp32=round(reference[0], 4),
        ap=round(taken[0], 4),
        lost=round(100 * (reference[0] - taken[0]), 2),
        lost_unseen=round(100 * (reference[1] - taken[1]), 2),
        refused={str(each.form): each.refused for each in choice.results if each.refused},
    )


def _evidence(seen: Sequence[Image], base: InputSize) -> CalibrationSet:
    return split([small(image, base) for image in seen], ("bench",))


def _aps(resolved: Resolved, form: Candidate, files: dict[InputSize, str], pictures: _Set) -> tuple[float, float]:
    """AP over all pictures and over the later half."""
    with contextlib.closing(open_form(resolved, form, files=files, score_floor=EVALUATION_FLOOR)) as detector:
        whole, unseen = (
            evaluate(detector=detector, images=pictures.images, annotations=truth)
            for truth in (pictures.all, pictures.unseen)
        )
    return whole.ap, unseen.ap


def _over_b(models: Path, resolved: Resolved, choice: Choice, picture: Image) -> tuple[float, float]:
    """Wall and CPU time of the chosen form over B's."""
    reference = load_detector(path=models / f"{REFERENCE}.onnx", name=REFERENCE, backend="onnxruntime", threads=1)
    with (
        contextlib.closing(reference),
        contextlib.closing(open_form(resolved, choice.taken, files=choice.files, expected=choice.shapes[:1])) as taken,
    ):
        b, cost = interleaved(reference, taken, picture)
    return cost.ms / b.ms, cost.cpu_ms / b.cpu_ms


def _base(resolved: Resolved) -> InputSize:
    with contextlib.closing(open_form(resolved, Candidate(threads=1))) as detector:
        assert isinstance(detector, MultiSizeDetector)
        return detector.base


def _picture(path: Path) -> Image:
    return ArrayImage(np.asarray(cv2.imread(str(path)), np.uint8))


def _print(row: AutoRow) -> None:
    limit = COCO_LOSS if row.pictures == "coco" else STREET_LOSS
    print(f"{row.model} on {row.pictures}: {row.taken}: {row.why}")
    print(
        f"  {row.ms_over_b:.2f} B, CPU {row.cpu_over_b:.2f} B (target {CPU_OVER_B:.2f}); AP {row.ap:.3f}, lost "
        f"{row.lost:+.2f} points, of unseen pictures {row.lost_unseen:+.2f} (at most {limit:.1f})"
    )
    for form, why in row.refused.items():
        print(f"  refused {form}: {why}")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
