"""Do closer looks find people who are small in the picture, and what do they cost?

    python -m bench.small [--shared DIR] [--frames N] [--rates 0 5 10] [--models FILE...] [--scenes NAME...]
                          [--json FILE]

Each row is one camera's pipeline as the service and the replay run it, with so many closer looks a second
(`motion.crops_per_s`) on media time. Scenes: vtest.avi; "wide", four parts of it side by side as a camera of
1536x1152 would see them, everybody far away; the one-by-one clip; and the negatives, panned over so that
everything moves. Recall and precision at score 0.5 and IoU 0.5, of people whose feet are in the upper half of the
picture ("far": in the wide scene all); MOTA and IDF1 as in bench.tracking; ms is the model's time a frame that it
looked at. Not marked in vtest.avi, and so counted as false, are people on the road at its top, behind the sign, and
cut by the picture's edge; closer looks find more of these too.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))  # the scoring is the tests' own

from detector.analytics.assignment import pair  # noqa: E402  # after the path is set
from detector.analytics.crops import detect_in_crops  # noqa: E402
from detector.analytics.pipeline import CameraPipeline  # noqa: E402
from detector.capture.pictures import clip_frames  # noqa: E402
from detector.config.schema import Camera  # noqa: E402
from detector.core.geometry import iou  # noqa: E402  # after the path is set
from detector.core.types import ArrayImage, Box, Detections, Frame, Pixels  # noqa: E402
from detector.inference.detector import PersonDetector  # noqa: E402
from detector.inference.factory import load_detector  # noqa: E402
from support.trackscore import Identified, read_truth, score  # noqa: E402

MODELS = ("yolox_tiny_humanart.onnx", "yolov10n.onnx")
FPS, SCORE, IOU = 10.0, 0.5, 0.5
_PARTS = (0, 200, 400, 600)  # the wide scene's parts begin at these frames of vtest.avi
_PAN = 30
Truth = dict[int, Identified]


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallScene:
    """`pictures` makes them anew; without `truth` nobody is marked, `far` says who counts as far."""

    name: str
    pictures: Callable[[], Iterator[Pixels]]
    truth: Truth | None = None
    far: Callable[[Box], bool] = lambda _: True


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallRow:
    model: str
    scene: str
    crops_per_s: float
    frames: int
    looked_at: int
    close_ups: int
    ms_per_frame: float
    events: int
    alerts: int
    far_recall: float | None = None
    far_precision: float | None = None
    mota: float | None = None
    idf1: float | None = None
    switches: int | None = None


class _FarPeople:
    """Hits and misses of the far people, frame by frame."""

    def __init__(self, scene: SmallScene) -> None:
        self._scene = scene
        self._hits = self._real = self._claims = self._true = 0

    def add(self, number: int, found: Detections) -> None:
        real = [box for _, box in (self._scene.truth or {}).get(number, [])]
        claims = [(b[0], b[1], b[2], b[3]) for b in found.boxes[found.scores >= SCORE].astype(float).tolist()]
        table = iou(np.array(real).reshape(-1, 4), np.array(claims).reshape(-1, 4))
        rows, columns = pair(table, np.arange(len(real)), np.arange(len(claims)), floor=IOU)
        self._hits += sum(self._scene.far(real[row]) for row in rows)
        self._real += sum(map(self._scene.far, real))
        self._true += sum(self._scene.far(claims[column]) for column in columns)
        self._claims += sum(map(self._scene.far, claims))

    def figures(self) -> dict[str, float]:
        return {
            "far_recall": round(self._hits / max(1, self._real), 4),
            "far_precision": round(self._true / max(1, self._claims), 4),
        }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("DETECTOR_SHARED", ROOT.parent / "shared")))
    parser.add_argument("--frames", type=int, default=10_000, help="of each clip, at most")
    parser.add_argument("--rates", type=float, nargs="+", default=[0.0, 5.0])
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--scenes", nargs="+", help="vtest, wide, one-by-one, and the negatives' names; all without it")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(arguments)
    if not (chosen.shared / "media" / "video").is_dir():
        print(f"no clips in {chosen.shared}: give --shared or set DETECTOR_SHARED", file=sys.stderr)
        return 1
    known, rows = {scene.name: scene for scene in _scenes(chosen.shared)}, []
    if unknown := sorted(set(chosen.scenes or ()) - set(known)):
        parser.error(f"no scene {', '.join(unknown)}; known: {', '.join(known)}")
    scenes = [known[name] for name in chosen.scenes or known]
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=len(chosen.models) * len(scenes) * len(chosen.rates))
        for model in chosen.models:
            detector = load_detector(path=chosen.shared / "models" / model, name=Path(model).stem)
            for scene in scenes:
                for rate in chosen.rates:
                    progress.update(task, description=f"{detector.model_name}, {scene.name}, {rate:g}/s", advance=1)
                    rows.append(measure(detector, scene, rate, chosen.frames))
            detector.close()
    _print(rows)
    if chosen.json:
        chosen.json.write_text(json.dumps({"rows": [asdict(row) for row in rows]}, indent=1) + "\n", encoding="utf-8")
    return 0


def measure(detector: PersonDetector, scene: SmallScene, crops_per_s: float, frames: int) -> SmallRow:
    settings = Camera.model_validate({"source": "clip.mp4", "motion": {"crops_per_s": crops_per_s}})
    pipeline, tally = CameraPipeline(name="camera", settings=settings, device_id="bench"), _FarPeople(scene)
    followed: dict[int, Identified] = {}
    number = looked_at = close_ups = events = alerts = 0
    ms = 0.0
    for number, pixels in enumerate(islice(scene.pictures(), frames)):
        t = number / FPS
        frame = Frame(camera="camera", seq=number, captured_mono=t, captured_wall=t, image=ArrayImage(pixels))
        if not pipeline.should_detect(frame):
            continue
        found = detector.detect(frame)
        views = pipeline.plan_crops(found, detector.input_size)
        found = detect_in_crops(found, views, detector.detect_many)
        outcome = pipeline.process(found, armed_as="armed_away")
        tally.add(number, found)
        followed[number] = [(track.id, track.box) for track in outcome.tracks if track.matched]
        looked_at, close_ups, ms = looked_at + 1, close_ups + len(views), ms + found.infer_ms
        events += sum(change.type == "new" for change in outcome.changes)
        alerts += len(outcome.alerts)
    row = SmallRow(
        model=detector.model_name,
        scene=scene.name,
        crops_per_s=crops_per_s,
        frames=number + 1,
        looked_at=looked_at,
        close_ups=close_ups,
        ms_per_frame=round(ms / max(1, looked_at), 2),
        events=events,
        alerts=alerts,
    )
    return row if scene.truth is None else _scored(row, scene.truth, followed, tally)


def _scored(row: SmallRow, truth: Truth, followed: dict[int, Identified], tally: _FarPeople) -> SmallRow:
    result = score(truth, followed)
    tracking = {"mota": round(result.mota, 4), "idf1": round(result.idf1, 4), "switches": result.switches}
    return SmallRow(**{**asdict(row), **tally.figures(), **tracking})


def _scenes(shared: Path) -> Iterator[SmallScene]:
    media = shared / "media"
    vtest, truth = media / "video" / "vtest.avi", read_truth(media / "video" / "gt" / "vtest_mot_gt.csv")
    height = next(_read(vtest)).shape[0]
    yield SmallScene(name="vtest", pictures=lambda: _read(vtest), truth=truth, far=lambda box: box[3] < height / 2)
    yield SmallScene(name="wide", pictures=lambda: _wide(vtest), truth=_wide_truth(truth, next(_read(vtest))))
    yield SmallScene(name="one-by-one", pictures=lambda: _read(media / "video" / "one-by-one-person-detection.mp4"))
    for path in sorted((media / "negatives").iterdir()):
        picture = cv2.imread(str(path))
        if picture is not None:
            yield SmallScene(name=path.stem, pictures=lambda pixels=picture: _panned(pixels))  # type: ignore[misc]


def _read(path: Path) -> Iterator[Pixels]:
    return (frame.image.bgr() for frame in clip_frames(path))


def _wide(path: Path) -> Iterator[Pixels]:
    parts = [islice(_read(path), start, None) for start in _PARTS]
    for a, b, c, d in zip(*parts, strict=False):
        yield np.vstack((np.hstack((a, b)), np.hstack((c, d))))


def _wide_truth(truth: Truth, picture: Pixels) -> Truth:
    """Each part's people are others: its identities are its own."""
    height, width = picture.shape[:2]
    wide: Truth = {}
    for part, start in enumerate(_PARTS):
        dx, dy = part % 2 * width, part // 2 * height
        for number, people in truth.items():
            moved = [(key + 1000 * part, (x1 + dx, y1 + dy, x2 + dx, y2 + dy)) for key, (x1, y1, x2, y2) in people]
            wide.setdefault(number - start, []).extend(moved)
    return wide


