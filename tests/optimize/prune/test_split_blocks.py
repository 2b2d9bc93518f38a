"""C2f blocks taken apart and put together: the very same numbers, and ultralytics' own classes again."""

from __future__ import annotations

import copy
from typing import Any

import pytest

pytestmark = pytest.mark.optimize


@pytest.mark.parametrize("config", ["yolov10n.yaml", "yolov8n.yaml", "yolo11n.yaml"])
def test_halves_give_the_same_numbers(config: str, torch: Any) -> None:
    from detector.optimize.export import ultralytics_models
    from detector.optimize.prune.network import raw
    from detector.optimize.prune.split_blocks import join, split

    model = ultralytics_models.build(config)
    picture = torch.rand(1, 3, 96, 128, generator=torch.Generator().manual_seed(1))
    work = copy.deepcopy(model)
    blocks = split(work)
    with torch.no_grad():
        before, between = raw(model, picture), raw(work, picture)
        join(work)
        after = raw(work, picture)
    assert len(blocks) == 8
    for found in (between, after):
        assert torch.allclose(found.scores, before.scores, atol=1e-5, rtol=0)
        assert torch.allclose(found.boxes, before.boxes, atol=1e-5, rtol=0)
    assert [type(layer) for layer in work.model] == [type(layer) for layer in model.model]


def test_unequal_halves_cannot_be_joined(torch: Any) -> None:
    from detector.optimize.export import ultralytics_models
    from detector.optimize.prune.split_blocks import join, split

    model = ultralytics_models.build("yolov8n.yaml")
    split(model)[0].second.conv.out_channels -= 8
    with pytest.raises(ValueError, match="halves of 16 and 8 channels"):
        join(model)
