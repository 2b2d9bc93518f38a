"""Recorded pictures of a camera from files: the people in them, and their visits.

A clip is processed as in the service: motion gate, tracker and rules on its own time. Single pictures have no time;
they are tracked in the order of their names, as if they were one second apart, so a person near the place of a person
in the picture before belongs to the same visit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from detector.analytics.pipeline import CameraPipeline
from detector.analytics.tracker import Tracker
from detector.capture.clip import due_frames
from detector.capture.factory import file_source
from detector.capture.image_diff import Grid, grid, max_difference
from detector.capture.pictures import SUFFIXES, picture_files, read_picture
from detector.config.schema import Camera
from detector.core.errors import SourceError, UsageError
from detector.core.progress import Progress
from detector.core.sampling import SampleBuffer, spread
from detector.core.types import Image, Track
from detector.inference.input_sizes import InputSize, best_input_size
from detector.inference.multi_size import MultiSizeDetector

from .samples import SURE, SampleQuota, small

CLIP_GAP_S = 0.5
"""Smallest time between two pictures taken from a clip, since closer ones are nearly the same."""

STILL_S = 1.0
"""Assumed time between two single pictures."""

MOST_STILLS = 400
"""Most pictures used of a folder, evenly spread; they are processed in seconds."""

DIFFERENT = 1.5
"""Grey levels by which a picture's most changed cell must differ from the last one's (`detector.capture.image_diff`): a
recording without motion gave up to 1.2, people who walk at the far end of a street 16."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """A picture resized for the model, and the visits of the persons in it (empty: no persons)."""

    image: Image
    shape: InputSize
    visits: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """The pictures kept, in order, evenly spread; `size` (px) is that of most pictures, `looked` their number."""

    peopled: tuple[Sight, ...]
    empty: tuple[Sight, ...]
    size: tuple[int, int]
    looked: int

    @property
    def visits(self) -> int:
        return len(frozenset().union(*(sight.visits for sight in self.peopled)))


def watch(
    paths: Sequence[Path],
    *,
    name: str,
    camera: Camera,
    detector: MultiSizeDetector,
    cameras: int,
    need: SampleQuota,
    progress: Progress,
) -> Recording:
    """Process all of `paths` (folders, pictures, clips) of the camera `name`, and keep as many pictures as needed.

    Raises UsageError for a path without pictures, SourceError for unreadable files, InferenceError.
    """
    viewer = _Viewer(detector, need, cameras)
    for path in paths:
        if stills := _stills(path):
            viewer.stills(stills, progress)
        else:
            viewer.clip(path, name, camera, progress)
    return viewer.footage(", ".join(map(str, paths)))


class _Viewer:
    """Detects and tracks people in pictures and clips, and keeps pictures that differ."""

    def __init__(self, detector: MultiSizeDetector, need: SampleQuota, cameras: int) -> None:
        self._detector = detector
        self._peopled: SampleBuffer[Sight] = SampleBuffer(need.each(cameras))
        self._empty: SampleBuffer[Sight] = SampleBuffer(need.empty(cameras))
        self._sizes: Counter[tuple[int, int]] = Counter()
        self._last: Grid | None = None
        self._visits = 0  # of earlier paths: a visit does not continue from one path to another
        self._newest = 0

    def stills(self, paths: Sequence[Path], progress: Progress) -> None:
        tracker = Tracker()
        for number, path in enumerate(paths):
            progress(number, len(paths), f"looking at {path.name}")
            image: Image = read_picture(path)
            boxes, scores, _ = self._detector.detect_image(image)
            self._note(image, tracker.update(boxes, scores, number * STILL_S))
        self._visits = self._newest

    def clip(self, path: Path, name: str, camera: Camera, progress: Progress) -> None:
        pipeline = CameraPipeline(name=name, settings=camera, device_id="")
        taken = {True: -CLIP_GAP_S, False: -CLIP_GAP_S}

        def report(done: int, _total: int | None, _what: str) -> None:
            progress(done, None, f"looking at {path.name}")

        with closing(file_source(path)) as source:
            source.open()
            for frame in due_frames(name, camera.detect_fps, source, report):
                if not pipeline.should_detect(frame):
                    continue
                outcome = pipeline.process(self._detector.detect(frame), armed_as=None)
                peopled = bool(_people(outcome.tracks))
                if frame.captured_mono - taken[peopled] >= CLIP_GAP_S:
                    taken[peopled] = frame.captured_mono
                    self._note(frame.image, outcome.tracks)
        self._visits = self._newest

    def _note(self, image: Image, tracks: Iterable[Track]) -> None:
        """Keep a picture if it differs from the last one kept."""
        self._sizes[image.width, image.height] += 1
        shown = grid(image.bgr())
        if self._last is not None and max_difference(shown, self._last) < DIFFERENT:
            return
        self._last = shown
        visits = frozenset(self._visits + one for one in _people(tracks))
        self._newest = max(self._newest, *visits) if visits else self._newest
        base = self._detector.base
        sight = Sight(image=small(image, base), shape=best_input_size(base, image.width, image.height), visits=visits)
        (self._peopled if visits else self._empty).put(sight)

    def footage(self, shown: str) -> Recording:
        if not self._sizes:
            raise SourceError(f"there is no picture in {shown}")
        size = self._sizes.most_common(1)[0][0]
        shape = best_input_size(self._detector.base, *size)
        # A camera's pictures have one aspect ratio; others are left out.
        peopled, empty = (
            tuple(sight for sight in shelf.spread() if sight.shape == shape) for shelf in (self._peopled, self._empty)
        )
        return Recording(peopled=peopled, empty=empty, size=size, looked=sum(self._sizes.values()))


def _stills(path: Path) -> list[Path]:
    """The picture, or the folder's pictures by name; empty for a clip. Raises UsageError."""
    if not path.exists():
        raise UsageError(f"no such file or folder: {path}")
    if path.is_file():
        return [path] if path.suffix.lower() in SUFFIXES else []
    try:
        return spread(picture_files(path), MOST_STILLS)
    except SourceError as error:
        raise UsageError(f"{error}: name a folder of pictures, or a clip") from None


def _people(tracks: Iterable[Track]) -> frozenset[int]:
    """The track ids of persons detected with a high score."""
    return frozenset(track.id for track in tracks if track.matched and track.score >= SURE)
