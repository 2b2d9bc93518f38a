"""Training pictures: a folder's, letterboxed to the training size, augmented the same way for the same seed and step."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.capture.pictures import SUFFIXES, read_picture
from detector.core.errors import ModelError
from detector.core.types import Floats, Pixels
from detector.models.accuracy.average_precision import read_truth

_GREY = 114
FEWEST = 8
"""Fewer pictures teach a network only themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSample:
    """A picture as the network takes it: float32 [3,H,W] RGB 0..1; persons' boxes float32 [M,4] x1,y1,x2,y2 in its px.

    `boxes` is None where the picture is not annotated, which is not the same as showing nobody.
    """

    picture: Floats
    boxes: Floats | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Zoom:
    """Where a source picture lands: px = source px * scale + shift; `flip` mirrors the whole input, `gain` its light."""

    scale: float
    shift: tuple[float, float]
    flip: bool
    gain: tuple[float, float]


class Dataset:
    """The pictures of `folder`; with `annotations` (COCO's JSON) those it names are taught with their persons too.

    `left_out` are files that must not teach. Raises ModelError, with the count, for too few pictures and unreadable
    ones; DetectorError for annotations that miss pictures.
    """

    def __init__(
        self,
        *,
        folder: Path,
        size: tuple[int, int],
        annotations: Path | None = None,
        left_out: Collection[Path] = (),
    ) -> None:
        self.size = size
        self._boxes = _truth(annotations, folder) if annotations else {}
        self._folder = folder
        if not folder.is_dir():
            raise ModelError(f"no folder {folder} with pictures")
        found = {path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES}
        self.paths = sorted((found | {folder / name for name in self._boxes}) - set(left_out))
        if len(self.paths) < FEWEST:
            raise ModelError(f"{len(self.paths)} pictures in {folder}: at least {FEWEST} are needed to learn from")
        bad = [path.name for path in self.paths if not cv2.haveImageReader(str(path))]
        if bad:
            raise ModelError(f"{len(bad)} of {len(self.paths)} pictures in {folder} cannot be read, {bad[0]} first")

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def annotated(self) -> int:
        """How many of the pictures have annotations."""
        return sum(1 for path in self.paths if path.relative_to(self._folder).as_posix() in self._boxes)

    def plain(self, index: int) -> TrainingSample:
        """The picture as detection letterboxes it, unvaried."""
        pixels = read_picture(self.paths[index], as_stored=True).pixels
        scale = min(self.size[0] / pixels.shape[1], self.size[1] / pixels.shape[0])
        shift = ((self.size[0] - pixels.shape[1] * scale) / 2, (self.size[1] - pixels.shape[0] * scale) / 2)
        return self._sample(index, pixels, _Zoom(scale=scale, shift=shift, flip=False, gain=(1.0, 0.0)))

    def varied(self, index: int, random: np.random.Generator) -> TrainingSample:
        """The picture zoomed (0.5 to 2), shifted, mirrored and lit at random."""
        pixels = read_picture(self.paths[index], as_stored=True).pixels
        (width, height), (rows, columns) = self.size, pixels.shape[:2]
        scale = min(width / columns, height / rows) * float(np.exp(random.uniform(np.log(0.5), np.log(2.0))))
        shift = (
            float(random.uniform(*sorted((0.0, width - columns * scale)))),
            float(random.uniform(*sorted((0.0, height - rows * scale)))),
        )
        gain = float(random.uniform(0.7, 1.3)), float(random.uniform(-0.1, 0.1))
        return self._sample(index, pixels, _Zoom(scale=scale, shift=shift, flip=bool(random.random() < 0.5), gain=gain))

    def batch(self, step: int, count: int, *, seed: int) -> list[TrainingSample]:
        """The samples of training step `step`: each picture comes once an epoch; a function of seed and step alone."""
        made = []
        for place in range(step * count, (step + 1) * count):
            epoch, within = divmod(place, len(self.paths))
            order = np.random.default_rng((seed, epoch)).permutation(len(self.paths))
            made.append(self.varied(int(order[within]), np.random.default_rng((seed, epoch, within))))
        return made

    def _sample(self, index: int, pixels: Pixels, zoom: _Zoom) -> TrainingSample:
        matrix = np.array([[zoom.scale, 0, zoom.shift[0]], [0, zoom.scale, zoom.shift[1]]], np.float64)
        # OpenCV's pixel centres lie on whole numbers, boxes' corners between them.
        matrix[:, 2] += 0.5 * zoom.scale - 0.5
        how = cv2.INTER_AREA if zoom.scale < 0.5 else cv2.INTER_LINEAR
        laid = cv2.warpAffine(_shrunk(pixels, zoom, matrix, how), matrix, self.size, borderValue=(_GREY,) * 3)
        planes = laid[:, ::-1] if zoom.flip else laid
        tensor = planes[:, :, ::-1].transpose(2, 0, 1).astype(np.float32) / np.float32(255.0)
        lit = np.clip(tensor * np.float32(zoom.gain[0]) + np.float32(zoom.gain[1]), 0.0, 1.0)
        boxes = self._boxes.get(self.paths[index].relative_to(self._folder).as_posix())
        return TrainingSample(
            picture=np.ascontiguousarray(lit), boxes=None if boxes is None else self._moved(boxes, zoom)
        )

    def _moved(self, boxes: Floats, zoom: _Zoom) -> Floats:
        """The boxes in the input's px, clipped; those with nothing left are dropped."""
        width, height = self.size
        moved = boxes * np.float32(zoom.scale) + np.array(zoom.shift * 2, np.float32)
        if zoom.flip:
            moved[:, [0, 2]] = width - moved[:, [2, 0]]
        clipped = np.clip(moved, 0, np.array((width, height) * 2, np.float32))
        sides = clipped[:, 2:] - clipped[:, :2]
        kept: NDArray[np.float32] = clipped[(sides > 2.0).all(1)]
        return kept


def _shrunk(pixels: Pixels, zoom: _Zoom, matrix: NDArray[np.float64], how: int) -> Pixels:
    """The picture made smaller first where a mere warp would skip pixels; `matrix` then moves what is left to move."""
    if how != cv2.INTER_AREA:
        return pixels
    height, width = (max(1, round(side * zoom.scale)) for side in pixels.shape[:2])
    matrix[:] = [[1, 0, zoom.shift[0]], [0, 1, zoom.shift[1]]]
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=how), np.uint8)


def _truth(annotations: Path, folder: Path) -> Mapping[str, Floats]:
    """Each annotated picture's persons, float32 [M,4] x1,y1,x2,y2 px; crowds are left out."""
    truth = read_truth(annotations, folder)
    names = {entry["id"]: Path(entry["file_name"]).as_posix() for entry in truth.images}
    boxes: dict[str, list[list[float]]] = {name: [] for name in names.values()}
    for person in truth.persons:
        if not person["iscrowd"]:
            x, y, width, height = person["bbox"]
            boxes[names[person["image_id"]]].append([x, y, x + width, y + height])
    return {name: np.array(found, np.float32).reshape(-1, 4) for name, found in boxes.items()}
