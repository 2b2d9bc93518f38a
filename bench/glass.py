"""From glass to alert: how long after a picture's packets were released a subscriber hears of the person in it.

    python -m bench.glass [--shared DIR] [--fps 10 25] [--seconds S] [--rounds N] [--json FILE] [--html FILE]

A 1080p H.264 clip in which a person appears in another place every second is sent in real time over loopback
RTSP. The real service publishes its alerts to a real broker; beside it, taking turns in the same run: plain loops
that publish every frame, and the bare model (B), the unit of all ratios. An alert is told with its picture, which
carries its own number, so each is related to the very instant at which that picture left the camera.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .bare import bare
from .drawn import Coded, draw
from .mqtt import brokers
from .page import page
from .rtsp import Camera
from .subjects import Arrival, Naive, Process, Service, Subject, inbox, wait_for

ROOT = Path(__file__).resolve().parents[1]
CLIP = Path("media/video/one-by-one-person-detection.mp4")
SIZE = (1920, 1080)
TARGET_P50, TARGET_P99 = 0.65, 1.2
SETTLE_S = 3.0  # the first looks at a stream are not its usual ones
Unit = dict[str, float]


@dataclass(slots=True, kw_only=True)
class Tally:
    """One subject's rounds together."""

    latencies_ms: list[float] = field(default_factory=list)
    startups_s: list[float] = field(default_factory=list)
    released: int = 0
    done: int = 0
    cpu_s: float = 0.0
    rss_mib: float = 0.0
    peak_mib: float = 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("DETECTOR_SHARED", ROOT.parent / "shared")))
    parser.add_argument("--fps", type=int, nargs="+", default=[10, 25])
    parser.add_argument("--seconds", type=float, default=30.0, help="per subject and round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="names of subjects")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--html", type=Path)
    chosen = parser.parse_args(arguments)
    if not (chosen.shared / CLIP).is_file():
        print(f"no {chosen.shared / CLIP}: give --shared or set DETECTOR_SHARED", file=sys.stderr)
        return 1
    reference = chosen.shared / "models" / "yolov10n.onnx"
    wanted = [s for s in subjects(reference) if not chosen.only or s.name in chosen.only]
    left_out = {s.name: reason for s in wanted if (reason := s.why_not()) is not None}
    runnable = [s for s in wanted if s.name not in left_out]
    results = []
    for fps in chosen.fps:
        coded = draw(chosen.shared / CLIP, fps=fps, size=SIZE)
        results.append(measure(coded, runnable, reference, seconds=chosen.seconds, rounds=chosen.rounds))
    document = {"load_average": os.getloadavg()[0], "left_out": left_out, "rates": results}
    _print(document)
    texts = {chosen.json: json.dumps(document, indent=1) + "\n", chosen.html: page(document)}
    for path, text in texts.items():
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return 0


def subjects(reference: Path) -> list[Subject]:
    return [
        Service("service, default model", "yolox-tiny-person"),
        Service("service, yolov10n", str(reference)),
        Naive("plain loop, ONNX Runtime", "ort", str(reference)),
        Naive("plain loop, cv2.dnn", "dnn", str(reference)),
        Naive("ultralytics, stream=True", "ultralytics", str(reference)),
    ]


def measure(
    coded: Coded, runnable: Sequence[Subject], reference: Path, *, seconds: float, rounds: int
) -> dict[str, Any]:
    """All subjects in turn, `rounds` times, with a measurement of B before each."""
    tallies = {subject.name: Tally() for subject in runnable}
    units: list[Unit] = []
    for number in range(rounds):
        for subject in runnable:
            units.append(bare(reference))
            print(f"{coded.fps} fps, round {number + 1}: {subject.name}", file=sys.stderr)
            with tempfile.TemporaryDirectory() as folder:
                _run(subject, coded, Path(folder), seconds, tallies[subject.name])
    unit = {key: float(np.median([one[key] for one in units])) for key in units[0]}
    return {
        "fps": coded.fps,
        "b": unit,
        "subjects": {name: _figures(tally, unit) for name, tally in tallies.items()},
    }


