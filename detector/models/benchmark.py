"""Measures a detector on this machine: each stage, and the whole pipeline relative to the bare model.

Both are interleaved in one process, so that other load on the machine affects both alike.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from detector.analytics.pipeline import CameraPipeline
from detector.capture.pictures import clip_frames
from detector.config.schema import Camera
from detector.core.errors import SourceError
from detector.core.progress import Progress
from detector.core.types import Frame
from detector.inference.multi_size import AnyDetector

MIN_FRAMES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """Figures of one run; `stages` maps a stage to its p50 and p99 in ms.

    `pipeline_over_model_ratio` is the median time from frame in hand to detections over the median
    bare model run; `cpu_percent` is of one core, while detecting; `peak_rss_mb` of the process.
    """

    model: str
    backend: str
    precision: str
    source: str
    width: int
    height: int
    frames: int
    fps: float
    cpu_percent: float
    peak_rss_mb: float
    pipeline_over_model_ratio: float
    stages: dict[str, dict[str, float]]


@dataclass(slots=True)
class _StageTimes:
    stages: dict[str, list[float]] = field(default_factory=dict)

    def add(self, stage: str, ms: float) -> None:
        self.stages.setdefault(stage, []).append(ms)

    def quantiles(self) -> dict[str, dict[str, float]]:
        return {
            stage: {"p50": round(float(np.percentile(v, 50)), 4), "p99": round(float(np.percentile(v, 99)), 4)}
            for stage, v in self.stages.items()
        }


def _frames(source: Path, limit: int) -> Iterator[tuple[Frame, float]]:
    """Frames with the ms that decoding each took; the clip is repeated until `limit` is reached.

    Colours are converted by the model's preprocessing, as in the service.
    """
    frames = clip_frames(source, loop=True)
    for seq in range(limit):
        begun = time.perf_counter()
        grab = next(frames, None)
        spent = (time.perf_counter() - begun) * 1e3
        if grab is None:
            return
        at = seq / 10 if grab.media_s is None else grab.media_s
        yield Frame(camera="bench", seq=seq, captured_mono=at, captured_wall=at, image=grab.image), spent


def benchmark(*, detector: AnyDetector, source: Path, frames: int = 200, progress: Progress) -> Benchmark:
    """Run `frames` frames of `source` through decode, model, tracker and rules; raises SourceError."""
    if frames < MIN_FRAMES:
        raise SourceError(f"too few frames to measure: ask for at least {MIN_FRAMES}")
    samples = _StageTimes()
    # As in the service, but with the motion gate open.
    camera = Camera.model_validate({"source": "bench", "motion": {"enabled": False}})
    pipeline = CameraPipeline(name="bench", settings=camera, device_id="bench")
    width = height = 0
    detect_cpu = detect_wall = 0.0
    for frame, decode_ms in _frames(source, frames):
        width, height = frame.image.width, frame.image.height
        samples.add("decode", decode_ms)
        cpu, begun = time.process_time(), time.perf_counter()
        _one(detector, pipeline, frame, samples)
        detect_wall += time.perf_counter() - begun
        detect_cpu += time.process_time() - cpu
        progress(frame.seq + 1, frames, "frames")
    return _figures(detector, source, samples, (width, height), detect_cpu / detect_wall * 100)


def _one(detector: AnyDetector, pipeline: CameraPipeline, frame: Frame, samples: _StageTimes) -> None:
    """One frame through the pipeline and the bare model, in alternating order, so that warm caches favour neither."""
    if frame.seq % 2 and frame.seq > 1:
        samples.add("bare_model", detector.run_bare())
    begun = time.perf_counter()
    detections = detector.detect(frame)
    detected = time.perf_counter()
    pipeline.should_detect(frame)
    pipeline.process(detections, armed_as="armed_away")
    followed = time.perf_counter()
    times = detector.last_times
    samples.add("preprocess", times.preprocess_ms)
    samples.add("infer", times.infer_ms)
    samples.add("decode_outputs", times.decode_ms)
    samples.add("frame_to_detections", (detected - begun) * 1e3)
    samples.add("track_and_rules", (followed - detected) * 1e3)
    if frame.seq % 2 == 0:
        samples.add("bare_model", detector.run_bare())


def _figures(
    detector: AnyDetector, source: Path, samples: _StageTimes, size: tuple[int, int], cpu_percent: float
) -> Benchmark:
    stages = samples.stages
    if len(stages.get("bare_model", ())) < MIN_FRAMES:
        raise SourceError(f"{source} has too few frames to measure")
    pipeline, bare = statistics.median(stages["frame_to_detections"]), statistics.median(stages["bare_model"])
    whole = sum(statistics.median(stages[s]) for s in ("decode", "frame_to_detections", "track_and_rules"))
    return Benchmark(
        model=detector.model_name,
        backend=detector.backend,
        precision=detector.precision,
        source=source.name,
        width=size[0],
        height=size[1],
        frames=len(stages["decode"]),
        fps=round(1000 / whole, 2),
        cpu_percent=round(cpu_percent, 1),
        peak_rss_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        pipeline_over_model_ratio=round(pipeline / bare, 4),
        stages=samples.quantiles(),
    )
