"""From cells to the document, and from that to the page."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from detector.optimize.study.data import Calibration
from detector.optimize.study.measure import Speed
from detector.optimize.study.noise import Ratio
from detector.optimize.study.report import certainty, method, page, points
from detector.optimize.study.settle import Settled
from detector.optimize.study.study import Cell, StudyOutcome
from detector.optimize.study.verdict import document
from support.studies import cell, drop, made_up_set, request, variant

WHOLE, PERSON = variant(), variant(person_only=True)
INT8 = variant("int8", person_only=True)


def outcome(*cells: Cell, **changed: Any) -> StudyOutcome:
    values: dict[str, Any] = {
        "cells": list(cells),
        "failed": {},
        "reference": {"set": {"ap": 0.5, "ap50": 0.75}},
        "eager": None,
        "files": {},
        "sensor": None,
    }
    return StudyOutcome(**{**values, **changed})


@pytest.fixture
def asked(tmp_path: Path) -> Any:
    base = request(tmp_path, sets=[made_up_set("set")])
    return lambda **changed: dataclasses.replace(base, **changed)


def test_factors_are_of_the_same_rounds_and_ms_of_one_scale(asked: Any) -> None:
    # The second group ran while the machine was half as fast: its ms alone would mislead.
    slow = cell(INT8, 10.0, 0.499, ort=20.0, eager=40.0)
    found = document(asked(), outcome(cell(WHOLE, 10.0, 0.5), cell(PERSON, 8.0, 0.5), slow))
    rows = {row["label"]: row for row in found["cells"]}
    assert rows[str(INT8)]["over_onnxruntime"] == pytest.approx(2.0)
    assert rows[str(INT8)]["over_eager"] == pytest.approx(4.0)
    assert rows[str(INT8)]["p50_ms"] == pytest.approx(5.0)
    assert rows[str(INT8)]["raw_p50_ms"] == 10.0
    assert rows[str(INT8)]["drop"] == pytest.approx(0.1)
    assert found["winner"] == str(INT8)
    assert found["noise"] == pytest.approx(0.0)


def test_the_worst_set_decides(asked: Any) -> None:
    both = {"set": {"ap": 0.5, "ap50": 0.7}, "other": {"ap": 0.48, "ap50": 0.7}}
    one = cell(PERSON, 5.0, 0.5)
    one = dataclasses.replace(one, accuracy=both, drops={"set": drop(0.0), "other": drop(0.02)})
    reference = {"set": {"ap": 0.5, "ap50": 0.75}, "other": {"ap": 0.5, "ap50": 0.75}}
    found = document(asked(), outcome(one, reference=reference))
    assert found["cells"][0]["drop"] == pytest.approx(2.0)
    assert found["winner"] is None


def test_without_pytorch_the_reason_stands(asked: Any) -> None:
    found = document(asked(), outcome(cell(WHOLE, 10.0, 0.5, eager="no such operator")))
    assert found["baselines"]["eager"]["reason"] == "no such operator"
    assert found["cells"][0]["over_eager"] is None
    text = page(found, config=None)
    assert "left out: no such operator" in text
    assert "How many times faster than ONNX Runtime FP32" in text


def test_the_page_needs_nothing_from_elsewhere(asked: Any) -> None:
    failed = {variant("int8-mixed"): "a <b>reason</b> & more"}
    found = document(asked(name="<script>x</script>"), outcome(cell(PERSON, 10.0, 0.5), cell(INT8, 4.0, 0.49), failed=failed))  # fmt: skip
    text = page(found, config="model: {name: <x>}")
    assert not re.search(r"<script|<link|@import|url\((?!#)|src=", text)
    assert "&lt;script&gt;" in text
    assert "a &lt;b&gt;reason&lt;/b&gt; &amp; more" in text
    addresses = set(re.findall(r"https?://[^\"'\s<]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}  # names, nothing is fetched
    for drawn in re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL):
        assert ET.fromstring(drawn).get("viewBox")
    assert len(re.findall("<svg", text)) == 3
    assert json.loads(json.dumps(found)) == found


def test_the_page_says_who_won_or_that_nobody_did(asked: Any) -> None:
    cells = cell(WHOLE, 10.0, 0.5), cell(INT8, 4.0, 0.49)
    assert f"Chosen: <b>{WHOLE}</b>" in page(document(asked(), outcome(*cells)), config=None)
    nobody = document(asked(max_drop=-1.0), outcome(*cells))
    assert nobody["winner"] is None
    assert "there is no winner" in page(nobody, config=None)


def test_the_method_owns_up(asked: Any, tmp_path: Path) -> None:
    note = "truth: 40 pictures were in both"
    calibration = Calibration(folder=tmp_path, names=(), pictures=[], digest="0", note=note)
    told = " ".join(method(document(asked(calibration=calibration), outcome(cell(WHOLE, 11.0, 0.5)))))
    assert "Pictures: truth: 40 pictures were in both." in told
    assert "100 persons in set" in told
    assert "differs by 10.0% at worst" in told
    assert "PyTorch eager was not measured" in told
    assert "no sensor" in told
    assert "INT8 was left out" in " ".join(method(document(asked(), outcome(cell(WHOLE, 11.0, 0.5)))))


def test_points_lost_are_negative() -> None:
    assert [points(value) for value in (0.5, -0.25, 0.0, -0.001)] == ["-0.50", "+0.25", "+0.00", "+0.00"]


def test_what_is_not_proven_does_not_win(asked: Any) -> None:
    fast = dataclasses.replace(cell(INT8, 4.0, 0.497), drops={"set": drop(0.003, wider=1.5)})
    found = document(asked(), outcome(cell(PERSON, 10.0, 0.5), fast))
    row = next(row for row in found["cells"] if row["label"] == str(INT8))
    assert (row["drop"], row["drop_bound"]) == pytest.approx((0.3, 1.8))
    assert not row["within_budget"]
    assert row["not_proven"] == "not proven with 100 persons: -0.30, at most -1.80 points of AP (0.5 are allowed)"
    assert found["winner"] == str(PERSON)


def with_rounds(one: Cell, *noise: float) -> Cell:
    """The cell, its rounds scattered around its time as given; the baseline's stand still."""
    ms = one.speed.p50_ms
    quiet: dict[str, Speed | str] = {name: dataclasses.replace(s, round_ms=(s.p50_ms,) * 9) for name, s in one.baselines.items() if isinstance(s, Speed)}  # fmt: skip
    rounds = tuple(ms * (1 + noise[number % len(noise)]) for number in range(9))
    return dataclasses.replace(one, speed=dataclasses.replace(one.speed, round_ms=rounds), baselines=quiet)