def _panned(picture: Pixels) -> Iterator[Pixels]:
    """720p views of a still picture, each a little further."""
    large = cv2.resize(picture, (1280 + 6 * _PAN, 720 + 4 * _PAN))
    for step in range(_PAN):
        yield np.ascontiguousarray(large[4 * step : 4 * step + 720, 6 * step : 6 * step + 1280], np.uint8)


def _print(rows: Sequence[SmallRow]) -> None:
    table = Table(title="closer looks at small things that move")
    for heading in ("model", "scene", "looks/s", "frames", "looks", "ms", "far recall", "precision", "MOTA", "IDF1"):
        table.add_column(heading)
    for heading in ("switches", "events", "alerts"):
        table.add_column(heading, justify="right")
    for row in rows:
        scored = (row.far_recall, row.far_precision, row.mota, row.idf1)
        figures = ["" if value is None else f"{value:.3f}" for value in scored]
        seen = (f"{row.crops_per_s:g}", str(row.looked_at), str(row.close_ups), f"{row.ms_per_frame:.1f}")
        counts = ("" if row.switches is None else str(row.switches), str(row.events), str(row.alerts))
        table.add_row(row.model, row.scene, *seen, *figures, *counts)
    Console(width=140).print(table)


if __name__ == "__main__":
    raise SystemExit(main())
