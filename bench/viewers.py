"""Live views: how much of the detection rate do ten viewers cost on four cameras?

    python -m bench.viewers [--shared DIR] [--cameras N] [--viewers N] [--fps F] [--seconds S] [--rounds N] [--json FILE]

The real service with N cameras of 1080p H.264 over loopback RTSP, every frame of each wanted. Rounds without viewers and
with them take turns; a viewer reads a live stream of 1280 px from a process of its own and decodes nothing, as the browser
that does is elsewhere. Target: less than 2 % of the frames looked at.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from .cameras import detected, service_config, status_of, wait_until_all_are_seen
from .drawn import Coded, draw
from .glass import CLIP, SIZE
from .mqtt import free_port
from .rtsp import BenchCamera
from .subjects import Process

ROOT = Path(__file__).resolve().parents[1]
TARGET = 0.02
_SETTLE_S, _WIDTH, _LEAST_PARTS = 3.0, 1280, 1


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("DETECTOR_SHARED", ROOT.parent / "shared")))
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--viewers", type=int, default=10)
    parser.add_argument("--fps", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="yolox-tiny-person")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--watch", nargs="+", help=argparse.SUPPRESS)  # a process of viewers, made by this program
    chosen = parser.parse_args(arguments)
    if chosen.watch:
        return watch(chosen.watch)
    if not (chosen.shared / CLIP).is_file():
        print(f"no {chosen.shared / CLIP}: give --shared or set DETECTOR_SHARED", file=sys.stderr)
        return 1
    figures = measure(draw(chosen.shared / CLIP, fps=chosen.fps, size=SIZE), chosen)
    print(
        f"{figures['alone_per_s']:.2f} frames/s looked at without viewers, {figures['watched_per_s']:.2f} with "
        f"{chosen.viewers} viewers on {chosen.cameras} cameras: {figures['lost']:.1%} lost (target: below {TARGET:.0%})"
    )
    print(f"each viewer was sent {figures['pictures_per_s']:.1f} pictures/s; CPU {figures['cpu_percent']} % of a core")
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0 if figures["lost"] < TARGET else 1


def measure(coded: Coded, chosen: argparse.Namespace) -> dict[str, Any]:
    """Frames looked at per second, medians of the rounds, with viewers and without."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder, port = Path(name), free_port()
        cameras = [f"c{i}" for i in range(chosen.cameras)]
        urls = {one: stack.enter_context(BenchCamera(coded, folder / f"released-{one}")).url for one in cameras}
        config = service_config(folder, urls, chosen.model, port)
        process = Process([sys.executable, "-m", "detector", "run", "-c", str(config)], folder / "said")
        stack.callback(process.end)
        wait_until_all_are_seen(port, urls, process)
        time.sleep(_SETTLE_S)
        streams = [
            f"http://127.0.0.1:{port}/api/cameras/{cameras[n % len(cameras)]}/stream.mjpg?width={_WIDTH}"
            for n in range(chosen.viewers)
        ]
        alone, watched, sent = [], [], []
        cpu: dict[str, list[float]] = {"alone": [], "watched": []}
        for _ in range(chosen.rounds):
            alone.append(_rate(port, process, chosen.seconds, cpu["alone"]))
            with viewers(streams) as pictures:
                watched.append(_rate(port, process, chosen.seconds, cpu["watched"]))
            sent.append(pictures() / chosen.viewers / (chosen.seconds + _SETTLE_S))
    before, after = statistics.median(alone), statistics.median(watched)
    return {
        "cameras": chosen.cameras,
        "viewers": chosen.viewers,
        "wanted_per_s": chosen.cameras * chosen.fps,
        "alone_per_s": before,
        "watched_per_s": after,
        "rounds": [list(pair) for pair in zip(alone, watched, strict=True)],
        "lost": max(0.0, 1 - after / before),
        "pictures_per_s": statistics.median(sent),
        "cpu_percent": [round(statistics.median(one)) for one in cpu.values()],
    }


def _rate(port: int, process: Process, seconds: float, cpu: list[float]) -> float:
    """Frames looked at per second, once what began has settled; adds the CPU time, % of a core, to `cpu`."""
    time.sleep(_SETTLE_S)
    begun, spent, before = time.monotonic(), process.cpu_s, sum(detected(status_of(port)).values())
    time.sleep(seconds)
    after, taken = sum(detected(status_of(port)).values()), time.monotonic() - begun
    cpu.append(100 * (process.cpu_s - spent) / taken)
    return (after - before) / taken


@contextmanager
def viewers(streams: Sequence[str]) -> Iterator[Any]:
    """A process that reads all `streams`; yields a function that, after its end, says how many pictures came."""
    command = [sys.executable, "-m", "bench.viewers", "--watch", *streams]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    counted: list[int] = []
    try:
        yield lambda: sum(counted)
    finally:
        out, _ = process.communicate("\n", timeout=60)
        counted.extend(json.loads(out))
    if min(counted) < _LEAST_PARTS:
        raise RuntimeError(f"a viewer was sent no picture: {counted}")


def watch(streams: Sequence[str]) -> int:
    """Read every stream until a line comes in; says as JSON how many pictures each one gave."""
    with contextlib.suppress(OSError):
        os.nice(19)  # the machine on which people look is another one
    counts, stop = [0] * len(streams), threading.Event()

    def read(number: int) -> None:
        with urllib.request.urlopen(streams[number], timeout=30) as answer:
            while not stop.is_set() and (line := answer.readline()):
                if line.lower().startswith(b"content-length:"):
                    counts[number] += 1
                    answer.readline()
                    answer.readline()
                    answer.read(int(line.split(b":")[1]))

    for number in range(len(streams)):
        threading.Thread(target=read, args=(number,), daemon=True).start()
    sys.stdin.readline()
    stop.set()
    print(json.dumps(counts))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
