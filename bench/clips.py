"""What clips cost: CPU and memory of the service with clips over those without, at the same camera at the same time.

    python -m bench.clips [--shared DIR] [--seconds S] [--rounds N] [--json FILE]

Two real services watch one 1080p camera over loopback RTSP, one with clips (5 s before and 10 s after each alert) and
one without, so that whatever else the machine does slows both; they are started in turn, which of them first changes
with each round. Two scenes: people who come all the time, so that clips are written without a pause (every frame goes
to the model), and a still one, where only decoding and the motion gate are left to compare with.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from detector.capture.recording.ring import RING_BYTES

from .drawn import Coded, draw, still
from .glass import CLIP, SIZE
from .lineup import FP32, services
from .mqtt import brokers
from .rtsp import BenchCamera
from .subjects import ROOT, Process, ServiceSubject, inbox, wait_for

TARGET = 1.03
FPS = 10
_SETTLE_S = 8.0  # until the gate of the still scene has closed, and the ring is full
_CLIP = {"enabled": True, "pre_s": 5, "post_s": 10}


class ClipSubject(ServiceSubject):
    """The service with clips, or without."""

    def __init__(self, model: dict[str, Any], *, clips: bool, gated: bool) -> None:
        super().__init__("clips on" if clips else "clips off", model, gated=gated)
        self._clip = _CLIP if clips else {"enabled": False}

    def command(self, folder: Path, url: str, broker: int) -> list[str]:
        command = super().command(folder, url, broker)
        path = Path(command[-1])
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        config["cameras"]["cam"]["clip"] = self._clip
        config["device"] = {"id": "on" if self._clip["enabled"] else "off"}
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        return command


@dataclass(slots=True, kw_only=True)
class ClipCost:
    """Of one scene: CPU s and frames looked at, by `on` and `off`; what the service with clips tells of them."""

    cpu_s: dict[str, float]
    looked_at: dict[str, int]
    rss_mib: dict[str, float]
    written: int = 0
    held_bytes: int = 0
    seconds: float = 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("DETECTOR_SHARED", ROOT.parent / "shared")))
    parser.add_argument("--seconds", type=float, default=25.0, help="of each round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(arguments)
    clip = chosen.shared / CLIP
    if not clip.is_file():
        print(f"no {clip}: give --shared or set DETECTOR_SHARED", file=sys.stderr)
        return 1
    model = next(one.model for one in services(chosen.shared) if one.name == FP32)
    scenes = {"people": draw(clip, fps=FPS, size=SIZE), "still": still(clip, fps=FPS, size=SIZE)}
    found = {name: measure(coded, model, name, chosen.seconds, chosen.rounds) for name, coded in scenes.items()}
    figures = {"fps": FPS, "ring_bytes": RING_BYTES, "scenes": found}
    for name, one in found.items():
        print(
            f"{name}: {one['on_percent']:.2f} % of a core with clips, {one['off_percent']:.2f} % without, "
            f"ratio {one['ratio']:.4f} (target: at most {TARGET}); {one['written']} clips, "
            f"{one['held_bytes'] / 1e6:.1f} MB held, {one['rss_mib']:+.1f} MiB"
        )
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0 if all(one["ratio"] <= TARGET for one in found.values()) else 1


def measure(coded: Coded, model: dict[str, Any], scene: str, seconds: float, rounds: int) -> dict[str, Any]:
    """The scene's figures over all rounds."""
    total = ClipCost(cpu_s={"on": 0.0, "off": 0.0}, looked_at={"on": 0, "off": 0}, rss_mib={"on": 0.0, "off": 0.0})
    ratios = []
    for number in range(rounds):
        order = ("on", "off") if number % 2 else ("off", "on")
        one = _round(coded, model, order, gated=scene == "still", seconds=seconds)
        ratios.append(one.cpu_s["on"] / one.cpu_s["off"])
        for key in order:
            total.cpu_s[key] += one.cpu_s[key]
            total.looked_at[key] += one.looked_at[key]
            total.rss_mib[key] += one.rss_mib[key] / rounds
        total.written += one.written
        total.held_bytes = max(total.held_bytes, one.held_bytes)
        total.seconds += one.seconds
    return {
        "on_percent": round(100.0 * total.cpu_s["on"] / total.seconds, 2),
        "off_percent": round(100.0 * total.cpu_s["off"] / total.seconds, 2),
        "ratio": round(total.cpu_s["on"] / total.cpu_s["off"], 4),
        "ratios": [round(ratio, 4) for ratio in ratios],
        "looked_at": total.looked_at,
        "seconds": round(total.seconds, 1),
        "written": total.written,
        "held_bytes": total.held_bytes,
        "rss_mib": round(total.rss_mib["on"] - total.rss_mib["off"], 1),
    }


def _round(coded: Coded, model: dict[str, Any], order: Sequence[str], *, gated: bool, seconds: float) -> ClipCost:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        camera = stack.enter_context(BenchCamera(coded, folder / "released"))
        port = stack.enter_context(next(iter(brokers().values()))())
        box = stack.enter_context(inbox(port))
        subjects = {key: ClipSubject(model, clips=key == "on", gated=gated) for key in order}
        running: dict[str, Process] = {}
        for key, subject in subjects.items():
            (folder / key).mkdir()
            running[key] = Process(subject.command(folder / key, camera.url, port), folder / f"{key}.said")
            stack.callback(running[key].end)
            wait_for(lambda subject=subject: subject.done(box) > 0, running[key], subject.name)  # type: ignore[misc]
        time.sleep(_SETTLE_S)
        return _compared(subjects, running, seconds)


def _compared(subjects: dict[str, ClipSubject], running: dict[str, Process], seconds: float) -> ClipCost:
    before = {key: subject.status() for key, subject in subjects.items()}
    begun, cpu = time.monotonic(), {key: process.cpu_s for key, process in running.items()}
    time.sleep(seconds)
    took = time.monotonic() - begun
    cpu = {key: process.cpu_s - cpu[key] for key, process in running.items()}
    after = {key: subject.status() for key, subject in subjects.items()}
    clips = after["on"]["clips"]
    return ClipCost(
        cpu_s=cpu,
        looked_at={key: _looked_at(after[key]) - _looked_at(before[key]) for key in subjects},
        rss_mib={key: process.memory_mib("VmRSS") for key, process in running.items()},
        written=clips["written"],
        held_bytes=clips["recording"]["cam"]["held_bytes"],
        seconds=took,
    )


def _looked_at(status: dict[str, Any]) -> int:
    return int(status["cameras"]["cam"]["detected"])


if __name__ == "__main__":
    raise SystemExit(main())
