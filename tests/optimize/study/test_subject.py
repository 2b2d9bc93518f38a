"""PyTorch checkpoints as a study runs them: as they are loaded, and with their normalisation folded."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from detector.capture.pictures import folder_pictures
from detector.optimize.study.subject import open_checkpoint
from support.studies import assert_same_persons

pytestmark = [
    pytest.mark.optimize,
    pytest.mark.skipif(find_spec("ultralytics") is None, reason="needs ultralytics"),
]


@pytest.mark.parametrize("folded", [False, True])
def test_a_checkpoint_sees_what_its_export_sees(folded: bool, shared: Path) -> None:
    pictures = list(folder_pictures(shared / "media/coco/images", count=8))
    detector = open_checkpoint(shared / "models" / "yolov10n.pt", (640, 640), 1, score_floor=0.5, folded=folded)
    # The same network, but its weights went through half precision: unsure boxes differ.
    assert_same_persons(shared / "models" / "yolov10n.onnx", detector, pictures, score=0.01, px=3.0)


def test_folding_takes_every_normalisation_away(shared: Path) -> None:
    import torch

    calls = {}
    picture = next(folder_pictures(shared / "media/coco/images", count=1))
    for folded in (False, True):
        detector = open_checkpoint(shared / "models" / "yolov10n.pt", (640, 640), 1, folded=folded)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            detector.detect_image(picture)
        calls[folded] = {event.key for event in profile.key_averages()}
    assert "aten::batch_norm" in calls[False]
    assert "aten::batch_norm" not in calls[True]