def test_o12_a_tie_is_called_one_and_broken_by_the_rule(asked: Any) -> None:
    """6 % apart with noise of more is no victory."""
    fast = with_rounds(cell(INT8, 4.0, 0.5), -0.2, 0.0, 0.2)
    near = with_rounds(cell(PERSON, 4.2, 0.5), -0.2, 0.0, 0.2)
    smaller = dataclasses.replace(near, bytes=500_000)
    found = document(asked(), outcome(fast, smaller))
    assert found["winner"] == str(PERSON)
    assert found["tie"]["tied"]
    told = " ".join(certainty(found))
    assert f"A tie: {INT8}; {PERSON} cannot be told apart by the noise of its rounds" in told
    assert "broken by the smaller file, then the name" in told
    assert "a tie, broken by the smaller file, then the name" in page(found, config=None)


def test_what_was_settled_decides(asked: Any) -> None:
    fast, near = (with_rounds(cell(what, ms, 0.5), -0.2, 0.0, 0.2) for what, ms in ((INT8, 4.0), (PERSON, 4.2)))
    ratios = {str(PERSON): Ratio(median=1.0, low=1.0, high=1.0), str(INT8): Ratio(median=1.05, low=1.04, high=1.06)}
    settled = Settled(fastest=str(PERSON), ratios=ratios, tied=(), rounds=12, seconds=3.5, limit_s=60.0)
    found = document(asked(), outcome(fast, near, settled=settled))
    assert found["winner"] == str(PERSON)
    told = certainty(found)
    assert f"First place: {PERSON}, told from the others in 12 rounds together (3.5 s)." in told
    assert f"  {INT8}: 1.050 times the fastest's time (1.040 to 1.060)" in told
