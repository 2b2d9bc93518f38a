"""Training batches of one camera: its pictures moved, mirrored and lit a little, the same for the same seed and step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch

from detector.core.types import ArrayImage, Floats
from detector.inference.input_sizes import InputSize
from detector.inference.spec import InputSpec

from .grid_loss import GridTarget
from .teachers import PictureLabels

_SMALLEST = 4.0  # px of a side in the input: less cannot be seen


@dataclass(frozen=True, slots=True, kw_only=True)
class LessonBatches:
    """`pictures` with their `labels`, as a network of input `size` (w, h px) and `spec` takes them.

    A camera does not move, so its pictures are varied little: scale 0.8 to 1.25, contrast 0.7 to 1.3.
    """

    pictures: Sequence[ArrayImage]
    labels: Sequence[PictureLabels]
    size: InputSize
    spec: InputSpec

    def batch(self, step: int, count: int, *, seed: int) -> tuple[Any, list[GridTarget]]:
        """Pictures [B,3,H,W] and targets; a function of seed and step alone, each picture once an epoch."""
        tensors, targets = [], []
        for place in range(step * count, (step + 1) * count):
            epoch, within = divmod(place, len(self.pictures))
            order = np.random.default_rng((seed, epoch)).permutation(len(self.pictures))
            tensor, target = self._varied(int(order[within]), np.random.default_rng((seed, epoch, within)))
            tensors.append(tensor)
            targets.append(target)
        return torch.from_numpy(np.stack(tensors)), targets

    def _varied(self, index: int, random: np.random.Generator) -> tuple[Floats, GridTarget]:
        pixels, (width, height) = self.pictures[index].bgr(), self.size
        fit = min(width / pixels.shape[1], height / pixels.shape[0])
        scale = fit * float(np.exp(random.uniform(np.log(0.8), np.log(1.25))))
        slack = width - pixels.shape[1] * scale, height - pixels.shape[0] * scale
        shift = [float(random.uniform(*sorted((0.0, each)))) for each in slack]
        flip, gain, light = bool(random.random() < 0.5), random.uniform(0.7, 1.3), random.uniform(-20.0, 20.0)
        matrix = np.array([[scale, 0, shift[0] + 0.5 * scale - 0.5], [0, scale, shift[1] + 0.5 * scale - 0.5]])
        laid = cv2.warpAffine(pixels, matrix, self.size, flags=cv2.INTER_AREA, borderValue=(self.spec.pad,) * 3)
        lit = np.clip(laid.astype(np.float32) * np.float32(gain) + np.float32(light), 0.0, 255.0)
        turned = lit[:, ::-1] if flip else lit
        labels = self.labels[index]
        moved = [self._moved(boxes, scale, shift, flip=flip) for boxes in (labels.persons, labels.unsure)]
        target = GridTarget(persons=torch.from_numpy(moved[0]), unsure=torch.from_numpy(moved[1]))
        return self._tensor(turned), target

    def _tensor(self, pixels: Floats) -> Floats:
        planes = pixels if self.spec.color == "bgr" else pixels[:, :, ::-1]
        return np.ascontiguousarray(planes.transpose(2, 0, 1) * np.float32(self.spec.scale))

    def _moved(self, boxes: Floats, scale: float, shift: Sequence[float], *, flip: bool) -> Floats:
        width, height = self.size
        moved = boxes * np.float32(scale) + np.array([*shift, *shift], np.float32)
        if flip:
            moved[:, [0, 2]] = width - moved[:, [2, 0]]
        clipped = np.clip(moved, 0, np.array((width, height) * 2, np.float32))
        return np.asarray(clipped[((clipped[:, 2:] - clipped[:, :2]) > _SMALLEST).all(1)], np.float32)
