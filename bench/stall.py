"""After a stall: how soon is the newest picture worked on, and not ten seconds of old ones first?

    python -m bench.stall [--shared DIR] [--stall S] [--rounds N] [--json FILE]

The real service on a 1080p camera is stopped (SIGSTOP) for ten seconds while the camera goes on, then let go. It is
recovered when the model has seen a picture that the camera sent last before that moment, or later; that is noted in
its process (bench.seen). The pictures since the last key frame must be decoded before it: those very ones are timed,
in the service's own decoder, the key frame included. One more model run may stand before it, the one that was under
way; hence the target: decoding, then at most one run to wait.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .drawn import Coded, draw
from .floor import decoding_together, floor
from .glass import CLIP, SIZE
from .lineup import FP32, reference, services
from .mqtt import brokers
from .rtsp import BenchCamera
from .seen import seen
from .subjects import ROOT, Inbox, Process, ServiceSubject, SubjectError, wait_for

_GIVE_UP_S, _PAUSE_S = 15.0, 0.1
_SETTLE_S = 10.0  # after a start forms of the model are made and one takes over: that is not what is measured
_KEY_S = 2  # between key frames, as bench.drawn codes


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """`ms` from the end of the stall until a new picture was seen, which is the `backlog`th since its key frame.

    `decode_ms` is what decoding those takes.
    """

    ms: float
    backlog: int
    decode_ms: float


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("DETECTOR_SHARED", ROOT.parent / "shared")))
    parser.add_argument("--stall", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(arguments)
    if not (chosen.shared / CLIP).is_file():
        print(f"no {chosen.shared / CLIP}: give --shared or set DETECTOR_SHARED", file=sys.stderr)
        return 1
    service = next(one for one in services(chosen.shared) if one.name == FP32)
    coded = draw(chosen.shared / CLIP, fps=10, size=SIZE)
    recoveries = [_recovery(service, coded, chosen.stall) for _ in range(chosen.rounds)]
    own = floor(reference(chosen.shared), service.model)["run_ms"]
    figures = _figures(recoveries, run_ms=own)
    print(
        f"after {chosen.stall:g} s: the newest picture was seen {figures['recovered_ms']:.0f} ms after its end; of these",
        end=" ",
    )
    print(f"{figures['decode_ms']:.0f} decoding {figures['backlog']} pictures, {own:.0f} its own model run:", end=" ")
    print(f"it waited {figures['waited_ms']:.0f} ms (target: one run, {own:.0f} ms)")
    if chosen.json:
        chosen.json.write_text(json.dumps({"stall_s": chosen.stall, **figures}, indent=1) + "\n", encoding="utf-8")
    return 0 if figures["waited_ms"] <= own else 1


def _figures(recoveries: Sequence[Recovery], *, run_ms: float) -> dict[str, Any]:
    """Of the round in the middle by what it waited: what neither decoding nor the run explains."""

    def waited(one: Recovery) -> float:
        return max(0.0, one.ms - one.decode_ms - run_ms)

    one = sorted(recoveries, key=waited)[(len(recoveries) - 1) // 2]
    return {
        "recovered_ms": round(one.ms, 1),
        "backlog": one.backlog,
        "decode_ms": round(one.decode_ms, 1),
        "run_ms": round(run_ms, 1),
        "waited_ms": round(waited(one), 1),
        "rounds_waited_ms": [round(waited(each), 1) for each in recoveries],
    }


def _recovery(service: ServiceSubject, coded: Coded, stall_s: float) -> Recovery:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        notes = folder / "seen"
        with BenchCamera(coded, folder / "released") as camera, next(iter(brokers().values()))() as port:
            python, _, _, *arguments = service.command(folder, camera.url, port)
            process = Process([python, "-m", "bench.seen", str(notes), *arguments], folder / "said")
            try:
                wait_for(lambda: service.done(Inbox()) > 0, process, service.name)
                time.sleep(_SETTLE_S)
                os.kill(process.pid, signal.SIGSTOP)
                time.sleep(stall_s)
                ended = time.monotonic()
                os.kill(process.pid, signal.SIGCONT)
                ms, number = _until_new(service.name, camera, coded, notes, ended)
            finally:
                process.end()
    key = number - number % (_KEY_S * coded.fps)
    decode_ms = decoding_together(coded, key, number + 1)
    return Recovery(ms=ms, backlog=number + 1 - key, decode_ms=decode_ms)


def _until_new(name: str, camera: BenchCamera, coded: Coded, notes: Path, ended: float) -> tuple[float, int]:
    """After how many ms the first new picture was seen, and its number in the clip."""
    while time.monotonic() < ended + _GIVE_UP_S:
        time.sleep(_PAUSE_S)
        released = camera.released()
        for number, mono in seen(notes):
            sent = [at for _, one, at in released if one == number and at <= mono]
            if mono > ended and sent and sent[-1] > ended - 1 / coded.fps:
                return (mono - ended) * 1e3, number
    raise SubjectError(f"{name}: no new picture within {_GIVE_UP_S:.0f} s after the stall")


if __name__ == "__main__":
    raise SystemExit(main())
