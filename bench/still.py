"""What watching costs while nothing happens: CPU per frame of a 1080p still scene, gate closed, over B.

    python -m bench.still [--shared DIR] [--fps F] [--seconds S] [--keyframes] [--json FILE]

The empty room of the one-by-one clip with a camera's noise, over loopback RTSP, into the real service with its
default config. `--keyframes` has the idle camera decoded by its key frames alone (motion.idle_decode; one every 2 s here), which the
floor does not. B's CPU time is measured before and after. The floor is decoding and the motion gate alone: once in a
row (medians), and once at the camera's pace, asleep between two pictures, where both cost more (means, as the service's
own figure is one: a key frame is several times as dear).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import av
import numpy as np

from detector.analytics.motion import MotionGate
from detector.capture.av_image import AvImage
from detector.config.schema import MotionSettings

from .bare import Call, bare, medians_ms, paced_ms
from .drawn import Coded, still
from .floor import decoding, decoding_paced
from .glass import CLIP, SIZE
from .lineup import reference
from .mqtt import brokers
from .rtsp import BenchCamera
from .subjects import ROOT, Process, ServiceSubject, inbox, wait_for

TARGET = 0.12
_SETTLE_S = 5.0  # until the gate has closed


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("DETECTOR_SHARED", ROOT.parent / "shared")))
    parser.add_argument("--fps", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--keyframes", action="store_true")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(arguments)
    if not (chosen.shared / CLIP).is_file():
        print(f"no {chosen.shared / CLIP}: give --shared or set DETECTOR_SHARED", file=sys.stderr)
        return 1
    motion = {"idle_decode": "keyframes", "idle_after_s": 1} if chosen.keyframes else {}
    coded = still(chosen.shared / CLIP, fps=chosen.fps, size=SIZE)
    figures = measure(coded, reference(chosen.shared), chosen.seconds, motion)
    print(
        f"still scene: {figures['cpu_ms_per_frame']:.2f} ms CPU a frame, {figures['over_b']:.3f} B (target: {TARGET})"
    )
    print(f"decoding and the gate alone: {figures['floor_ms']:.2f} ms, {figures['floor_over_b']:.3f} B;", end=" ")
    print(f"at the camera's pace {figures['paced_floor_ms']:.2f} ms, {figures['paced_floor_over_b']:.3f} B;", end=" ")
    print(f"{figures['looked_at']} of {figures['frames']} frames went to the model")
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0 if figures["over_b"] <= TARGET else 1


def measure(
    coded: Coded, model: Path, seconds: float, motion: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """CPU ms per frame that the camera sent, over the CPU ms of B."""
    service, units = ServiceSubject("still scene", {}, gated=True, **motion), [bare(model)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (
            BenchCamera(coded, folder / "released") as camera,
            next(iter(brokers().values()))() as port,
            inbox(port) as box,
        ):
            process = Process(service.command(folder, camera.url, port), folder / "said")
            try:
                wait_for(lambda: service.done(box) > 0, process, service.name)
                time.sleep(_SETTLE_S)
                begun, cpu, looked_at = time.monotonic(), process.cpu_s, service.done(box)
                time.sleep(seconds)
                ended, cpu = time.monotonic(), process.cpu_s - cpu
                looked_at = service.done(box) - looked_at
            finally:
                process.end()
            frames = sum(begun <= mono < ended for _, _, mono in camera.released())
    units.append(bare(model))
    unit = float(np.median([one["cpu_ms"] for one in units]))
    floor, paced = decoding(coded)["cpu_ms"] + _gate_ms(coded), decoding_paced(coded)["mean_cpu_ms"]
    paced += _paced_gate_ms(coded)
    return {
        "fps": coded.fps,
        "frames": frames,
        "looked_at": looked_at,
        "cpu_ms_per_frame": round(cpu / frames * 1e3, 3),
        "b_cpu_ms": unit,
        "over_b": round(cpu / frames * 1e3 / unit, 4),
        "floor_ms": round(floor, 3),
        "floor_over_b": round(floor / unit, 4),
        "paced_floor_ms": round(paced, 3),
        "paced_floor_over_b": round(paced / unit, 4),
    }


def _gate_ms(coded: Coded) -> float:
    """CPU ms of the motion gate for one picture."""
    return medians_ms(_looks(coded))["cpu_ms"]


def _paced_gate_ms(coded: Coded) -> float:
    """Mean CPU ms of it at the camera's pace."""
    return paced_ms(_looks(coded), fps=coded.fps)["mean_cpu_ms"]


def _looks(coded: Coded) -> list[Call]:
    codec, gate = av.CodecContext.create("h264", "r"), MotionGate(settings=MotionSettings())
    assert isinstance(codec, av.VideoCodecContext)
    images = [AvImage(frame) for unit in coded.units for frame in codec.decode(av.Packet(unit))]
    return [partial(gate.assess, image, i / coded.fps, people=False) for i, image in enumerate(images)]


if __name__ == "__main__":
    raise SystemExit(main())
