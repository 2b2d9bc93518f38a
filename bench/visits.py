"""Which visits does the detector find, by the people's height in the picture and by condition, and how soon?

    python -m bench.visits [--quick] [--shared DIR] [--configs NAME[:KEY=VALUE,...] ...] [--part choose|judge]
                           [--only TEXT] [--json FILE]

The scenes (bench.visit_scenes) are made from the shared clips: people who were made small and set into other pictures,
by day, at dusk, in infrared, out of focus, compressed, and scenes without people. Each runs through the service's own
pipeline on media time, as in `detector replay`. A visit is found once a confirmed track lies on the person; the time is
from the person's first picture, or from the scene's. A false visit is a confirmed track that never lies on anybody; they
are counted where everybody is marked (vtest.avi's people on the road are not).

A config is `default`, or has a camera's keys (`motion.crops_per_s=5`) and `size=640x384` for another input size of the
default model. Everything else is the default, but for the cooldown, which is 0. Settings are chosen by the scenes of
"choose"; "judge" is for the verdict. Model runs are of whole pictures and of windows; figures do not depend on the load.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))  # the scoring is the tests' own

from detector.analytics.assignment import pair  # noqa: E402  # after the path is set
from detector.analytics.crops import detect_in_crops  # noqa: E402
from detector.analytics.pipeline import CameraPipeline, PipelineOutcome  # noqa: E402
from detector.capture.clip import due_frames  # noqa: E402
from detector.capture.source import CapturedImage  # noqa: E402
from detector.config.model_settings import Model  # noqa: E402
from detector.config.schema import Camera  # noqa: E402
from detector.core.errors import EndOfStreamError  # noqa: E402
from detector.core.geometry import iou  # noqa: E402
from detector.core.types import ArrayImage, Detections, Frame, Pixels  # noqa: E402
from detector.inference.input_sizes import InputSize  # noqa: E402
from detector.inference.multi_size import AnyDetector  # noqa: E402
from detector.models.loading import made, open_file, resolve, shaped_loader  # noqa: E402

from .visit_conditions import FPS  # noqa: E402
from .visit_scenes import VisitScene, visit_heights, visit_scenes  # noqa: E402

HEIGHTS = (0, 12, 16, 24, 36, 60, 1000)
_ON_PERSON = 0.3  # IoU: boxes of people 15 px tall are a pixel or two off


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitConfig:
    """`settings` by a camera's dotted keys; `size` None: the input size that the service takes."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    size: InputSize | None = None

    @classmethod
    def parse(cls, text: str) -> VisitConfig:
        """Raises ValueError for anything but NAME or NAME:KEY=VALUE,..."""
        name, _, rest = text.partition(":")
        pairs = dict(entry.split("=", 1) for entry in rest.split(",") if entry)
        size = pairs.pop("size", None)
        width, height = map(int, size.split("x")) if size else (0, 0)
        return cls(name=name, settings=pairs, size=(width, height) if size else None)

    def camera(self) -> Camera:
        """Raises ValueError for settings that a camera does not have."""
        document: dict[str, Any] = {"source": "clip.mp4", "alert": {"cooldown_s": 0}}
        for key, value in self.settings.items():
            section, _, name = key.rpartition(".")
            place = document.setdefault(section, {}) if section else document
            place[name] = value
        return Camera.model_validate(document)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundVisit:
    """`found_after_s` is None where nobody was found."""

    height_px: float
    found_after_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneResult:
    """`false_visits` is None where not everybody is marked."""

    config: str
    scene: str
    part: str
    condition: str
    visits: tuple[FoundVisit, ...]
    false_visits: int | None
    media_s: float
    whole_runs: int
    window_runs: int


class _Pictures:
    """A clip source over a scene's pictures."""

    def __init__(self, pictures: Iterator[Pixels]) -> None:
        self._pictures = enumerate(pictures)

    def read(self) -> CapturedImage:
        for number, pixels in self._pictures:
            return CapturedImage(image=ArrayImage(pixels), media_s=number / FPS)
        raise EndOfStreamError("the scene is over")


