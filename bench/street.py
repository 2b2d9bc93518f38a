"""vtest.avi as annotated pictures: some frames of it with the persons' boxes, in COCO's format."""

from __future__ import annotations

import csv
import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import cv2

from detector.capture.pictures import clip_frames
from detector.core.types import Pixels

_FRAMES = 795
_VISIBLE = 0.5  # of a box's area: less is left inside a cut picture for nobody to find, and nobody to miss


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The rows of a frame that are kept: 768x432 of 768x576 is 16:9."""

    top: int
    height: int


WHOLE, WIDE = Cut(top=0, height=576), Cut(top=100, height=432)


def frames(videos: Path, *, first: int, step: int) -> list[Pixels]:
    """Every `step`th frame from `first` on, BGR."""
    wanted = itertools.islice(clip_frames(videos / "vtest.avi"), first, _FRAMES, step)
    return [frame.image.bgr() for frame in wanted]


def street(videos: Path, folder: Path, name: str, *, step: int = 20, cut: Cut = WHOLE) -> tuple[Path, Path]:
    """Pictures in `folder`/`name`, their annotations beside it; boxes are clipped to the cut."""
    images, annotations = folder / name, folder / f"{name}.json"
    images.mkdir(parents=True)
    entries = []
    for number, frame in enumerate(frames(videos, first=0, step=step)):
        cv2.imwrite(str(images / f"{number:03}.png"), frame[cut.top : cut.top + cut.height])
        entries.append({"id": number, "file_name": f"{number:03}.png", "width": frame.shape[1], "height": cut.height})
    with (videos / "gt" / "vtest_mot_gt.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if int(row["frame0"]) % step == 0]
    boxes = []
    for row in rows:
        x, y, width, height = (float(row[side]) for side in ("x", "y", "w", "h"))
        top, bottom = max(y - cut.top, 0.0), min(y + height - cut.top, float(cut.height))
        if bottom <= top:
            continue
        seen = (bottom - top) / height
        box = [x, top, width, bottom - top]
        # pycocotools takes a crowd for neither found nor missed.
        boxes.append(
            {"image_id": int(row["frame0"]) // step, "category_id": 1, "bbox": box, "iscrowd": int(seen < _VISIBLE)}
        )
    document = {"images": entries, "annotations": boxes, "categories": [{"id": 1, "name": "person"}]}
    annotations.write_text(json.dumps(document), encoding="utf-8")
    return images, annotations
