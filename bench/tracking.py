"""Our tracker and the `trackers` package's ByteTrack on the same boxes, side by side.

    python -m bench.tracking [--shared DIR] [--json FILE]

vtest.avi is scored against its marked identities at full and at reduced frame rates (irregular ones
too), with two models' boxes; of the one-by-one clip the visits are counted. What is scored is written
in tests/support/trackscore.py. Both get media time with every frame and the same boxes of score 0.1 and
more. The package is not a dependency: without it (`pip install --no-deps trackers supervision
pydeprecate defusedxml requests tqdm`, beside an OpenCV) its rows are left out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))  # the scoring is the tests' own

from detector.core.files import cache_dir, replacing  # noqa: E402  # after the path is set
from detector.core.types import Box, Floats  # noqa: E402
from support.trackscore import (  # noqa: E402
    Identified,
    Score,
    ScoredClip,
    Update,
    detect,
    follow,
    our_update,
    read_truth,
    score,
    true_visits,
    visits,
)

MODELS = ("yolox_tiny_humanart.onnx", "yolov10n.onnx")
RATES = ("every", "2nd", "3rd", "5th", "irregular")
_CROWD, _UPDATES = 10, 500


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingRow:
    model: str
    frames: str
    tracker: str
    score: Score
    ms_per_update: float


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Score the tracker on the shared clips.")
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("DETECTOR_SHARED", ROOT.parent / "shared")))
    parser.add_argument("--json", type=Path, help="write the results here as well")
    chosen = parser.parse_args(arguments)
    media = chosen.shared / "media" / "video"
    if not media.is_dir():
        print(f"no clips in {media}: give --shared or set DETECTOR_SHARED", file=sys.stderr)
        return 1
    package, missing = _package_tracker()
    rows = _vtest(chosen.shared, package)
    seen = _one_by_one(chosen.shared)
    crowd_ms = _crowd_ms()
    _print(rows, seen, crowd_ms, missing)
    if chosen.json:
        document = {"vtest": [asdict(row) for row in rows], "one_by_one": seen, "ms_per_update_10_people": crowd_ms}
        chosen.json.write_text(json.dumps(document | {"package_missing": missing}, indent=1) + "\n")
    return 0


def _sampled(rate: str, count: int) -> list[int]:
    if rate == "irregular":
        steps = np.random.default_rng(0).integers(1, 6, count)
        return [int(f) for f in np.concatenate(([0], np.cumsum(steps))) if f < count]
    return list(range(0, count, {"every": 1, "2nd": 2, "3rd": 3, "5th": 5}[rate]))


def _vtest(shared: Path, package: Callable[[float], Update] | None) -> list[TrackingRow]:
    media = shared / "media" / "video"
    truth = read_truth(media / "gt" / "vtest_mot_gt.csv")
    rows = []
    for model in MODELS:
        clip = stored_boxes(media / "vtest.avi", shared / "models" / model)
        for rate in RATES:
            frames = _sampled(rate, len(clip.boxes))
            entrants = {"ours": our_update()}
            if package:
                entrants["trackers"] = package(clip.fps)
            for name, update in entrants.items():
                timed = _Timed(update)
                result = score(truth, follow(clip, frames, timed))
                rows.append(
                    TrackingRow(model=model, frames=rate, tracker=name, score=result, ms_per_update=timed.median_ms)
                )
    return rows


class _Timed:
    """An update with a stop-watch."""

    def __init__(self, update: Update) -> None:
        self._update = update
        self._seconds: list[float] = []

    def __call__(self, boxes: Floats, scores: Floats, t: float) -> Identified:
        begun = time.perf_counter()
        result = self._update(boxes, scores, t)
        self._seconds.append(time.perf_counter() - begun)
        return result

    @property
    def median_ms(self) -> float:
        return float(np.median(self._seconds)) * 1e3


def _package_tracker() -> tuple[Callable[[float], Update] | None, str | None]:
    """A maker of the package's tracker for a nominal frame rate, or why there is none."""
    try:
        from supervision import Detections  # type: ignore[import-not-found,unused-ignore]  # optional
        from trackers import ByteTrackTracker  # type: ignore[import-not-found,unused-ignore]  # optional
    except ImportError as error:
        return None, str(error)

    def make(fps: float) -> Update:
        tracker = ByteTrackTracker(frame_rate=fps)

        def update(boxes: Floats, scores: Floats, t: float) -> Identified:
            found = tracker.update(Detections(xyxy=boxes, confidence=scores), timestamp=t)
            keys = np.asarray(found.tracker_id).tolist()
            pairs = zip(keys, found.xyxy.tolist(), strict=True)
            return [(key, _box(corners)) for key, corners in pairs if key >= 0]

        return update

    return make, None


