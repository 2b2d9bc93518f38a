"""What cannot be gone below: the bare run of a service's model beside B, and the decoding of a picture.

    python -m bench.floor REFERENCE.onnx MODEL_SECTION_AS_JSON [--rounds N]

Prints JSON: seconds to load the model as the service does (runtime's import, session, first run), median ms and CPU
ms of its bare run with the threads that the service would use, and both over B's, interleaved in the same process.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from detector.capture.rtsp.access import AccessUnit
from detector.capture.rtsp.decode import Decoder
from detector.config import Model
from detector.loading import resolve
from detector.tuning.serve import ChosenLoader
from detector.types import ArrayImage

from .bare import ROOT, interleaved_ms, medians_ms, opened
from .caches import environment
from .drawn import Coded

_PICTURE = (1080, 1920, 3)


def floor(reference: Path, model: dict[str, Any], *, rounds: int = 25, cache: Path | None = None) -> dict[str, float]:
    """As the module's command, in a process of its own; `cache` is the service's own."""
    command = [sys.executable, "-m", "bench.floor", str(reference), json.dumps(model), "--rounds", str(rounds)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT, env=environment(cache))
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def decoding(coded: Coded, *, units: int = 60) -> dict[str, float]:
    """Median ms and CPU ms of one picture in the service's own decoder."""
    decoder = Decoder(codec="h264", parameter_sets=())
    return medians_ms([partial(decoder.decode, _unit(i, data)) for i, data in enumerate(coded.units[:units])])


def _unit(index: int, data: bytes) -> AccessUnit:
    return AccessUnit(
        data=data, parameters=b"", timestamp=index, mono=0.0, key=index == 0, reference=True, damaged=False
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="The bare run of a service's model beside B.")
    parser.add_argument("reference", type=Path)
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=25)
    chosen = parser.parse_args()
    section = Model.model_validate(json.loads(chosen.model))
    resolved = resolve(section)
    begun = time.perf_counter()
    detector = ChosenLoader(section, resolved)()  # what the service loads
    detector.warm_up()
    load_s = time.perf_counter() - begun
    detector.detect_image(ArrayImage(np.random.default_rng(0).integers(0, 255, _PICTURE, np.uint8)))
    own, unit = interleaved_ms([[detector.run_bare], [opened(chosen.reference)]], chosen.rounds)
    ratios = {f"{key.removesuffix('_ms')}_over_b": round(own[key] / unit[key], 3) for key in own}
    print(json.dumps({"load_s": round(load_s, 3), **own, **ratios}))


if __name__ == "__main__":
    main()
