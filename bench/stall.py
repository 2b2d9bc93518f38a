"""After a stall: how soon is the newest picture worked on, and not ten seconds of old ones first?

    python -m bench.stall [--shared DIR] [--stall S] [--rounds N] [--json FILE]

The real service on a 1080p camera is stopped (SIGSTOP) for ten seconds while the camera goes on, then let go. The
live picture is asked for until it is one that the camera sent last before that moment, or later; it shows what the
model has seen. What must be decoded since the last key frame is counted from the camera's own record. One more model
run may stand before it, the one that was under way; hence the target: decoding, then at most one run to wait.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .drawn import Coded, draw
from .floor import decoding, floor
from .glass import CLIP, SIZE
from .lineup import FP32, reference, services
from .mqtt import brokers
from .rtsp import Camera
from .subjects import ROOT, Inbox, Process, Service, SubjectError, number_in, wait_for

_SETTLE_S, _GIVE_UP_S, _PAUSE_S = 3.0, 15.0, 0.005
_KEY_S = 2  # between key frames, as bench.drawn codes


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """`ms` from the end of the stall to the first new live picture, which is the `backlog`th since its key frame."""

    ms: float
    asking_ms: float
    backlog: int


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("DETECTOR_SHARED", ROOT.parent / "shared")))
    parser.add_argument("--stall", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(arguments)
    if not (chosen.shared / CLIP).is_file():
        print(f"no {chosen.shared / CLIP}: give --shared or set DETECTOR_SHARED", file=sys.stderr)
        return 1
    service = next(one for one in services(chosen.shared) if one.name == FP32)
    coded = draw(chosen.shared / CLIP, fps=10, size=SIZE)
    recoveries = [_recovery(service, coded, chosen.stall) for _ in range(chosen.rounds)]
    own = floor(reference(chosen.shared), service.model)["run_ms"]
    figures = _figures(recoveries, run_ms=own, decode_ms=decoding(coded)["run_ms"])
    print(
        f"after {chosen.stall:g} s: the newest picture was seen {figures['recovered_ms']:.0f} ms after its end; of these",
        end=" ",
    )
    print(f"{figures['decode_ms']:.0f} decoding {figures['backlog']} pictures, {own:.0f} its own model run,")
    print(f"{figures['asking_ms']:.0f} asking: it waited {figures['waited_ms']:.0f} ms (target: one run, {own:.0f} ms)")
    if chosen.json:
        chosen.json.write_text(json.dumps({"stall_s": chosen.stall, **figures}, indent=1) + "\n", encoding="utf-8")
    return 0 if figures["waited_ms"] <= own else 1


def _figures(recoveries: Sequence[Recovery], *, run_ms: float, decode_ms: float) -> dict[str, Any]:
    """Of the round in the middle; `waited_ms` is what neither decoding, nor the run, nor the asking explains."""
    one = sorted(recoveries, key=lambda r: r.ms)[(len(recoveries) - 1) // 2]
    decoded = one.backlog * decode_ms
    return {
        "recovered_ms": round(one.ms, 1),
        "backlog": one.backlog,
        "decode_ms": round(decoded, 1),
        "asking_ms": round(one.asking_ms, 1),
        "run_ms": round(run_ms, 1),
        "waited_ms": round(max(0.0, one.ms - decoded - run_ms - one.asking_ms), 1),
    }


def _recovery(service: Service, coded: Coded, stall_s: float) -> Recovery:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Camera(coded, folder / "released") as camera, next(iter(brokers().values()))() as port:
            process = Process(service.command(folder, camera.url, port), folder / "said")
            try:
                wait_for(lambda: service.done(Inbox()) > 0, process, service.name)
                time.sleep(_SETTLE_S)
                asking = statistics.median(_asked(service)[1] for _ in range(5))
                os.kill(process.pid, signal.SIGSTOP)
                time.sleep(stall_s)
                ended = time.monotonic()
                os.kill(process.pid, signal.SIGCONT)
                return _until_new(service, camera, coded, ended, asking)
            finally:
                process.end()


def _until_new(service: Service, camera: Camera, coded: Coded, ended: float, asking_ms: float) -> Recovery:
    while time.monotonic() < ended + _GIVE_UP_S:
        number, _ = _asked(service)
        arrived = time.monotonic()
        sent = [mono for _, one, mono in camera.released() if one == number and mono <= arrived]
        if sent and sent[-1] > ended - 1 / coded.fps:
            since_key = number % (_KEY_S * coded.fps) + 1
            return Recovery(ms=(arrived - ended) * 1e3, asking_ms=asking_ms, backlog=since_key)
        time.sleep(_PAUSE_S)
    raise SubjectError(f"{service.name}: no new picture within {_GIVE_UP_S:.0f} s after the stall")


def _asked(service: Service) -> tuple[int, float]:
    """The number of the live picture, and the ms that asking for it took."""
    begun = time.perf_counter()
    with urllib.request.urlopen(service.url("/api/cameras/cam/latest.jpg"), timeout=5) as answer:
        jpeg = answer.read()
    return number_in(jpeg), (time.perf_counter() - begun) * 1e3


if __name__ == "__main__":
    raise SystemExit(main())
