"""What bench.optimize tells of studies, and the pictures that it judges by."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from bench.optimize import section
from bench.street import WIDE, Cut, street
from detector.optimize.study.study import StudyOutcome
from detector.optimize.study.verdict import document
from support.studies import cell, made_up_set, request, variant

WHOLE, INT8 = variant(), variant("int8", person_only=True)


def outcome(ms: float) -> StudyOutcome:
    cells = [cell(WHOLE, 10.0, 0.5), cell(INT8, ms, 0.499)]
    return StudyOutcome(
        cells=cells, failed={}, reference={"set": {"ap": 0.5, "ap50": 0.75}}, eager=None, files={}, sensor=None
    )


@pytest.mark.parametrize(("ms", "verdict"), [(4.0, "5: met"), (4.1, "5: missed")])
def test_a_target_is_held_against_the_winner(ms: float, verdict: str, tmp_path: Path) -> None:
    asked = request(tmp_path, sets=[made_up_set("set")])
    study = document(asked, outcome(ms))
    lines = section({"small": {"square": study}})
    row = next(line for line in lines if line.startswith("| small"))
    assert f"| {verdict} |" in row
    assert f"| {INT8} | -0.10 | {ms:.1f} | {20 / ms:.2f} |" in row
    why = [line for line in lines if "cannot be reached here" in line]
    assert len(why) == (verdict == "5: missed")
    assert all("reaches 4.88" in line and "takes only 2.00 times as long" in line for line in why)


def test_no_winner_is_a_missed_target(tmp_path: Path) -> None:
    asked = dataclasses.replace(request(tmp_path, sets=[made_up_set("set")]), max_drop=-1.0)
    lines = section({"small": {"wide": document(asked, outcome(4.0))}})
    assert any("none within the budget" in line and "8 missed" in line for line in lines)


def test_the_street_cut_to_16_9(shared: Path, tmp_path: Path) -> None:
    images, annotations = street(shared / "media" / "video", tmp_path, "wide", step=100, cut=WIDE)
    found = json.loads(annotations.read_text())
    assert {(one["width"], one["height"]) for one in found["images"]} == {(768, 432)}
    assert np.asarray(cv2.imread(str(images / found["images"][0]["file_name"]))).shape == (432, 768, 3)
    assert len(list(images.iterdir())) == len(found["images"]) == 8
    assert len(found["annotations"]) > 20


def test_who_is_hardly_seen_in_a_cut_is_neither_found_nor_missed(shared: Path, tmp_path: Path) -> None:
    _, annotations = street(shared / "media" / "video", tmp_path, "band", step=100, cut=Cut(top=240, height=100))
    found = json.loads(annotations.read_text())["annotations"]
    for box in found:
        _, top, _, height = box["bbox"]
        assert top >= 0
        assert 0 < height <= 100 - top + 1e-6
    assert 0 < sum(box["iscrowd"] for box in found) < len(found)
