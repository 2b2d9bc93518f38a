"""What a still scene costs beside a busy one: CPU time of the real service on a clip of each.

    python -m bench.cpu [--shared DIR] [--seconds S] [--json FILE]

Both clips are made from vtest.avi, same size, rate and codec: the clip itself, and its first frame with a
camera's noise. The service runs as a process for each, paced, with the default config.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import av
import numpy as np
import yaml

from detector.capture.factory import file_source
from detector.core.types import Pixels

ROOT = Path(__file__).resolve().parents[1]
FPS, FRAMES, NOISE = 10, 300, 2.0
TARGET = 0.2
_TICK = os.sysconf("SC_CLK_TCK")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("DETECTOR_SHARED", ROOT.parent / "shared")))
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(arguments)
    video = chosen.shared / "media" / "video" / "vtest.avi"
    if not video.is_file():
        print(f"no {video}: give --shared or set DETECTOR_SHARED", file=sys.stderr)
        return 1
    figures = measure(video, chosen.seconds)
    print(f"CPU of one core: busy {figures['busy_percent']:.1f} %, still {figures['still_percent']:.1f} %")
    print(f"still over busy: {figures['still_over_busy']:.3f} (target: at most {TARGET})")
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0 if figures["still_over_busy"] <= TARGET else 1


def measure(video: Path, seconds: float) -> dict[str, float]:
    """`busy_percent` and `still_percent` of one core, and their ratio; two rounds each, interleaved."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        busy, still = folder / "busy.mp4", folder / "still.mp4"
        frames = _frames(video)
        _encode(busy, frames)
        _encode(still, _noisy(frames[0]))
        rounds = [(_cpu_percent(busy, folder, seconds), _cpu_percent(still, folder, seconds)) for _ in range(2)]
    busy_percent, still_percent = (float(np.mean(values)) for values in zip(*rounds, strict=True))
    return {
        "busy_percent": round(busy_percent, 2),
        "still_percent": round(still_percent, 2),
        "still_over_busy": round(still_percent / busy_percent, 4),
    }


def _frames(video: Path) -> list[Pixels]:
    source = file_source(video)
    source.open()
    frames = [source.read().image.bgr() for _ in range(FRAMES)]
    source.close()
    return frames


def _noisy(frame: Pixels) -> Iterable[Pixels]:
    random = np.random.default_rng(0)
    for _ in range(FRAMES):
        noise = random.normal(0.0, NOISE, frame.shape)
        yield np.clip(frame + noise, 0, 255).astype(np.uint8)


def _encode(path: Path, frames: Iterable[Pixels]) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "23", "preset": "veryfast"})
        for index, pixels in enumerate(frames):
            if index == 0:
                stream.height, stream.width = pixels.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        container.mux(stream.encode(None))


def _cpu_percent(clip: Path, folder: Path, seconds: float) -> float:
    """CPU of the service on `clip`, start-up left out."""
    config = {
        "cameras": {"a": {"source": str(clip), "loop": True}},
        "mqtt": {"embedded": {"port": 0}},
        "api": {"port": 0},
        "data_dir": str(folder / "data"),
    }
    path = folder / "detector.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    process = subprocess.Popen([sys.executable, "-m", "detector", "run", "-c", str(path)], stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        while b"camera a is online" not in (line := process.stderr.readline()):
            if not line:
                raise RuntimeError("the service ended by itself")
        time.sleep(3.0)  # the first looks at a scene are not its usual ones
        begun, before = time.monotonic(), _cpu_seconds(process.pid)
        time.sleep(seconds)
        return 100.0 * (_cpu_seconds(process.pid) - before) / (time.monotonic() - begun)
    finally:
        process.terminate()
        process.communicate(timeout=30)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


if __name__ == "__main__":
    raise SystemExit(main())
