"""Whoever had pictures has the last word."""

from __future__ import annotations

from typing import Any

import pytest

from detector.config.model_settings import Model
from detector.models.autotune import worker_process
from detector.models.autotune.candidates import Candidate
from detector.models.autotune.choice import Choice, place, read, write
from detector.models.autotune.samples import CalibrationSet
from detector.models.autotune.worker_process import keep
from detector.models.registry import Resolved

SHAPE = (160, 128)
BY_PICTURES = Choice(taken=Candidate(threads=1), why="pictures", shapes=(SHAPE,), scenes=("porch-1",))


@pytest.mark.parametrize(
    ("evidence", "stays"), [(None, "pictures"), (CalibrationSet(calibration=(), held_out=()), "mine")]
)
def test_a_choice_by_pictures_made_meanwhile(
    evidence: CalibrationSet | None, stays: str, resolved: Resolved, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Model(name=str(resolved.path), threads=1)
    path = place(model, resolved)
    mine = Choice(taken=Candidate(threads=1), why="mine", shapes=(SHAPE,))

    def slow(*_: Any) -> Choice:
        write(path, BY_PICTURES)  # another process, while this one measures
        return mine

    monkeypatch.setattr(worker_process, "tune", slow)
    assert keep(model, (SHAPE,), evidence).why == stays
    assert getattr(read(path), "why", None) == stays
    monkeypatch.setattr(worker_process, "tune", lambda *_: mine)
    assert keep(model, (SHAPE,), None).why == "mine", "what was there before is measured anew on demand"
