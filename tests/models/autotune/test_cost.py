"""What a form is ranked by, and that the two sides of a measurement are told apart."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from detector.core.types import ArrayImage
from detector.inference.factory import load_detector
from detector.models.autotune.cost import Cost, interleaved, price
from support.graphs import write_constant


def test_a_second_core_for_a_fifth_less_latency_is_no_gain() -> None:
    one, two = Cost(ms=10, cpu_ms=10), Cost(ms=8, cpu_ms=16)
    assert price(one, exact=True) < price(two, exact=True)
    assert price(Cost(ms=6, cpu_ms=12), exact=True) < price(one, exact=True), "two fifths less for a fifth more is one"


def test_an_inexact_form_must_win_by_more_than_noise() -> None:
    assert price(Cost(ms=10, cpu_ms=10), exact=True) < price(Cost(ms=9.9, cpu_ms=9.9), exact=False)
    assert price(Cost(ms=9, cpu_ms=9), exact=False) < price(Cost(ms=10, cpu_ms=10), exact=True)


def test_each_side_gets_its_own_figures(tmp_path: Path) -> None:
    path = write_constant(
        tmp_path / "m.onnx", {"output0": np.zeros((1, 300, 6), np.float32)}, input_shape=(1, 3, 64, 64)
    )
    quick, slow = (load_detector(path=path, name=name, threads=1) for name in ("quick", "slow"))
    run = slow._backend.run

    def working(tensor: object) -> object:
        until = time.process_time() + 0.004
        while time.process_time() < until:
            pass
        return run(tensor)  # type: ignore[arg-type]

    slow._backend.run = working  # type: ignore[method-assign,assignment]
    first, second = interleaved(quick, slow, ArrayImage(np.zeros((64, 64, 3), np.uint8)), rounds=2)
    assert second.cpu_ms >= 4
    assert second.ms >= 4
    assert first.cpu_ms < second.cpu_ms
    quick.close()
    slow.close()
