"""Each lever's own factor."""

from __future__ import annotations

import pytest

from detector.optimize.study.factors import levers
from detector.optimize.study.variant import Variant
from support.studies import SIDE, variant

BASE = (SIDE, SIDE)


def test_pairs_differ_in_one_thing_alone() -> None:
    ms = {
        variant(): 40.0,
        variant(person_only=True): 36.0,
        variant("int8", person_only=True): 18.0,  # no whole head to compare the head with, and no fp32 one of its own
        variant(person_only=True, shape=(SIDE, 64)): 24.0,
        variant(person_only=True, threads=2): 20.0,
        variant(backend="openvino"): 44.0,
        variant(backend="openvino", half=True): 22.0,
        variant("int8-convolutions", backend="openvino"): 11.0,
    }
    drops = dict.fromkeys(ms, 0.0) | {variant("int8", person_only=True): 0.4}
    found = {lever.name: lever for lever in levers(ms, drops, BASE)}
    assert {name: round(lever.factor, 3) for name, lever in found.items()} == {
        "person-only head": 1.111,
        f"input {SIDE}x64 for {SIDE}x{SIDE}": 1.5,
        "int8 on ONNX Runtime": 2.0,
        "int8-convolutions on OpenVINO, over fp32": 4.0,
        "int8-convolutions on OpenVINO, over its half precision": 2.0,
        "OpenVINO for ONNX Runtime": 0.909,
        "half precision on OpenVINO": 2.0,
        "2 threads for 1": 1.8,
    }
    assert found["int8 on ONNX Runtime"].points == pytest.approx(0.4)


def test_median_and_ends_over_the_pairs() -> None:
    ms: dict[Variant, float] = {}
    for threads, (whole, person) in {1: (10.0, 5.0), 2: (9.0, 3.0), 4: (8.0, 1.0)}.items():
        ms |= {variant(threads=threads): whole, variant(threads=threads, person_only=True): person}
    drops = dict.fromkeys(ms, 0.0)
    lever = next(each for each in levers(ms, drops, BASE) if each.name == "person-only head")
    assert (lever.factor, lever.least, lever.most, lever.pairs) == (3.0, 2.0, 8.0, 3)