class _Sightings:
    """Which of a scene's people were found, and which tracks are nobody."""

    def __init__(self, scene: VisitScene) -> None:
        self._scene, self._truth = scene, scene.truth()
        self._first: dict[int, int] = {}
        self._ids: set[int] = set()
        self._real: set[int] = set()

    def add(self, number: int, outcome: PipelineOutcome) -> None:
        people, tracks = self._truth.get(number, []), [track for track in outcome.tracks if track.matched]
        self._ids.update(track.id for track in tracks)
        overlaps = iou(_table([box for _, box in people]), _table([track.box for track in tracks]))
        for row, column in zip(
            *pair(overlaps, np.arange(len(people)), np.arange(len(tracks)), floor=_ON_PERSON), strict=True
        ):
            self._first.setdefault(people[row][0], number)
            self._real.add(tracks[column].id)

    def visits(self) -> tuple[FoundVisit, ...]:
        return tuple(
            FoundVisit(height_px=round(height, 1), found_after_s=self._after(key, entered))
            for key, (entered, height) in visit_heights(self._scene).items()
        )

    def _after(self, key: int, entered: int) -> float | None:
        return round((self._first[key] - entered) / FPS, 1) if key in self._first else None

    @property
    def false_visits(self) -> int | None:
        return len(self._ids - self._real) if self._scene.marked else None


class _WholePictures:
    """Detects whole pictures, each once for all configs of one input size."""

    def __init__(self, detector: AnyDetector) -> None:
        self.detector = detector
        self._known: dict[int, Detections] = {}
        self._size: InputSize | None = None

    def start_scene(self) -> None:
        self._known.clear()

    def detect(self, frame: Frame) -> Detections:
        if frame.seq not in self._known:
            self._known[frame.seq] = self.detector.detect(frame)
            self._size = self.detector.input_size
        found = self._known[frame.seq]
        return Detections(frame=frame, boxes=found.boxes, scores=found.scores, infer_ms=found.infer_ms)

    @property
    def input_size(self) -> InputSize:
        return self._size or self.detector.input_size


def measure(whole: _WholePictures, scene: VisitScene, config: VisitConfig) -> SceneResult:
    """One scene with one config."""
    camera = config.camera()
    pipeline, tally = CameraPipeline(name="camera", settings=camera, device_id="bench"), _Sightings(scene)
    frames = whole_runs = window_runs = 0
    for frame in due_frames("camera", camera.detect_fps, _Pictures(scene.pictures()), None):
        frames += 1
        if not pipeline.should_detect(frame):
            continue
        found = whole.detect(frame)
        crops = pipeline.plan_crops(found, whole.input_size)
        found = detect_in_crops(found, crops, whole.detector.detect_many)
        tally.add(frame.seq, pipeline.process(found, armed_as="armed_away"))
        whole_runs, window_runs = whole_runs + 1, window_runs + len(crops)
    return SceneResult(
        config=config.name,
        scene=scene.name,
        part=scene.part,
        condition=scene.condition,
        visits=tally.visits(),
        false_visits=tally.false_visits,
        media_s=frames / FPS,
        whole_runs=whole_runs,
        window_runs=window_runs,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("DETECTOR_SHARED", ROOT.parent / "shared")))
    parser.add_argument("--quick", action="store_true", help="about a third of the scenes")
    parser.add_argument("--configs", nargs="+", default=["default", "640x384:size=640x384"])
    parser.add_argument("--part", choices=("choose", "judge"), help="only these scenes")
    parser.add_argument("--only", default="", help="only scenes with this text in their name or condition")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(arguments)
    if not (chosen.shared / "media" / "video").is_dir():
        print(f"no clips in {chosen.shared}: give --shared or set DETECTOR_SHARED", file=sys.stderr)
        return 1
    try:
        configs = [VisitConfig.parse(text) for text in chosen.configs]
        for config in configs:
            config.camera()
    except ValueError as error:
        parser.error(f"--configs: {str(error).splitlines()[0]}; write NAME or NAME:KEY=VALUE,KEY=VALUE")
    scenes = [
        scene
        for scene in visit_scenes(chosen.shared, quick=chosen.quick)
        if chosen.part in (None, scene.part) and chosen.only in f"{scene.name}, {scene.condition}"
    ]
    results = _measure_all(scenes, configs)
    _print(results)
    if chosen.json:
        document = {"scenes": [asdict(result) for result in results], "summary": summarise(results)}
        chosen.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


