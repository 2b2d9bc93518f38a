"""The unit B of the benches: a bare ONNX Runtime run of a model, fp32 as it is, one thread, nothing around it.

    python -m bench.bare MODEL.onnx [--runs N]

Prints JSON: seconds to load (import, session, first run), median ms of a run, its CPU ms.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
Call = Callable[[], object]


def bare(model: Path, *, runs: int = 20) -> dict[str, float]:
    """`load_s`, `run_ms`, `cpu_ms`, measured in a process of its own."""
    command = [sys.executable, "-m", "bench.bare", str(model), "--runs", str(runs)]
    figures: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT).stdout)
    return figures


def opened(model: Path) -> Call:
    """A run of `model` on noise, warmed up."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    picture = np.random.default_rng(0).random(given.shape, np.float32)
    session.run(None, {given.name: picture})
    return lambda: session.run(None, {given.name: picture})


def medians_ms(calls: Sequence[Call]) -> dict[str, float]:
    """`run_ms` and `cpu_ms` of each, their medians."""
    return interleaved_ms([calls], 1)[0]


def interleaved_ms(sides: Sequence[Sequence[Call]], rounds: int) -> list[dict[str, float]]:
    """Per side the medians of its calls; sides take turns, so that what else the machine does meets all alike."""
    times: list[list[tuple[float, float]]] = [[] for _ in sides]
    for _ in range(rounds):
        for taken, calls in zip(times, sides, strict=True):
            taken += [_timed(call) for call in calls]
    medians = [np.median(np.array(taken), axis=0) * 1e3 for taken in times]
    return [{"run_ms": round(float(wall), 3), "cpu_ms": round(float(cpu), 3)} for wall, cpu in medians]


def paced_ms(calls: Sequence[Call], *, fps: float, warm_up: int = 0) -> dict[str, float]:
    """Medians of the calls, one every 1/`fps` s as a camera paces them, p99, and the mean CPU ms; `warm_up` do not count.

    Between two the processor sleeps, its clock falls and its caches are others': a call costs more than in a row.
    """
    taken, due = [], time.perf_counter()
    for call in calls:
        time.sleep(max(0.0, due - time.perf_counter()))
        due = max(due, time.perf_counter()) + 1.0 / fps
        taken.append(_timed(call))
    wall, cpu = np.array(taken[warm_up:]).T * 1e3
    figures = {
        "run_ms": float(np.median(wall)),
        "p99_ms": float(np.percentile(wall, 99)),
        "cpu_ms": float(np.median(cpu)),
        "mean_cpu_ms": float(cpu.mean()),
    }
    return {key: round(value, 3) for key, value in figures.items()}


def _timed(call: Call) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description="The bare model run.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--runs", type=int, default=20)
    chosen = parser.parse_args()
    begun = time.perf_counter()
    run = opened(chosen.model)
    loaded = time.perf_counter()
    print(json.dumps({"load_s": round(loaded - begun, 3), **medians_ms([run] * chosen.runs)}))


if __name__ == "__main__":
    main()
