"""Many cameras on one worker: is each looked at as often as the others, also when there are too many?

    python -m bench.cameras [--shared DIR] [--cameras N] [--fps F] [--seconds S] [--model M] [--json FILE]

N cameras of 1080p H.264 over loopback RTSP, the real service, every frame of each camera wanted. Fair: the frames
looked at differ between cameras by at most 10 %. Where the machine cannot do it all, the status must say so.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from detector.service.overload import WINDOW_S

from .drawn import Coded, draw
from .glass import CLIP, SIZE
from .mqtt import free_port
from .rtsp import BenchCamera
from .subjects import Process

ROOT = Path(__file__).resolve().parents[1]
TARGET = 0.1
_SETTLE_S, _START_S = 5.0, 90.0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("DETECTOR_SHARED", ROOT.parent / "shared")))
    parser.add_argument("--cameras", type=int, default=8)
    parser.add_argument("--fps", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--model", default="yolox-tiny-person")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(arguments)
    if not (chosen.shared / CLIP).is_file():
        print(f"no {chosen.shared / CLIP}: give --shared or set DETECTOR_SHARED", file=sys.stderr)
        return 1
    coded = draw(chosen.shared / CLIP, fps=chosen.fps, size=SIZE)
    figures = measure(coded, chosen.cameras, chosen.model, chosen.seconds)
    print(f"frames looked at in {figures['seconds']} s: {', '.join(map(str, figures['looked_at'].values()))}")
    print(f"cameras differ by {figures['spread']:.1%} (target: at most {TARGET:.0%}); {figures['per_s']:.1f} frames/s")
    print(
        f"of {chosen.cameras * chosen.fps} wanted; CPU {figures['cpu_percent']:.0f} % of a core, {figures['rss_mib']} MiB"
    )
    print(f"the status says: {'; '.join(figures['problems']) or 'all is well'}")
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0 if figures["spread"] <= TARGET else 1


def measure(coded: Coded, cameras: int, model: str, seconds: float) -> dict[str, Any]:
    """Frames looked at per camera over `seconds`, and what the status document says at their end."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder, port = Path(name), free_port()
        urls = {f"c{i}": stack.enter_context(BenchCamera(coded, folder / f"released{i}")).url for i in range(cameras)}
        process = Process(
            [sys.executable, "-m", "detector", "run", "-c", str(service_config(folder, urls, model, port))],
            folder / "said",
        )
        stack.callback(process.end)
        wait_until_all_are_seen(port, urls, process)
        time.sleep(_SETTLE_S)
        begun, cpu, before = time.monotonic(), process.cpu_s, detected(status_of(port))
        time.sleep(max(seconds, WINDOW_S + 1))
        status, taken = status_of(port), time.monotonic() - begun
        looked_at = {camera: count - before[camera] for camera, count in detected(status).items()}
        return {
            "seconds": round(taken, 1),
            "looked_at": looked_at,
            "spread": 1 - min(looked_at.values()) / max(looked_at.values()),
            "per_s": sum(looked_at.values()) / taken,
            "cpu_percent": 100 * (process.cpu_s - cpu) / taken,
            "rss_mib": round(process.memory_mib("VmRSS")),
            "problems": status["problems"],
        }


def service_config(folder: Path, urls: dict[str, str], model: str, port: int, **sections: Any) -> Path:
    """The file of a service with these cameras, every frame of which is wanted; `sections` are added."""
    cameras = {name: {"source": url, "motion": {"enabled": False}} for name, url in urls.items()}
    document = {
        "model": {"name": model},
        "cameras": cameras,
        "mqtt": {"embedded": {"port": 0}},
        "api": {"port": port},
        "data_dir": str(folder / "data"),
        **sections,
    }
    path = folder / "detector.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def wait_until_all_are_seen(port: int, urls: dict[str, str], process: Process) -> None:
    """Until each camera was looked at; raises RuntimeError where that does not come."""
    deadline = time.monotonic() + _START_S
    while True:
        try:
            if all(detected(status_of(port)).values()):
                return
        except OSError:
            pass  # not listening yet
        if process.ended() or time.monotonic() > deadline:
            raise RuntimeError(f"not all of {len(urls)} cameras were looked at")
        time.sleep(0.2)


def status_of(port: int) -> dict[str, Any]:
    """The service's status document."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status", timeout=10) as answer:
        document: dict[str, Any] = json.load(answer)
        return document


def detected(status: dict[str, Any]) -> dict[str, int]:
    """How many frames of each camera were looked at since the start."""
    return {name: int(camera["detected"] or 0) for name, camera in status["cameras"].items()}


if __name__ == "__main__":
    raise SystemExit(main())
