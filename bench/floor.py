"""What cannot be gone below: the bare run of a service's model beside B, and the decoding of a picture.

    python -m bench.floor REFERENCE.onnx MODEL_SECTION_AS_JSON [--rounds N] [--fps F]

Prints JSON: seconds to load the model as the service does (runtime's import, session, first run), median ms and CPU
ms of its bare run with the threads that the service would use, and both over B's, interleaved in the same process.
With --fps also, as "paced": the same with the sleep between two runs that a camera of that rate makes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from detector.capture.rtsp.access_units import AccessUnit
from detector.capture.rtsp.decode import Decoder
from detector.config.model_settings import Model
from detector.core.types import ArrayImage
from detector.models.autotune.loader import AutotunedLoader
from detector.models.loading import resolve

from .bare import ROOT, interleaved_ms, medians_ms, opened, paced_ms
from .caches import environment
from .drawn import Coded

_PICTURE = (1080, 1920, 3)
_WARM_UP = 5  # calls at the camera's pace before any counts


def floor(
    reference: Path, model: dict[str, Any], *, rounds: int = 25, fps: float | None = None, cache: Path | None = None
) -> dict[str, Any]:
    """As the module's command, in a process of its own; `cache` is the service's own."""
    command = [sys.executable, "-m", "bench.floor", str(reference), json.dumps(model), "--rounds", str(rounds)]
    command += ["--fps", str(fps)] if fps is not None else []
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT, env=environment(cache))
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def decoding(coded: Coded, *, units: int = 60) -> dict[str, float]:
    """Median ms and CPU ms of one picture in the service's own decoder."""
    decoder = Decoder(codec="h264", parameter_sets=())
    return medians_ms([partial(decoder.decode, _unit(i, data)) for i, data in enumerate(coded.units[:units])])


def decoding_paced(coded: Coded, *, units: int = 60) -> dict[str, float]:
    """The same at the clip's own rate, and the mean CPU ms: key frames are dear, and no median shows them."""
    decoder = Decoder(codec="h264", parameter_sets=())
    calls = [partial(decoder.decode, _unit(i, data)) for i, data in enumerate(_around(coded, units + _WARM_UP))]
    return paced_ms(calls, fps=coded.fps, warm_up=_WARM_UP)


def decoding_together(coded: Coded, first: int, end: int, *, rounds: int = 9) -> float:
    """Median ms of decoding the pictures from `first`, a key frame, up to `end`, one right after the other."""
    decoder = Decoder(codec="h264", parameter_sets=())
    units = [_unit(i, data) for i, data in enumerate(coded.units[first:end])]

    def decode() -> None:
        decoder.forget()
        for unit in units:
            decoder.decode(unit)

    return medians_ms([decode] * rounds)["run_ms"]


def _around(coded: Coded, count: int) -> list[bytes]:
    """`count` pictures; the clip begins anew where it ends, as the bench's camera sends it."""
    return list(islice(cycle(coded.units), count))


def _unit(index: int, data: bytes) -> AccessUnit:
    return AccessUnit(
        data=data, parameters=b"", timestamp=index, mono=0.0, key=index == 0, reference=True, damaged=False
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="The bare run of a service's model beside B.")
    parser.add_argument("reference", type=Path)
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--fps", type=float)
    chosen = parser.parse_args()
    section = Model.model_validate(json.loads(chosen.model))
    resolved = resolve(section)
    begun = time.perf_counter()
    detector = AutotunedLoader(section, resolved)()  # what the service loads
    detector.warm_up()
    load_s = time.perf_counter() - begun
    detector.detect_image(ArrayImage(np.random.default_rng(0).integers(0, 255, _PICTURE, np.uint8)))
    own, unit = interleaved_ms([[detector.run_bare], [opened(chosen.reference)]], chosen.rounds)
    ratios = {f"{key.removesuffix('_ms')}_over_b": round(own[key] / unit[key], 3) for key in own}
    figures: dict[str, Any] = {"load_s": round(load_s, 3), **own, **ratios}
    if chosen.fps is not None:
        runs = [detector.run_bare] * (chosen.rounds + _WARM_UP)
        figures["paced"] = paced_ms(runs, fps=chosen.fps, warm_up=_WARM_UP)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
