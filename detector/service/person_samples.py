"""A known person for each camera: cut out of the camera's own past visits, and where people stand in its picture.

Kept in `folder` over restarts, for as long as visits are kept.
"""

from __future__ import annotations

import io
import logging
import threading
from collections import deque
from pathlib import Path
from statistics import median
from zipfile import BadZipFile

import numpy as np

from detector.analytics.pasted_person import Cutout, cut_out
from detector.analytics.visibility import Standing
from detector.core.clock import Clock
from detector.core.files import write_atomically
from detector.core.types import Box, Track

from .live_view import LiveScene

log = logging.getLogger(__name__)

_SURE = 0.6  # score from which on a box may serve as the known person
_HITS = 5
_TALL = 48.0  # px
_WALKED = 0.5  # heights: what has moved so far is a person and no coat
_EDGE = 3.0  # px: nearer to the picture's edge a box may be cut off
_RENEW_S = 86_400.0
_PLACES = 32  # places that are remembered, the latest
_DAY_S = 86_400.0


class PersonSamples:
    """One camera's; not thread-safe but for `standing` and `person`."""

    def __init__(self, file: Path, *, clock: Clock, keep_days: float) -> None:
        self._file, self._clock, self._keep_s = file, clock, keep_days * _DAY_S
        self._lock = threading.Lock()
        self._origins: dict[int, Box] = {}
        self._placed: set[int] = set()
        self._person: Cutout | None = None
        self._taken_wall = 0.0
        self._places: deque[tuple[float, float, float]] = deque(maxlen=_PLACES)
        self._load()

    def observe(self, scene: LiveScene) -> None:
        """Take the newest scene, about once a second: whoever walks through it may become the known person."""
        now = {track.id: track for track in scene.people if track.last_mono == scene.frame.captured_mono}
        self._origins = {key: self._origins.get(key, track.box) for key, track in now.items()}
        self._placed &= now.keys()
        for track in now.values():
            if self._is_certain(track, scene):
                self._take(track, scene)

    def person(self) -> Cutout | None:
        """The known person; None before there is one, or after it is too old."""
        with self._lock:
            if self._person is not None and self._clock.wall() - self._taken_wall > self._keep_s:
                self._person = None
                self._file.unlink(missing_ok=True)
            return self._person

    def standing(self) -> Standing:
        """Where people usually stand: of the latest who walked here the one of median height."""
        with self._lock:
            if not self._places:
                return Standing()
            usual = median(height for _, _, height in self._places)
            x, foot, _ = min(self._places, key=lambda place: abs(place[2] - usual))
            return Standing(x=x, foot=foot, height=usual)

    def _is_certain(self, track: Track, scene: LiveScene) -> bool:
        x1, y1, x2, y2 = track.box
        before = self._origins[track.id]
        way = np.hypot((x1 + x2 - before[0] - before[2]) / 2, y2 - before[3])
        image = scene.frame.image
        inside = x1 > _EDGE and y1 > _EDGE and x2 < image.width - _EDGE and y2 < image.height - _EDGE
        return bool(inside and track.score >= _SURE and track.hits >= _HITS and way >= _WALKED * (y2 - y1))

    def _take(self, track: Track, scene: LiveScene) -> None:
        (x1, _, x2, y2), image = track.box, scene.frame.image
        height = y2 - track.box[1]
        if track.id not in self._placed:
            self._placed.add(track.id)
            with self._lock:
                self._places.append(((x1 + x2) / 2 / image.width, y2 / image.height, height / image.height))
        wall = self._clock.wall()
        if height < _TALL or (self._person is not None and 0.0 <= wall - self._taken_wall < _RENEW_S):
            return
        made = cut_out(image.bgr(), track.box)
        if made is None:
            return
        with self._lock:
            self._person, self._taken_wall = made, wall
        self._save()

    def _save(self) -> None:
        made, content = self._person, io.BytesIO()
        assert made is not None
        np.savez_compressed(
            content,
            pixels=made.pixels,
            mask=made.mask,
            figures=np.array([made.background, made.contrast, made.sharpness, self._taken_wall]),
            places=np.array(self._places, np.float64).reshape(-1, 3),
        )
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(self._file, content.getvalue(), mode=0o600)
        except OSError as error:
            log.warning("the person for the self-test of a camera is not kept: %s", error)

    def _load(self) -> None:
        try:
            with np.load(io.BytesIO(self._file.read_bytes()), allow_pickle=False) as kept:
                pixels, mask, figures = kept["pixels"], kept["mask"], kept["figures"]
                places = kept["places"]
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, BadZipFile, EOFError) as error:
            log.warning("the person for the self-test in %s cannot be read and is not used: %s", self._file.name, error)
            return
        fits = pixels.ndim == 3 and pixels.dtype == mask.dtype == np.uint8 and pixels.shape[:2] == mask.shape
        if not (fits and figures.shape == (4,) and places.ndim == 2 and places.shape[1] == 3):
            log.warning("the person for the self-test in %s has another form and is not used", self._file.name)
            return
        background, contrast, sharpness, self._taken_wall = (float(value) for value in figures)
        self._person = Cutout(pixels=pixels, mask=mask, background=background, contrast=contrast, sharpness=sharpness)
        self._places.extend((float(x), float(foot), float(height)) for x, foot, height in places)
