"""What several models agree on is a person; what one alone sees is unsure."""

from __future__ import annotations

import numpy as np
import pytest

from detector.core.types import ArrayImage, Floats
from detector.models.registry import load_registry
from detector.optimize.specialise.teachers import PictureLabels, TeacherPanel, fused


def seen(*rows: tuple[float, float, float, float, float]) -> tuple[Floats, Floats]:
    table = np.array(rows, np.float32).reshape(-1, 5)
    return table[:, :4], table[:, 4]


def test_most_teachers_make_a_person_and_fewer_are_unsure() -> None:
    alone = (200.0, 0.0, 240.0, 90.0, 0.9)
    found = fused([seen((0, 0, 40, 100, 0.9), alone), seen((2, 0, 42, 100, 0.3)), seen((0, 0, 40, 104, 0.6))])
    assert np.allclose(found.persons, [[0.333, 0, 40.333, 101.333]], atol=0.01)  # weighed by score
    assert np.allclose(found.unsure, [alone[:4]])


def test_half_of_the_teachers_is_not_most() -> None:
    found = fused([seen((0, 0, 40, 100, 0.9)), seen()])
    assert len(found.persons) == 0
    assert len(found.unsure) == 1


def test_a_teacher_has_one_vote_a_person() -> None:
    twice = seen((0, 0, 40, 100, 0.9), (1, 0, 41, 100, 0.8))
    found = fused([twice, seen(), seen()])
    assert len(found.persons) == 0


def test_weak_boxes_have_no_vote() -> None:
    found = fused([seen((0, 0, 40, 100, 0.9)), seen((0, 0, 40, 100, 0.2))])
    assert len(found.persons) == 0


def test_labels_survive_json() -> None:
    labels = fused([seen((0, 0, 40, 100, 0.9)), seen((0, 0, 40, 100, 0.9))])
    again = PictureLabels.from_json(labels.to_json())
    assert np.array_equal(again.persons, labels.persons)
    assert again.unsure.shape == (0, 4)


def test_one_teacher_is_refused() -> None:
    from detector.core.errors import ModelError

    with pytest.raises(ModelError, match="at least 2 with --teacher"):
        TeacherPanel(
            load_registry(),
            ["yolox-nano"],
            ArrayImage(np.zeros((90, 120, 3), np.uint8)),
            threads=1,
            report=lambda *_: None,
        )