def _measure_all(scenes: Sequence[VisitScene], configs: Sequence[VisitConfig]) -> list[SceneResult]:
    detectors = {size: _WholePictures(_open(size)) for size in {config.size for config in configs}}
    results = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=len(scenes) * len(configs))
        for scene in scenes:
            for whole in detectors.values():
                whole.start_scene()
            for config in configs:
                progress.update(task, description=f"{scene.name}, {scene.condition}: {config.name}", advance=1)
                results.append(measure(detectors[config.size], scene, config))
    for whole in detectors.values():
        whole.detector.close()
    return results


def _open(size: InputSize | None) -> AnyDetector:
    """The default model as the replay loads it, or in one size for all pictures."""
    model = Model(backend="onnxruntime")
    resolved = resolve(model)
    return open_file(model, resolved, made(resolved, size)) if size else shaped_loader(model, resolved)()


def summarise(results: Sequence[SceneResult]) -> list[dict[str, Any]]:
    """Per config and part: visits by height and by condition, false visits, model runs."""
    groups = dict.fromkeys((result.config, result.part) for result in results)
    return [
        _summary(config, part, [one for one in results if (one.config, one.part) == (config, part)])
        for config, part in groups
    ]


def _summary(config: str, part: str, results: Sequence[SceneResult]) -> dict[str, Any]:
    visits = [visit for result in results for visit in result.visits]
    by_height = {
        f"{low}-{high}": _share([visit for visit in visits if low <= visit.height_px < high])
        for low, high in pairwise(HEIGHTS)
    }
    conditions = dict.fromkeys(result.condition for result in results if result.visits)
    by_condition = {
        name: _share([visit for result in results if result.condition == name for visit in result.visits])
        for name in conditions
    }
    delays = [visit.found_after_s for visit in visits if visit.found_after_s is not None]
    marked = [result for result in results if result.false_visits is not None]
    return {
        "config": config,
        "part": part,
        "all": _share(visits),
        "by_height": {key: share for key, share in by_height.items() if share[1]},
        "by_condition": by_condition,
        "median_s": median(delays) if delays else None,
        "false_visits": sum(result.false_visits or 0 for result in marked),
        "false_hours": round(sum(result.media_s for result in marked) / 3600, 3),
        "whole_runs": sum(result.whole_runs for result in results),
        "window_runs": sum(result.window_runs for result in results),
    }


def _share(visits: Sequence[FoundVisit]) -> tuple[int, int]:
    """Found, and all."""
    return sum(visit.found_after_s is not None for visit in visits), len(visits)


def _table(boxes: Sequence[Sequence[float]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array(boxes, np.float64).reshape(-1, 4)


def _print(results: Sequence[SceneResult]) -> None:
    rows = summarise(results)
    console = Console(width=160)
    for kind in ("by_height", "by_condition"):
        names = list(dict.fromkeys(name for row in rows for name in row[kind]))
        table = Table("config", "part", *names, title=f"visits found, {kind.replace('_', ' ')}")
        for row in rows:
            cells = (row[kind].get(name) for name in names)
            table.add_row(
                row["config"], row["part"], *("" if cell is None else f"{cell[0]}/{cell[1]}" for cell in cells)
            )
        console.print(table)
    table = Table("config", "part", "visits", "median s", "false visits", "in hours", "whole runs", "window runs")
    for row in rows:
        counts = (row["false_visits"], row["false_hours"], row["whole_runs"], row["window_runs"])
        table.add_row(row["config"], row["part"], "{}/{}".format(*row["all"]), str(row["median_s"]), *map(str, counts))
    console.print(table)


if __name__ == "__main__":
    raise SystemExit(main())
