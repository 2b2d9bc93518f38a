from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from detector.core.errors import InferenceError
from detector.core.types import ArrayImage, Detections, Frame
from detector.service.model_probes import ModelProbes
from support.inference import WALKER, RunningInference, end_to_end_model
from support.visits import frame


class Stumbling:
    """A model that fails in one way or another."""

    input_size = (64, 64)

    def __init__(self, error: Exception) -> None:
        self.error = error

    def detect(self, frame: Frame) -> Detections:
        raise self.error


def asked(probes: ModelProbes, answers: list[Detections | None]) -> threading.Thread:
    thread = threading.Thread(target=lambda: answers.append(probes.detect(frame(), timeout_s=20)))
    thread.start()
    return thread


@pytest.mark.parametrize("error", [InferenceError("NaN"), ValueError("torn picture")])
def test_a_failure_is_no_answer_and_harms_nobody(error: Exception) -> None:
    probes, answers = ModelProbes(), list[Detections | None]()
    thread = asked(probes, answers)
    while thread.is_alive():
        probes.run_one(Stumbling(error))
    assert answers == [None]


def test_without_a_model_there_is_no_answer() -> None:
    probes, answers = ModelProbes(), list[Detections | None]()
    thread = asked(probes, answers)
    while thread.is_alive():
        probes.run_one(None)
    assert answers == [None]


def test_who_has_given_up_is_not_answered() -> None:
    probes = ModelProbes()
    assert probes.detect(frame(), timeout_s=0.01) is None
    probes.run_one(Stumbling(AssertionError("asked in vain")))


def test_the_running_loop_answers_and_nothing_is_tracked_or_alerted(tmp_path: Path) -> None:
    with RunningInference(end_to_end_model(tmp_path / "seeing.onnx", [WALKER])) as shop:
        shop.model.wait_loaded(20)
        picture = ArrayImage(np.full((64, 64, 3), 90, np.uint8))
        for number in range(10):
            probe = Frame(camera="a", seq=number, captured_mono=0.0, captured_wall=0.0, image=picture)
            found = shop.probes.detect(probe, timeout_s=20)
            assert found is not None
            assert len(found.boxes) == 1
        assert shop.probes.input_size == (64, 64)
    assert (shop.findings.changes, shop.findings.alerts) == ([], [])
    assert shop.channel().view.scene() is None
