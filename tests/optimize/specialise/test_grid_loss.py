"""The loss is small where the grid says what is marked, and leads there."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.optimize


def grid(torch: Any, objectness: float) -> Any:
    """Rows of an input of 64x64 px: nobody anywhere."""
    rows = torch.zeros(1, 84, 6)
    rows[..., 4], rows[..., 5] = objectness, 0.5
    return rows


def target(torch: Any, *persons: list[float], unsure: tuple[list[float], ...] = ()) -> Any:
    from detector.optimize.specialise.grid_loss import GridTarget

    boxes = [torch.tensor(list(each)).reshape(-1, 4) for each in (persons, unsure)]
    return GridTarget(persons=boxes[0], unsure=boxes[1])


def loss(torch: Any, rows: Any, wanted: Any) -> float:
    from detector.optimize.specialise.grid_loss import GridCells, grid_loss

    return float(grid_loss(rows, [wanted], GridCells.of(64, 64)))


def test_cells_decode_as_detection_does(torch: Any) -> None:
    import numpy as np

    from detector.inference.decode import make_decoder
    from detector.inference.layout import Layout
    from detector.optimize.specialise.grid_loss import GridCells

    rows = torch.rand(1, 84, 6, generator=torch.Generator().manual_seed(1))
    rows[..., 4:] = 0.05
    rows[0, 40, 4:] = 0.9
    decode = make_decoder(Layout(kind="yolox-grid", width=64, height=64, classes=1))
    boxes, scores = decode([rows.numpy()], 0.5)
    assert scores.tolist() == pytest.approx([0.81])
    assert np.allclose(boxes[0], GridCells.of(64, 64).boxes(rows)[0, 40].numpy(), atol=1e-4)


def test_an_empty_picture_wants_no_objects(torch: Any) -> None:
    assert loss(torch, grid(torch, 0.0), target(torch)) < 0.01
    assert loss(torch, grid(torch, 0.5), target(torch)) > 10.0


def test_where_it_is_unsure_nothing_is_taught(torch: Any) -> None:
    everywhere = [0.0, 0.0, 64.0, 64.0]
    assert loss(torch, grid(torch, 0.5), target(torch, unsure=(everywhere,))) == 0.0


def test_descent_finds_the_person(torch: Any) -> None:
    from detector.optimize.specialise.grid_loss import GridCells, grid_loss, iou_table

    person = [20.0, 10.0, 44.0, 58.0]
    raw = grid(torch, 0.0).requires_grad_(True)
    optimizer, cells = torch.optim.Adam([raw], lr=0.1), GridCells.of(64, 64)
    for _ in range(150):
        rows = torch.cat([raw[..., :4], raw[..., 4:].sigmoid()], -1)
        found = grid_loss(rows, [target(torch, person)], cells)
        optimizer.zero_grad()
        found.backward()
        optimizer.step()
    rows = rows.detach()
    best = int((rows[0, :, 4] * rows[0, :, 5]).argmax())
    assert float(rows[0, best, 4] * rows[0, best, 5]) > 0.7
    assert float(iou_table(cells.boxes(rows)[0, best : best + 1], torch.tensor([person]))[0, 0]) > 0.8