def _box(corners: Sequence[float]) -> Box:
    x1, y1, x2, y2 = corners
    return x1, y1, x2, y2


def _one_by_one(shared: Path) -> dict[str, dict[str, int]]:
    """Visits found by model and frame rate; "true" by the clip's own record."""
    media = shared / "media" / "video"
    record = json.loads((media / "gt" / "one-by-one_presence_machine.json").read_text())
    real = true_visits((a / record["fps"], b / record["fps"]) for a, b in record["segments"])
    counts = {"record": {"true": len(real)}}
    for model in MODELS:
        clip = stored_boxes(media / "one-by-one-person-detection.mp4", shared / "models" / model)
        counts[model] = {rate: len(visits(clip, _sampled(rate, len(clip.boxes)))) for rate in RATES}
    return counts


def stored_boxes(video: Path, model: Path) -> ScoredClip:
    """The model's boxes in the clip, from the cache if both are what they were then."""
    digest = hashlib.sha256(video.read_bytes() + model.read_bytes()).hexdigest()[:16]
    path = cache_dir() / "bench" / f"{video.stem}-{model.stem}-{digest}.npz"
    if not path.is_file():
        with Console(stderr=True).status(f"{model.stem} looks at {video.name}, once"):
            _store(path, detect(video, model))
    with np.load(path) as stored:
        cuts = np.cumsum(stored["counts"])[:-1]
        boxes, scores = np.split(stored["boxes"], cuts), np.split(stored["scores"], cuts)
        return ScoredClip(boxes=boxes, scores=scores, fps=float(stored["fps"]))


def _store(path: Path, clip: ScoredClip) -> None:
    counts = [len(scores) for scores in clip.scores]
    boxes, scores = np.concatenate(clip.boxes), np.concatenate(clip.scores)
    with replacing(path) as part:
        np.savez(part, counts=counts, boxes=boxes, scores=scores, fps=clip.fps)


def _crowd_ms() -> float:
    """Median ms of an update with ten walking people."""
    random = np.random.default_rng(0)
    corners = random.random((_CROWD, 2)) * (1800.0, 800.0)
    start = np.concatenate((corners, corners + np.array([60.0, 160.0])), axis=1)
    timed = _Timed(our_update())
    for k in range(_UPDATES):
        boxes = (start + random.normal(0.0, 3.0, start.shape) + k).astype(np.float32)
        timed(boxes, np.full(_CROWD, 0.8, np.float32), k / 10.0)
    return timed.median_ms


def _print(rows: list[TrackingRow], seen: dict[str, dict[str, int]], crowd_ms: float, missing: str | None) -> None:
    console = Console()
    table = Table("model", "frames", "tracker", title="vtest.avi, IoU >= 0.5")
    for heading in ("MOTA", "IDF1", "switches", "misses", "false", "ms/update"):
        table.add_column(heading, justify="right")
    for row in rows:
        s = row.score
        figures = (f"{s.mota:.3f}", f"{s.idf1:.3f}", str(s.switches), str(s.misses), str(s.false_positives))
        table.add_row(Path(row.model).stem, row.frames, row.tracker, *figures, f"{row.ms_per_update:.2f}")
    console.print(table)
    if missing:
        console.print(f"trackers ByteTrack left out: {missing}")
    real = seen["record"]["true"]
    for model in MODELS:
        found = ", ".join(f"{rate} {count}" for rate, count in seen[model].items())
        console.print(f"one-by-one, {model}: visits at {found} (true: {real})")
    console.print(f"ten people: {crowd_ms:.3f} ms an update")


if __name__ == "__main__":
    raise SystemExit(main())
