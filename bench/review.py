"""The review page over a long history: how long the service takes to answer its requests.

    python -m bench.review [--shared DIR] [--events N] [--requests N] [--json FILE]

A history of so many visits, each with its path and as large as the service makes it, is written by the service's own code.
Then the real service runs on it, with a camera at work, and is asked over HTTP for the first page, for a page in the
middle, and for first pages with filters. The time is from the request until the whole answer is there. Target: the first
page within 100 ms, p99.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np

from detector.alerts.history import History
from detector.alerts.payloads import event_payload, record_document, timestamp
from detector.core.types import Appearance, ArrayImage, Event, EventChange, Frame, PathPoint, Pixels

from .cameras import service_config, wait_until_all_are_seen
from .drawn import draw
from .glass import CLIP, SIZE
from .mqtt import free_port
from .rtsp import BenchCamera
from .subjects import Process

ROOT = Path(__file__).resolve().parents[1]
TARGET_MS = 100.0
_BATCH, _DAY_S, _PAGE = 2000, 86_400.0, 50
_LONG_ROUNDS = 3  # of what reads the whole history: the page asks for a day
_LOOK_BYTES, _POINTS = 264, 47


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("DETECTOR_SHARED", ROOT.parent / "shared")))
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--model", default="yolox-tiny-person")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(arguments)
    if not (chosen.shared / CLIP).is_file():
        print(f"no {chosen.shared / CLIP}: give --shared or set DETECTOR_SHARED", file=sys.stderr)
        return 1
    figures = measure(chosen)
    for name, one in figures["asked"].items():
        print(f"{name}: p50 {one['p50']:.1f} ms, p99 {one['p99']:.1f} ms, {one['visits']} visits")
    print(f"{figures['events']} visits, {figures['mib']:.0f} MiB; target: the first page within {TARGET_MS:.0f} ms")
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0 if figures["asked"]["the first page"]["p99"] <= TARGET_MS else 1


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Times of each kind of request, ms."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder, port = Path(name), free_port()
        now = time.time()
        middle = fill(folder / "data", chosen.events, now)
        coded = draw(chosen.shared / CLIP, fps=5, size=SIZE)
        urls = {"c0": stack.enter_context(BenchCamera(coded, folder / "released")).url}
        history = {"max_events": 2 * chosen.events, "keep_days": 60}
        config = service_config(folder, urls, chosen.model, port, history=history)
        process = Process([sys.executable, "-m", "detector", "run", "-c", str(config)], folder / "said")
        stack.callback(process.end)
        wait_until_all_are_seen(port, urls, process)
        address = f"http://127.0.0.1:{port}/api/events?limit={_PAGE}"
        day = f"&after={now - 8 * _DAY_S}&before={now - 7 * _DAY_S}"
        asked = {
            "the first page": "",
            "a page in the middle": f"&before_id={middle}",
            "one camera, a day a week ago": f"&camera=c1{day}",
            "with an alert, all days": "&alerted=true",
            "a zone that few enter, a day": f"&zone=shed{day}",
        }
        times = {words: _times(address + query, chosen.requests) for words, query in asked.items()}
        times["a zone that nobody enters, all days"] = _times(f"{address}&zone=none", _LONG_ROUNDS)
        size = sum(file.stat().st_size for file in (folder / "data").glob("history.db*")) / 2**20
    return {"events": chosen.events, "target_ms": TARGET_MS, "page": _PAGE, "mib": size, "asked": times}


def fill(folder: Path, count: int, now: float) -> str:
    """Write `count` visits of the last two weeks before `now` (epoch s); the id of one in the middle."""
    folder.mkdir(parents=True)
    step = 14 * _DAY_S / count
    frame = _frame()
    with closing(
        History(path=folder / "history.db", snapshot_dir=folder / "snapshots", keep_days=60, max_events=10**6)
    ) as history:
        for first in range(0, count, _BATCH):
            numbers = range(first, min(first + _BATCH, count))
            visits = [_visit(n, now - 60 - (count - n) * step) for n in numbers]
            documents = [
                event_payload(EventChange(type="end", before=one, after=one, frame=frame), device="bench")["after"]
                | record_document(one)
                for one in visits
            ]
            alerts = [_alert(one) for n, one in zip(numbers, visits, strict=True) if n % 10 == 0]
            if not history.write(documents, alerts):
                raise RuntimeError(f"the history was not written: {history.fault}")
    return _visit(count // 2, now - 60 - (count - count // 2) * step).id


def _frame() -> Frame:
    pixels: Pixels = np.zeros((4, 4, 3), np.uint8)
    return Frame(camera="c0", seq=0, captured_mono=0.0, captured_wall=0.0, image=ArrayImage(pixels))


def _visit(number: int, start: float) -> Event:
    left = number % 100 / 200
    path = tuple(
        PathPoint(mono=n / 5, box=(left + n / 100, 0.31, left + n / 100 + 0.05, 0.774), score=0.87)
        for n in range(_POINTS)
    )
    zone = "shed" if number % 500 == 0 else "garden"
    return Event(
        id=f"{start:.6f}-{number % 0xFFFFFF:06x}",
        camera=f"c{number % 4}",
        track_id=number,
        frame_wall=start + 9,
        start_wall=start,
        end_wall=start + 9,
        score=0.8,
        top_score=0.9,
        box=(100.0, 200.0, 180.0, 420.0),
        frame_size=SIZE,
        current_zones=(zone,),
        entered_zones=(zone,),
        stationary=False,
        has_snapshot=True,
        appearance=Appearance(box=path[-1].box, look=bytes(_LOOK_BYTES)),
        path=path,
        why="" if number % 10 == 0 else "outside garden",
    )


def _alert(visit: Event) -> dict[str, Any]:
    return {
        "id": f"alert-{visit.id}",
        "event_id": visit.id,
        "seq": visit.track_id,
        "zones": list(visit.entered_zones),
        "score": visit.score,
        "captured_at": timestamp(visit.start_wall),
    }


def _times(url: str, requests: int) -> dict[str, Any]:
    took, visits = [], 0
    for _ in range(requests):
        begun = time.perf_counter()
        with urllib.request.urlopen(url, timeout=60) as answer:
            body = answer.read()
        took.append((time.perf_counter() - begun) * 1e3)
        visits = len(json.loads(body))
    cuts = statistics.quantiles(took, n=100, method="inclusive")
    return {"p50": statistics.median(took), "p99": cuts[98], "visits": visits}


if __name__ == "__main__":
    raise SystemExit(main())
