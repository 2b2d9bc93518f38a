"""Which visits does the detector find, by the people's height in the picture and by condition, and how soon?

    python -m bench.visits [--quick] [--shared DIR] [--configs NAME[:KEY=VALUE,...] ...] [--part choose|judge]
                           [--only TEXT] [--fresh] [--json FILE]

The scenes (bench.visit_scenes) are made from the shared clips: people who were made small and set into other pictures,
by day, at dusk, in infrared, out of focus, compressed, with motion blur, at the picture's edge, behind posts, under a
fisheye, from above, several groups at once; and two hours without people (bench.visit_empty). Each runs through the
service's own pipeline on media time, as in `detector replay`. A visit is found once a confirmed track lies on the person;
the time is from the person's first picture, or from the scene's. A false visit is a confirmed track that never lies on
anybody; they are counted where everybody is marked (vtest.avi's people on the road are not). A visit is split where one
person opens a second event, merged where one track holds two people.

A config is `default`, or has a camera's keys (`motion.crops_per_s=5`) and `size=640x384` for another input size of the
default model. Everything else is the default, but for the cooldown, which is 0. Settings are chosen by the scenes of
"choose"; "judge" is for the verdict. Model runs are of whole pictures and of crops; counts do not depend on the load,
times do. Each scene's result is kept in the cache, so that a run that was broken off goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))  # the scoring is the tests' own

from detector.analytics.crops import detect_in_crops  # noqa: E402  # after the path is set
from detector.analytics.evidence_curves import EvidenceCurves  # noqa: E402
from detector.analytics.pipeline import CameraPipeline  # noqa: E402
from detector.capture.clip import due_frames  # noqa: E402
from detector.capture.source import CapturedImage  # noqa: E402
from detector.config.model_settings import Model  # noqa: E402
from detector.config.schema import Camera  # noqa: E402
from detector.core.errors import EndOfStreamError  # noqa: E402
from detector.core.types import ArrayImage, Detections, Frame, Pixels  # noqa: E402
from detector.inference.input_sizes import InputSize  # noqa: E402
from detector.inference.multi_size import AnyDetector  # noqa: E402
from detector.models.loading import made, open_file, resolve, shaped_loader  # noqa: E402

from .visit_conditions import FPS  # noqa: E402
from .visit_parts import VisitScene  # noqa: E402
from .visit_report import print_report, summarise  # noqa: E402
from .visit_results import VisitResults, program_key  # noqa: E402
from .visit_scenes import visit_scenes  # noqa: E402
from .visit_tally import SceneResult, VisitTally  # noqa: E402


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

    @property
    def asked(self) -> dict[str, Any]:
        """What results are kept by."""
        return {"settings": self.settings, "size": self.size}

    def camera(self) -> Camera:
        """Raises ValueError for settings that a camera does not have."""
        document: dict[str, Any] = {"source": "clip.mp4", "alert": {"cooldown_s": 0}}
        for key, value in self.settings.items():
            section, _, name = key.rpartition(".")
            place = document.setdefault(section, {}) if section else document
            place[name] = value
        return Camera.model_validate(document)


class ScenePictures:
    """A clip source over a scene's pictures."""

    def __init__(self, pictures: Iterator[Pixels]) -> None:
        self._pictures = enumerate(pictures)

    def read(self) -> CapturedImage:
        for number, pixels in self._pictures:
            return CapturedImage(image=ArrayImage(pixels), media_s=number / FPS)
        raise EndOfStreamError("the scene is over")


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
    curves = default_curves() if camera.alert.confirm == "evidence" else None
    pipeline = CameraPipeline(name="camera", settings=camera, device_id="bench", curves=curves)
    tally = VisitTally(scene)
    frames = whole_runs = window_runs = 0
    model_ms = cpu_s = 0.0
    pictures = ScenePictures(scene.pictures())
    for frame in due_frames("camera", camera.detect_fps, pictures, None, factor=lambda: pipeline.rate_factor):
        frames += 1
        begun = time.process_time()
        wanted = pipeline.should_detect(frame)
        cpu_s += time.process_time() - begun
        if not wanted:
            continue
        found = whole.detect(frame)
        begun = time.process_time()
        crops = pipeline.plan_crops(found, whole.input_size)
        cpu_s += time.process_time() - begun
        found = detect_in_crops(found, crops, whole.detector.detect_many)
        begun = time.process_time()
        outcome = pipeline.process(found, armed_as="armed_away")
        cpu_s += time.process_time() - begun
        tally.add(frame.seq, outcome)
        model_ms += found.infer_ms
        whole_runs, window_runs = whole_runs + 1, window_runs + len(crops)
    return SceneResult(
        config=config.name,
        scene=scene.name,
        part=scene.part,
        condition=scene.condition,
        visits=tally.visits(),
        false_visits=tally.false_visits,
        split=tally.split,
        merged=tally.merged,
        media_s=frames / FPS,
        whole_runs=whole_runs,
        window_runs=window_runs,
        model_s=round(model_ms / 1e3, 3),
        cpu_s=round(cpu_s, 3),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("DETECTOR_SHARED", ROOT.parent / "shared")))
    parser.add_argument("--quick", action="store_true", help="about a quarter of the scenes")
    parser.add_argument("--configs", nargs="+", default=["default", "640x384:size=640x384"])
    parser.add_argument("--part", choices=("choose", "judge"), help="only these scenes")
    parser.add_argument("--only", default="", help="only scenes with this text in their name or condition")
    parser.add_argument("--fresh", action="store_true", help="measure also what was measured before")
    parser.add_argument("--kept", action="store_true", help="measure nothing: report what was measured before")
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
    results = _kept(scenes, configs) if chosen.kept else _measure_all(scenes, configs, fresh=chosen.fresh)
    if not results:
        print("nothing was measured before with this program: run it without --kept", file=sys.stderr)
        return 1
    print_report(results)
    if chosen.json:
        document = {"scenes": [asdict(result) for result in results], "summary": summarise(results)}
        chosen.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


def _kept(scenes: Sequence[VisitScene], configs: Sequence[VisitConfig]) -> list[SceneResult]:
    stored = VisitResults(program_key())
    found = [stored.read(scene, config.asked, config.name) for scene in scenes for config in configs]
    return [result for result in found if result is not None]


def _measure_all(scenes: Sequence[VisitScene], configs: Sequence[VisitConfig], *, fresh: bool) -> list[SceneResult]:
    """Every scene with every config; what was measured before with the same program, model and settings is taken over."""
    detectors = {size: _WholePictures(open_default(size)) for size in {config.size for config in configs}}
    stored, results = VisitResults(program_key()), []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=len(scenes) * len(configs))
        for scene in scenes:
            for whole in detectors.values():
                whole.start_scene()
            for config in configs:
                progress.update(task, description=f"{scene.name}, {scene.condition}: {config.name}", advance=1)
                result = None if fresh else stored.read(scene, config.asked, config.name)
                if result is None:
                    result = measure(detectors[config.size], scene, config)
                    stored.keep(scene, config.asked, result)
                results.append(result)
    for whole in detectors.values():
        whole.detector.close()
    return results


@cache
def default_curves() -> EvidenceCurves | None:
    """What the scores of the default model tell, by the registry."""
    return resolve(Model(backend="onnxruntime")).curves


def open_default(size: InputSize | None) -> AnyDetector:
    """The default model as the replay loads it, or in one size for all pictures."""
    model = Model(backend="onnxruntime")
    resolved = resolve(model)
    return open_file(model, resolved, made(resolved, size)) if size else shaped_loader(model, resolved)()


if __name__ == "__main__":
    raise SystemExit(main())
