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
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]


def bare(model: Path, *, runs: int = 40) -> dict[str, float]:
    """`load_s`, `run_ms`, `cpu_ms`, measured in a process of its own."""
    command = [sys.executable, "-m", "bench.bare", str(model), "--runs", str(runs)]
    figures: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT).stdout)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description="The bare model run.")
    parser.add_argument("model")
    parser.add_argument("--runs", type=int, default=40)
    chosen = parser.parse_args()
    begun = time.perf_counter()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(chosen.model, options, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    picture = np.random.default_rng(0).random(given.shape, np.float32)
    session.run(None, {given.name: picture})
    loaded = time.perf_counter()
    walls, cpus = [], []
    for _ in range(chosen.runs):
        wall, cpu = time.perf_counter(), time.process_time()
        session.run(None, {given.name: picture})
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    print(
        json.dumps(
            {
                "load_s": round(loaded - begun, 3),
                "run_ms": round(float(np.median(walls)) * 1e3, 3),
                "cpu_ms": round(float(np.median(cpus)) * 1e3, 3),
            }
        )
    )


if __name__ == "__main__":
    main()
