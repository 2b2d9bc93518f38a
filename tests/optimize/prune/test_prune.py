"""Pruning of real networks: the work target is met, outputs keep their form, what matters stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from detector.core.errors import ModelError, UsageError

pytestmark = pytest.mark.optimize
SIZE = (160, 160)


def pictures(torch: Any, shared: Path, count: int = 6) -> list[Any]:
    from detector.optimize.prune.dataset import Dataset

    data = Dataset(folder=shared / "media" / "coco" / "images", size=(320, 320))
    return [torch.from_numpy(data.plain(index).picture[None]) for index in range(count)]


@pytest.mark.parametrize("config", ["yolov10n.yaml", "yolov8n.yaml", "yolo11n.yaml"])
def test_every_family_meets_its_target(config: str, torch: Any) -> None:
    from detector.optimize.export import ultralytics_models
    from detector.optimize.prune.network import raw
    from detector.optimize.prune.prune import prune

    model = ultralytics_models.build(config)
    weights = [value.clone() for value in model.state_dict().values()]
    done = prune(model, macs=0.7, size=SIZE)
    assert 0.6 < done.after.macs / done.before.macs <= 0.7
    assert done.after.parameters < done.before.parameters
    assert all(after % 8 == 0 for before, after in done.widths.values() if after != before)
    picture = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        before, after = raw(done.original, picture), raw(done.model, picture)
    assert (after.scores.shape, after.boxes.shape) == (before.scores.shape, before.boxes.shape)
    assert all(torch.equal(one, other) for one, other in zip(weights, model.state_dict().values(), strict=True))


def test_multiply_accumulates_are_counted_right(torch: Any) -> None:
    from detector.optimize.prune.network import positions, size_of

    layers = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=2, padding=1),
        torch.nn.Conv2d(8, 8, 3, padding=1, groups=8),
        torch.nn.Conv2d(8, 4, 1),
    )
    size = size_of(layers, positions(layers, 64, 32))
    assert size.macs == 32 * 16 * (8 * 3 * 9 + 8 * 9 + 4 * 8)
    assert size.parameters == (8 * 27 + 8) + (8 * 9 + 8) + (4 * 8 + 4)


def test_a_channel_without_effect_goes_first(checkpoint: Path, torch: Any, shared: Path) -> None:
    from detector.optimize.export import ultralytics_models
    from detector.optimize.prune.importance import magnitude, sensitivity

    model = ultralytics_models.load(checkpoint)
    norm = model.model[3].bn
    with torch.no_grad():
        norm.weight[5] = norm.bias[5] = 0.0
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    for scores in (sensitivity(model, pictures(torch, shared, 2)), magnitude(model)):
        assert float(scores[norm][5]) == 0.0
        assert int((scores[norm] == 0.0).sum()) == 1
        assert all(bool((found >= 0).all()) for found in scores.values())


def test_pictures_choose_better_than_magnitudes(checkpoint: Path, torch: Any, shared: Path) -> None:
    from detector.optimize.export import ultralytics_models
    from detector.optimize.prune.network import raw
    from detector.optimize.prune.prune import prune

    model = ultralytics_models.load(checkpoint)
    seen = pictures(torch, shared, 10)
    gaps = []
    for judges in (seen[:6], []):
        done = prune(model, macs=0.93, size=SIZE, pictures=judges)
        with torch.no_grad():
            pairs = [
                (raw(done.model, p).scores[:, 0].sigmoid(), raw(done.original, p).scores[:, 0].sigmoid())
                for p in seen[6:]
            ]
        gaps.append(sum(float((one - other).abs().sum()) for one, other in pairs))
    assert gaps[0] < 0.5 * gaps[1], "on pictures that neither was shown"


def test_the_same_seed_gives_the_same_network(checkpoint: Path, torch: Any, shared: Path) -> None:
    from detector.optimize.export import ultralytics_models
    from detector.optimize.prune.prune import prune

    model, judges = ultralytics_models.load(checkpoint), pictures(torch, shared, 1)
    one, other = (prune(model, macs=0.97, size=SIZE, pictures=judges, seed=4).model.state_dict() for _ in range(2))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_what_cannot_be_pruned_is_said(torch: Any) -> None:
    from detector.optimize.export import ultralytics_models
    from detector.optimize.prune.prune import prune

    model = ultralytics_models.build("yolov8n.yaml")
    with pytest.raises(UsageError, match=r"must lie in 0\.2\.\.1"):
        prune(model, macs=1.0, size=SIZE)
    with pytest.raises(UsageError, match="is the least that pruning can leave here"):
        prune(model, macs=0.2, size=SIZE, round_to=64)
    model.model[-1] = torch.nn.Identity()
    with pytest.raises(ModelError, match="ends in Identity"):
        prune(model, macs=0.5, size=SIZE)
