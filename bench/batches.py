"""Does it pay on a CPU to run several cameras' pictures at once? One run of N over N runs of one, interleaved.

    python -m bench.batches [--batch N] [--rounds R] [--threads T] [--models DIR] [--json]

Below 1 it pays. The service runs one picture at a time on a CPU because of this; a picture that waits for three
others is late as well.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from detector.inference.backends.onnxruntime import OnnxRuntimeBackend
from detector.models.engines.prepare import prepare

MODELS = ("yolox_tiny_humanart", "yolox_nano", "yolov10n")
SHARED = Path(__file__).resolve().parents[2] / "shared/models"


def opened(path: Path, folder: Path, batch: int) -> Path:
    """The model for so many pictures, as an engine would be built from it."""
    made = folder / path.name
    made.write_bytes(prepare(path, batch=batch).content)
    return made


def ratio(path: Path, *, batch: int, rounds: int, threads: int) -> float:
    backend = OnnxRuntimeBackend(path=path, threads=threads)
    height, width = (side or 0 for side in backend.inputs[0].shape[2:])
    pictures = np.random.default_rng(0).random((batch, 3, height, width), np.float32)

    def together() -> None:
        backend.run(pictures)

    def apart() -> None:
        for index in range(batch):
            backend.run(pictures[index : index + 1])

    found = [_timed(together) / _timed(apart) for _ in range(rounds + 2)]
    return statistics.median(found[2:])  # the first ones warm up


def _timed(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--models", type=Path, default=SHARED)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in MODELS:
            path = opened(given.models / f"{name}.onnx", Path(folder), given.batch)
            figures[name] = ratio(path, batch=given.batch, rounds=given.rounds, threads=given.threads)
    if given.json:
        print(json.dumps({"batch": given.batch, "threads": given.threads, "together_over_apart": figures}))
        return
    for name, figure in figures.items():
        print(f"{name:24}{given.batch} at once / {given.batch} apart, {given.threads} thread(s): {figure:.2f}")


if __name__ == "__main__":
    main()
