"""A model's accuracy: average precision on persons, by pycocotools (extra `evaluate`)."""

from __future__ import annotations

import contextlib
import io
import json
import math
import statistics
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from detector.capture.pictures import read_picture
from detector.core.errors import DetectorError
from detector.core.progress import Progress, quiet
from detector.core.types import ArrayImage, Floats
from detector.inference.multi_size import AnyDetector

from .matches import Matches, matches_of

EVALUATION_FLOOR = 0.001
"""The score floor to load a detector with: average precision needs boxes with low scores too."""

_MAX_FLOOR = 0.01
_PERSON = 1  # the only category in what is handed to pycocotools


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Average precision 0..1 over IoU .50:.95, at .50, and by COCO's sizes; None for a size without persons.

    `images` is the number of pictures, `infer_ms_median` the median of the model run in ms. `matches` say which boxes
    hit, picture by picture: two models' give the loss with its bound (`matches.drop_of`).
    """

    ap: float
    ap50: float
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    images: int
    infer_ms_median: float
    matches: Matches


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundTruth:
    """Pictures and persons in COCO's JSON format, validated."""

    images: list[dict[str, Any]]
    persons: list[dict[str, Any]]


def evaluate(
    *,
    detector: AnyDetector,
    images: Path,
    annotations: Path,
    only: Collection[str] | None = None,
    progress: Progress = quiet,
) -> Evaluation:
    """Run `detector` on every picture that `annotations` (COCO JSON) names in the folder `images`.

    `only` are the file names of those to run it on; None: all. Load the detector with score floor EVALUATION_FLOOR. pycocotools handles crowds and uses at most 100 boxes per
    picture. `progress` is called after each picture. Raises DetectorError.
    """
    coco, coco_eval = _import()
    if detector.score_floor > _MAX_FLOOR:
        raise DetectorError(f"average precision needs a score floor of at most {_MAX_FLOOR}: load the model with it")
    truth = read_truth(annotations, images, only)
    boxes: list[dict[str, Any]] = []
    times: list[float] = []
    for done, entry in enumerate(truth.images, start=1):
        found, scores, infer_ms = detector.detect_image(_picture(images, entry))
        boxes += _results(entry["id"], found, scores, first=len(boxes) + 1)
        times.append(infer_ms)
        progress(done, len(truth.images), "measuring accuracy")
    stats, matches = _score(coco, coco_eval, truth, boxes)
    ap, ap50, small, medium, large = (None if stats[i] < 0 else float(stats[i]) for i in (0, 1, 3, 4, 5))
    return Evaluation(
        ap=ap or 0.0,
        ap50=ap50 or 0.0,
        ap_small=small,
        ap_medium=medium,
        ap_large=large,
        images=len(times),
        infer_ms_median=statistics.median(times),
        matches=matches,
    )


def check_set(annotations: Path, images: Path) -> list[str]:
    """The file names of the pictures that `annotations` lists, all of which are in the folder `images`.

    Raises DetectorError for everything that `evaluate` would reject before its first picture, also without
    pycocotools.
    """
    _import()
    return [entry["file_name"] for entry in read_truth(annotations, images).images]


def require_pycocotools() -> None:
    """Raise DetectorError, with what to do, if `evaluate` cannot run."""
    _import()


def _import() -> tuple[Any, Any]:
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise DetectorError("pycocotools is not installed: pip install 'detector[evaluate]'") from None
    return COCO, COCOeval


