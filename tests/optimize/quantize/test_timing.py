"""Times in turns: the larger model is the slower one, whatever else the machine does."""

from __future__ import annotations

from pathlib import Path

import onnx

from detector.inference.factory import load_detector
from detector.optimize.quantize.timing import race
from support.networks import network


def test_the_larger_one_is_slower_in_either_order(tmp_path: Path) -> None:
    detectors = []
    for side in (96, 640):  # 44 times the pixels
        path = tmp_path / f"{side}.onnx"
        onnx.save(network("dense", width=side, height=side), str(path))
        detectors.append(load_detector(path=path, name="m", threads=1))
    small, large = race(detectors, rounds=5)
    assert large > small
    large, small = race(detectors[::-1], rounds=5)
    assert large > small
    for detector in detectors:
        detector.close()