def _run(subject: Subject, coded: Coded, folder: Path, seconds: float, tally: Tally) -> None:
    with Camera(coded, folder / "released") as camera, next(iter(brokers().values()))() as port, inbox(port) as box:
        process = Process(subject.command(folder, camera.url, port))
        try:
            wait_for(lambda: subject.done(box) > 0, process, subject.name)
            tally.startups_s.append(time.monotonic() - process.begun)
            time.sleep(SETTLE_S)
            begun, cpu, done = time.monotonic(), process.cpu_s, subject.done(box)
            time.sleep(seconds)
            ended = time.monotonic()
            tally.cpu_s += process.cpu_s - cpu
            tally.done += subject.done(box) - done
            tally.rss_mib = max(tally.rss_mib, process.memory_mib("VmRSS"))
            tally.peak_mib = max(tally.peak_mib, process.memory_mib("VmHWM"))
            time.sleep(1.0)  # for what is under way
        finally:
            process.end()
        # A client may come twice: OpenCV and others look first, and play then. The last one is it.
        last = max((client for client, _, _ in camera.released()), default=0)
        released = [(number, mono) for client, number, mono in camera.released() if client == last]
        tally.released += sum(begun <= mono < ended for _, mono in released)
        arrivals = [a for a in subject.arrivals(box) if begun <= a.mono]
        tally.latencies_ms += [late for a in arrivals if (late := _latency_ms(a, released)) is not None]


def _latency_ms(arrival: Arrival, released: Sequence[tuple[int, float]]) -> float | None:
    """Since the last release of that picture before it arrived (the clip goes round and round)."""
    before = [mono for number, mono in released if number == arrival.number and mono <= arrival.mono]
    return (arrival.mono - before[-1]) * 1e3 if before else None


def _figures(tally: Tally, unit: Unit) -> dict[str, Any]:
    p50, p99 = np.percentile(tally.latencies_ms, (50, 99)) if tally.latencies_ms else (np.nan, np.nan)
    cpu_ms = tally.cpu_s / tally.done * 1e3 if tally.done else np.nan
    startup = float(np.median(tally.startups_s))
    figures = {
        "p50_ms": p50,
        "p99_ms": p99,
        "p50_over_b": p50 / unit["run_ms"],
        "p99_over_b": p99 / unit["run_ms"],
        "cpu_ms_per_frame": cpu_ms,
        "cpu_over_b": cpu_ms / unit["cpu_ms"],
        "startup_s": startup,
        "startup_beyond_model_s": startup - unit["load_s"],
        "rss_mib": tally.rss_mib,
        "peak_mib": tally.peak_mib,
    }
    rounded = {key: round(float(value), 3) for key, value in figures.items()}
    return {
        **rounded,
        "messages": len(tally.latencies_ms),
        "released": tally.released,
        "done": tally.done,
        "latencies_ms": [round(value, 2) for value in sorted(tally.latencies_ms)],
    }


def _print(document: dict[str, Any]) -> None:
    print(f"load average {document['load_average']:.1f}")
    for rate in document["rates"]:
        unit = rate["b"]
        print(
            f"\n{rate['fps']} fps; B = {unit['run_ms']:.1f} ms, {unit['cpu_ms']:.1f} ms CPU, loads in {unit['load_s']} s"
        )
        print(f"{'':26}  p50 ms    /B   p99 ms    /B  frames done  CPU/frame    /B  start s   RSS  peak MiB")
        for name, one in rate["subjects"].items():
            print(
                f"{name:26} {one['p50_ms']:7.1f} {one['p50_over_b']:5.2f}  {one['p99_ms']:7.1f} {one['p99_over_b']:5.2f}"
                f"  {one['done']:4d} of {one['released']:4d} {one['cpu_ms_per_frame']:8.1f} {one['cpu_over_b']:7.2f}"
                f" {one['startup_s']:7.2f} {one['rss_mib']:6.0f} {one['peak_mib']:6.0f}   ({one['messages']} messages)"
            )
    for name, reason in document["left_out"].items():
        print(f"\n{name}: left out, {reason}")


if __name__ == "__main__":
    raise SystemExit(main())
