"""Collects the cameras' pictures in memory: the earlier ones to calibrate INT8, the later ones to check it.

Each camera must have shown several visits, spread over time.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from detector.capture.pictures import fingerprint
from detector.core.types import ArrayImage, Image, Pixels
from detector.inference.input_sizes import InputSize, best_input_size

SURE = 0.5
"""The score from which on a picture counts as one with a person."""

GAP_S, EMPTY_GAP_S = 10.0, 60.0  # between two pictures of a camera with people, and without
_CALIBRATION_SHARE = 0.6  # the earlier pictures; the later ones are for the check


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleQuota:
    """How many pictures and visits are enough, of each camera and in all.

    With `pictures`, the held-out ones show 20 persons if people come one by one; fewer are not enough to check INT8.
    """

    pictures: int = 60
    pictures_each: int = 12
    visits_each: int = 3
    visits: int = 5

    def each(self, cameras: int) -> int:
        """Pictures with persons needed of each camera."""
        return max(self.pictures_each, -(-self.pictures // max(1, cameras)))

    def empty(self, cameras: int) -> int:
        """The most pictures without persons kept of each camera."""
        return self.each(cameras) // 4


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationSet:
    """`calibration` calibrates INT8, `held_out` is for the check; both have pictures of all `scenes`."""

    calibration: tuple[Image, ...]
    held_out: tuple[Image, ...]
    scenes: tuple[str, ...] = ()

    def pack(self) -> bytes:
        """As bytes for another process; pictures are passed through memory, never on disk."""
        arrays: dict[str, Any] = {"scenes": np.array(self.scenes, np.str_)}
        for name in ("calibration", "held_out"):
            for index, image in enumerate(getattr(self, name)):
                arrays[f"{name}_{index}"] = image.bgr()
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        return buffer.getvalue()


def unpack(data: bytes) -> CalibrationSet:
    """The CalibrationSet in the result of `pack`; raises ValueError."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:

        def pictures(name: str) -> tuple[Image, ...]:
            count = sum(key.startswith(f"{name}_") for key in arrays)
            return tuple(ArrayImage(np.asarray(arrays[f"{name}_{index}"], np.uint8)) for index in range(count))

        return CalibrationSet(
            calibration=pictures("calibration"),
            held_out=pictures("held_out"),
            scenes=tuple(map(str, arrays["scenes"].tolist())),
        )


def split(pictures: Sequence[Image], scenes: tuple[str, ...] = ()) -> CalibrationSet:
    """The earlier pictures to calibrate with, the later ones held out."""
    cut = round(len(pictures) * _CALIBRATION_SHARE)
    return CalibrationSet(calibration=tuple(pictures[:cut]), held_out=tuple(pictures[cut:]), scenes=scenes)


def small(image: Image, base: InputSize) -> ArrayImage:
    """The picture resized as for the model: a tenth of the memory, and the model's input is the same."""
    shape = best_input_size(base, image.width, image.height)
    scale = min(shape[0] / image.width, shape[1] / image.height, 1.0)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    # Resized as by Letterbox; always a copy, since a decoder's buffer must not be kept for hours.
    pixels: Pixels = np.asarray(cv2.resize(image.bgr(), size, interpolation=cv2.INTER_LINEAR), np.uint8)
    return ArrayImage(pixels.copy() if pixels.base is not None else pixels)


@dataclass(slots=True)
class _Camera:
    peopled: list[Image] = field(default_factory=list)
    empty: list[Image] = field(default_factory=list)
    visits: set[int] = field(default_factory=set)
    last_peopled: float = -np.inf
    last_empty: float = -np.inf


class SampleCollector:
    """Collects pictures until there are enough, of one camera at least `gap_s` apart; not thread-safe."""

    def __init__(
        self,
        *,
        base: InputSize,
        need: SampleQuota | None = None,
        gap_s: float = GAP_S,
        empty_gap_s: float = EMPTY_GAP_S,
    ) -> None:
        self._base, self._need = base, need or SampleQuota()
        self._gap_s, self._empty_gap_s = gap_s, empty_gap_s
        self._cameras: dict[str, _Camera] = {}

    def observe(self, scene: str, image: Image, visits: Collection[int], *, now: float, cameras: int) -> None:
        """Take a picture of a camera at `now` (monotonic s), which shows the persons of `visits`."""
        camera = self._cameras.setdefault(scene, _Camera())
        most = self._need.each(cameras)
        if visits:
            # Also when there are enough: newer pictures of other people replace the oldest.
            if now - camera.last_peopled < self._gap_s:
                return
            camera.last_peopled = now
            camera.visits.update(visits)
            camera.peopled = [*camera.peopled, small(image, self._base)][-most:]
        elif now - camera.last_empty >= self._empty_gap_s:
            camera.last_empty = now
            camera.empty = [*camera.empty, small(image, self._base)][-self._need.empty(cameras) :]

    def missing(self, scenes: Mapping[str, str]) -> str | None:
        """What is still missing, in words; None if there is enough. `scenes` maps each scene to its camera's name."""
        each = self._need.each(len(scenes))
        waiting = [name for scene, name in scenes.items() if not self._enough(scene, each)]
        if waiting:
            return (
                f"pictures with persons of {', '.join(sorted(waiting))} ({each} over {self._need.visits_each} visits)"
            )
        if sum(len(self._cameras[scene].visits) for scene in scenes) < self._need.visits:
            return f"pictures of more than {self._need.visits - 1} visits"
        return None if scenes else "a camera"

    def _enough(self, scene: str, each: int) -> bool:
        camera = self._cameras.get(scene)
        return camera is not None and len(camera.peopled) >= each and len(camera.visits) >= self._need.visits_each

    def evidence(self, scenes: Iterable[str]) -> CalibrationSet:
        """Each camera's pictures, split by time: those held out are later than those for calibration, and none is the same."""
        parts = [
            split(pictures)
            for scene in scenes
            for pictures in (self._cameras[scene].peopled, self._cameras[scene].empty)
        ]
        calibration = tuple(image for part in parts for image in part.calibration)
        known = {fingerprint([image]) for image in calibration}  # a camera that hangs sends one picture for hours
        return CalibrationSet(
            calibration=calibration,
            held_out=tuple(i for part in parts for i in part.held_out if fingerprint([i]) not in known),
            scenes=tuple(scenes),
        )
