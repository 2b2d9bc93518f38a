"""From glass to alert: how long after a picture's packets were sent a subscriber hears of the person in it.

    python -m bench.glass [--shared DIR] [--fps 10] [--seconds S] [--loop-seconds S] [--rounds N] [--only NAME...]
                          [--service 'NAME={name: MODEL, backend: ...}' ...] [--json FILE]

A 1080p H.264 clip in which a person appears in another place every 0.7 s is sent in real time over loopback
RTSP. The real service publishes its alerts to a real broker; beside it, taking turns in the same run: plain loops
that publish every frame, and the bare model (B), the unit of all ratios. An alert is told with its picture, which
carries its own number, so each is related to that very picture. The clock runs from the last byte of the picture's
last packet written to the socket until the subscriber has read the alert: receiving, decoding, the model, tracking and
rules, the alert's synced write to the disk, its picture as JPEG, and the hop over MQTT are in it.

A service that chooses its model's form has a cache of its own here and makes its choice before it is measured: on what
it sees in the clip, which shows too few visits for INT8; or, where it is "tuned", by `detector tune` on the recording
that the clip is drawn from, the same room with other pictures.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from .bare import bare
from .caches import private_cache
from .drawn import Coded, draw
from .floor import decoding, decoding_paced, floor
from .lineup import loops, reference, services
from .mqtt import brokers
from .rtsp import BenchCamera
from .subjects import Arrival, Inbox, Process, ServiceSubject, Subject, SubjectError, inbox, wait_for

ROOT = Path(__file__).resolve().parents[1]
CLIP = Path("media/video/one-by-one-person-detection.mp4")
SIZE = (1920, 1080)
CHOOSE_S = 120.0
SETTLE_S = 2.0  # the first looks at a stream are not its usual ones
Unit = dict[str, float]


@dataclass(slots=True, kw_only=True)
class Tally:
    """One subject's rounds together."""

    latencies_ms: list[float] = field(default_factory=list)
    stages_ms: list[dict[str, float]] = field(default_factory=list)
    startups_s: list[float] = field(default_factory=list)
    released: int = 0
    done: int = 0
    cpu_s: float = 0.0
    rss_mib: float = 0.0
    peak_mib: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)
    failed: str | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    if not (chosen.shared / CLIP).is_file():
        print(f"no {chosen.shared / CLIP}: give --shared or set DETECTOR_SHARED", file=sys.stderr)
        return 1
    everyone = [*services(chosen.shared), *map(_service, chosen.service), *loops(chosen.shared)]
    wanted = [subject for subject in everyone if not chosen.only or subject.name in chosen.only]
    left_out = {subject.name: reason for subject in wanted if (reason := subject.why_not()) is not None}
    runnable = [subject for subject in wanted if subject.name not in left_out]
    document: dict[str, Any] = {"load_average": os.getloadavg()[0], "left_out": left_out, "rates": []}
    with tempfile.TemporaryDirectory() as caches:
        _tune(
            [one for one in runnable if isinstance(one, ServiceSubject)], Path(caches), chosen.shared / CLIP, left_out
        )
        runnable = [subject for subject in runnable if subject.name not in left_out]
        for fps in chosen.fps:
            coded = draw(chosen.shared / CLIP, fps=fps, size=SIZE)
            document["rates"].append(measure(coded, runnable, chosen, left_out))
    _print(document)
    if chosen.json is not None:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("DETECTOR_SHARED", ROOT.parent / "shared")))
    parser.add_argument("--fps", type=int, nargs="+", default=[10])
    parser.add_argument("--seconds", type=float, default=16.0, help="per service and round")
    parser.add_argument("--loop-seconds", type=float, default=6.0, help="per plain loop and round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="names of subjects")
    parser.add_argument("--service", action="append", default=[], metavar="NAME={...}", help="another model section")
    parser.add_argument("--json", type=Path)
    return parser


def _service(text: str) -> ServiceSubject:
    name, _, section = text.partition("=")
    return ServiceSubject(name, yaml.safe_load(section) or {})


def _tune(services: Sequence[ServiceSubject], caches: Path, clip: Path, left_out: dict[str, str]) -> None:
    """Gives those that choose a cache of their own, and those that are tuned their choice."""
    for number, service in enumerate(one for one in services if one.chooses):
        service.cache = private_cache(caches / str(number))
        if not service.tuned:
            continue
        print(f"tuning: {service.name}", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            try:
                told = service.tune(Path(folder), clip)
            except SubjectError as error:
                left_out[service.name] = str(error)
                continue
        print(f"{told['taken']}: {told['why']}; {told['without_int8'] or 'INT8 was tried'}", file=sys.stderr)


def measure(
    coded: Coded, runnable: Sequence[Subject], chosen: argparse.Namespace, left_out: dict[str, str]
) -> dict[str, Any]:
    """All subjects in turn, some rounds, with a measurement of B before each; who falls goes to `left_out`."""
    model = reference(chosen.shared)
    for service in (one for one in runnable if isinstance(one, ServiceSubject) and one.chooses and not one.tuned):
        _let_choose(service, coded)
    tallies = {subject.name: Tally() for subject in runnable}
    units: list[Unit] = []
    for number in range(chosen.rounds):
        for subject in runnable:
            tally = tallies[subject.name]
            if tally.failed is not None:
                continue
            units.append(bare(model))
            print(f"{coded.fps} fps, round {number + 1}: {subject.name}", file=sys.stderr)
            seconds = chosen.seconds if isinstance(subject, ServiceSubject) else chosen.loop_seconds
            with tempfile.TemporaryDirectory() as folder:
                try:
                    _run(subject, coded, Path(folder), seconds, tally)
                except (SubjectError, OSError) as error:
                    tally.failed = left_out[subject.name] = str(error)
    unit = {key: float(np.median([one[key] for one in units])) for key in units[0]}
    ran = [subject for subject in runnable if tallies[subject.name].failed is None]
    floors = {
        one.name: floor(model, one.model, fps=coded.fps, cache=one.cache)
        for one in ran
        if isinstance(one, ServiceSubject)
    }
    return {
        "fps": coded.fps,
        "b": unit,
        "decode": {**decoding(coded), "paced": decoding_paced(coded)},
        "floors": floors,
        "subjects": {one.name: _figures(tallies[one.name], unit, floors.get(one.name)) for one in ran},
    }


def _let_choose(service: ServiceSubject, coded: Coded) -> None:
    """Run it once until `backend: auto` has measured and kept its choice: that comes once, not with every start."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = stack.enter_context(next(iter(brokers().values()))())
        camera = stack.enter_context(BenchCamera(coded, folder / "released"))
        process = Process(service.command(folder, camera.url, port), folder / "said", cache=service.cache)
        stack.callback(process.end)
        try:
            wait_for(lambda: service.done(Inbox()) > 0, process, service.name)
        except SubjectError:
            return  # it will say so when it is measured
        deadline = time.monotonic() + CHOOSE_S
        while not service.settled() and time.monotonic() < deadline:
            time.sleep(0.5)


def _run(subject: Subject, coded: Coded, folder: Path, seconds: float, tally: Tally) -> None:
    camera = BenchCamera(coded, folder / "released", port=subject.camera_port)
    with camera, next(iter(brokers().values()))() as port, inbox(port) as box:
        process = Process(subject.command(folder, camera.url, port), folder / "said", cache=subject.cache)
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
            tally.facts = subject.facts()
            time.sleep(1.0)  # for what is under way
        finally:
            process.end()
        # A client may come twice: OpenCV and others look first, and play then. The last one is it.
        last = max((client for client, _, _ in camera.released()), default=0)
        released = [(number, mono) for client, number, mono in camera.released() if client == last]
        tally.released += sum(begun <= mono < ended for _, mono in released)
        for arrival in subject.arrivals(box):
            late = _latency_ms(arrival, released) if begun <= arrival.mono else None
            if late is not None:
                tally.latencies_ms.append(late)
                tally.stages_ms.append(_stages_ms(arrival, late))


def _latency_ms(arrival: Arrival, released: Sequence[tuple[int, float]]) -> float | None:
    """Since the last release of that picture before it arrived (the clip goes round and round)."""
    before = [mono for number, mono in released if number == arrival.number and mono <= arrival.mono]
    return (arrival.mono - before[-1]) * 1e3 if before else None


def _stages_ms(arrival: Arrival, late: float) -> dict[str, float]:
    """What the alert tells of its own way, and the rest: the network before it and behind it."""
    told = arrival.stages_ms
    return {**told, "network": late - sum(told.values())} if told else {}


def _figures(tally: Tally, unit: Unit, its_floor: dict[str, float] | None) -> dict[str, Any]:
    p50, p99 = np.percentile(tally.latencies_ms, (50, 99)) if tally.latencies_ms else (np.nan, np.nan)
    cpu_ms = tally.cpu_s / tally.done * 1e3 if tally.done else np.nan
    startup = float(np.median(tally.startups_s))
    load_s = its_floor["load_s"] if its_floor else unit["load_s"]
    figures = {
        "p50_ms": p50,
        "p99_ms": p99,
        "p50_over_b": p50 / unit["run_ms"],
        "p99_over_b": p99 / unit["run_ms"],
        "cpu_ms_per_frame": cpu_ms,
        "cpu_over_b": cpu_ms / unit["cpu_ms"],
        "startup_s": startup,
        "startup_beyond_model_s": startup - load_s,
        "rss_mib": tally.rss_mib,
        "peak_mib": tally.peak_mib,
    }
    return {
        **{key: _rounded(value) for key, value in figures.items()},
        "messages": len(tally.latencies_ms),
        "released": tally.released,
        "done": tally.done,
        "stages_ms": _quantiles(tally.stages_ms),
        "facts": tally.facts,
        "latencies_ms": [round(value, 2) for value in sorted(tally.latencies_ms)],
    }


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 3)


def _quantiles(rows: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    found: dict[str, list[float]] = {}
    for row in rows:
        for stage, ms in row.items():
            found.setdefault(stage, []).append(ms)
    quantiles = {stage: np.percentile(values, (50, 99)) for stage, values in found.items()}
    return {
        stage: {"p50": round(float(p50), 2), "p99": round(float(p99), 2)} for stage, (p50, p99) in quantiles.items()
    }


def _print(document: dict[str, Any]) -> None:
    print(f"load average {document['load_average']:.1f}")
    for rate in document["rates"]:
        unit = rate["b"]
        print(
            f"\n{rate['fps']} fps; B = {unit['run_ms']:.1f} ms, {unit['cpu_ms']:.1f} ms CPU, loads in {unit['load_s']} s"
        )
        print(f"{'':30}  p50 ms    /B   p99 ms    /B  frames done  CPU/frame    /B  start s   RSS  peak MiB")
        for name, one in rate["subjects"].items():
            shown = {key: float("nan") if value is None else value for key, value in one.items()}
            print(
                f"{name:30} {shown['p50_ms']:7.1f} {shown['p50_over_b']:5.2f}  {shown['p99_ms']:7.1f}"
                f" {shown['p99_over_b']:5.2f}  {one['done']:4d} of {one['released']:4d} {shown['cpu_ms_per_frame']:8.1f}"
                f" {shown['cpu_over_b']:7.2f} {shown['startup_s']:7.2f} {shown['rss_mib']:6.0f} {shown['peak_mib']:6.0f}"
                f"   ({one['messages']} messages)"
            )
    for name, reason in document["left_out"].items():
        print(f"\n{name}: left out, {reason}")


if __name__ == "__main__":
    raise SystemExit(main())