def read_truth(path: Path, folder: Path, only: Collection[str] | None = None) -> GroundTruth:
    """The validated annotations; only persons, numbered from 1 (for pycocotools id 0 is "no match").

    `only` are the file names of the pictures that count; None: all. Raises DetectorError if they are invalid, or if
    pictures are missing in `folder`.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DetectorError(f"cannot read the annotations {path}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise DetectorError(f"{path} is not JSON: COCO annotations are needed") from None
    try:
        truth = _checked(document)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise DetectorError(f"{path} is not in COCO's format: {reason}") from None
    _refuse_missing(truth, folder)
    return truth if only is None else _restricted(truth, only, path)


def _restricted(truth: GroundTruth, only: Collection[str], path: Path) -> GroundTruth:
    images = [entry for entry in truth.images if entry["file_name"] in only]
    kept = {entry["id"] for entry in images}
    persons = [entry for entry in truth.persons if entry["image_id"] in kept]
    if not persons:
        raise DetectorError(f"no person is annotated in the {len(images)} pictures of {path} that may judge")
    return GroundTruth(images=images, persons=persons)


def _checked(document: Any) -> GroundTruth:
    if not isinstance(document, dict):
        raise TypeError("an object with images, annotations and categories is needed")
    images = [_image(entry) for entry in document["images"]]
    known = {entry["id"] for entry in images}
    if not images:
        raise ValueError("it names no pictures")
    if len(known) != len(images):
        raise ValueError("two pictures have the same id")
    person = _person_category(document["categories"])
    of_persons = [entry for entry in document["annotations"] if entry["category_id"] == person]
    strays = [entry["image_id"] for entry in of_persons if entry["image_id"] not in known]
    if strays:
        raise ValueError(f"an annotation is for the picture {strays[0]}, which it does not list")
    if not of_persons:
        raise ValueError("no person is annotated")
    return GroundTruth(images=images, persons=[_person(entry, number) for number, entry in enumerate(of_persons, 1)])


def _person_category(categories: list[dict[str, Any]]) -> int:
    named = [entry["id"] for entry in categories if str(entry.get("name", "")).strip().lower() == "person"]
    if named:
        return int(named[0])
    # Category 1 is COCO's person, unless it says that it is something else.
    if any(entry["id"] == 1 and not entry.get("name") for entry in categories):
        return 1
    raise ValueError("it has no category person")


def _image(entry: dict[str, Any]) -> dict[str, Any]:
    name = entry["file_name"]
    if not isinstance(name, str) or not name:
        raise TypeError("a picture has no file name")
    return {
        "id": int(entry["id"]),
        "file_name": name,
        "width": int(entry.get("width") or 0),
        "height": int(entry.get("height") or 0),
    }


def _person(entry: dict[str, Any], number: int) -> dict[str, Any]:
    box = [float(value) for value in entry["bbox"]]
    if len(box) != 4 or not all(math.isfinite(value) for value in box) or min(box[2:]) < 0:
        raise ValueError(f"the box {entry['bbox']} is not x, y, width, height")
    return {
        "id": number,
        "image_id": entry["image_id"],
        "category_id": _PERSON,
        "bbox": box,
        "area": float(entry.get("area", box[2] * box[3])),
        "iscrowd": int(entry.get("iscrowd", 0)),
    }


def _refuse_missing(truth: GroundTruth, folder: Path) -> None:
    if not folder.is_dir():
        raise DetectorError(f"no folder {folder} with the pictures")
    missing = [entry["file_name"] for entry in truth.images if not (folder / entry["file_name"]).is_file()]
    if missing:
        raise DetectorError(
            f"{len(missing)} of {len(truth.images)} annotated pictures are not in {folder}, {missing[0]} first"
        )


def _picture(folder: Path, entry: dict[str, Any]) -> ArrayImage:
    path = folder / entry["file_name"]
    image = read_picture(path, as_stored=True)
    declared = (entry["width"] or image.width, entry["height"] or image.height)
    if declared != (image.width, image.height):
        raise DetectorError(
            f"{path} is {image.width} x {image.height} px, but the annotations say {declared[0]} x {declared[1]}"
        )
    return image


def _results(image_id: int, boxes: Floats, scores: Floats, *, first: int) -> list[dict[str, Any]]:
    sized = boxes.astype(np.float64)
    sized[:, 2:] -= sized[:, :2]
    return [
        {
            "id": first + index,
            "image_id": image_id,
            "category_id": _PERSON,
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": 0,
            "score": score,
        }
        for index, (box, score) in enumerate(zip(sized.tolist(), scores.tolist(), strict=True))
    ]


def _score(coco: Any, coco_eval: Any, truth: GroundTruth, boxes: list[dict[str, Any]]) -> tuple[Any, Matches]:
    """COCO's twelve statistics, without pycocotools' printing, and what hit in each picture."""
    with contextlib.redirect_stdout(io.StringIO()):
        sets = []
        for annotations in (truth.persons, boxes):
            made = coco()
            made.dataset = {
                "images": truth.images,
                "annotations": annotations,
                "categories": [{"id": _PERSON, "name": "person"}],
            }
            made.createIndex()
            sets.append(made)
        run = coco_eval(*sets, "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run.stats, matches_of(run.evalImgs, run.params.imgIds)
