from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from detector.core.errors import ModelError
from detector.core.types import ArrayImage
from detector.inference.detector import PersonDetector
from detector.inference.factory import load_detector
from detector.models.engines.build_accepted import EngineCandidate, first_accepted, precisions
from detector.models.engines.builder import BuildCancelledError
from support.graphs import write_constant, write_convolution
from support.inference import SIZE, WALKER, end_to_end_model

PICTURES = [ArrayImage(np.zeros((SIZE, SIZE, 3), np.uint8))] * 6


def _open(path: Path) -> PersonDetector:
    return load_detector(path=path, name=path.name, threads=1)


def test_the_first_that_agrees_is_taken_and_the_others_are_told_of(tmp_path: Path) -> None:
    seeing = end_to_end_model(tmp_path / "seeing.onnx", [WALKER])
    nan = end_to_end_model(tmp_path / "nan.onnx", [[*WALKER[:4], float("nan"), 0]])
    blind = end_to_end_model(tmp_path / "blind.onnx", [])
    heard: list[tuple[str, bool]] = []
    choice = first_accepted(
        [
            EngineCandidate(name="absent", open=partial(_open, tmp_path / "absent.onnx")),
            EngineCandidate(name="int8", open=partial(_open, blind)),
            EngineCandidate(name="fp16", open=partial(_open, nan)),
            EngineCandidate(name="fp32", open=partial(_open, seeing)),
            EngineCandidate(name="never", open=partial(pytest.fail, "the one before was good enough")),
        ],
        reference=partial(_open, seeing),
        pictures=lambda: PICTURES,
        judged=lambda name, verdict: heard.append((name, verdict.accepted)),
    )
    assert choice.taken == "fp32"
    assert heard == [("int8", False), ("fp16", False), ("fp32", True)]
    assert list(choice.refused) == ["absent", "int8", "fp16"]
    assert choice.note is not None
    assert "int8 was refused: it misses 6 of 6 persons" in choice.note
    assert "fp16 was refused: it failed on picture 1" in choice.note


def test_none_is_taken_where_none_agrees(tmp_path: Path) -> None:
    seeing = end_to_end_model(tmp_path / "seeing.onnx", [WALKER])
    blind = end_to_end_model(tmp_path / "blind.onnx", [])
    choice = first_accepted(
        [EngineCandidate(name="fp16", open=partial(_open, blind))],
        reference=partial(_open, seeing),
        pictures=lambda: PICTURES,
    )
    assert (choice.taken, choice.verdict) == (None, None)


def test_a_stop_is_no_refusal(tmp_path: Path) -> None:
    def stopped() -> PersonDetector:
        raise BuildCancelledError("stopped")

    seeing = end_to_end_model(tmp_path / "seeing.onnx", [WALKER])
    with pytest.raises(BuildCancelledError):
        first_accepted(
            [EngineCandidate(name="fp16", open=stopped)], reference=partial(_open, seeing), pictures=lambda: PICTURES
        )


def test_what_is_tried_follows_the_file(tmp_path: Path) -> None:
    plain = write_constant(tmp_path / "m.onnx", {"output0": np.zeros((1, 300, 6), np.float32)})
    assert precisions(plain) == ("fp16", "fp32")
    assert precisions(plain, calibrated=True) == ("int8", "fp16", "fp32")
    assert precisions(plain, "fp32") == ("fp32",)
    assert precisions(write_convolution(tmp_path / "q.onnx", quantised=True)) == ("int8",)
    assert precisions(write_convolution(tmp_path / "h.onnx", half=True)) == ("fp16",)
    with pytest.raises(ModelError):
        precisions(tmp_path / "none.onnx")
