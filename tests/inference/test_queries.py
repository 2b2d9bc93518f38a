"""Transformer detectors: boxes and scores of queries, read as they are meant."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from detector.core.errors import InferenceError, ModelError
from detector.core.types import ArrayImage
from detector.inference.decode import make_decoder
from detector.inference.layout import Layout, default_spec, find_layout
from detector.inference.preprocess import Letterbox
from detector.inference.tensors import TensorSpec

WIDTH, HEIGHT, QUERIES = 128, 64, 30


def find(
    classes: int, metadata: dict[str, str] | None = None, *, boxes_first: bool = False, open_batch: bool = False
) -> Layout:
    batch = None if open_batch else 1
    scores, boxes = (batch, QUERIES, classes), (batch, QUERIES, 4)
    shapes = (boxes, scores) if boxes_first else (scores, boxes)
    specs = [TensorSpec(name, shape, "float32") for name, shape in zip("ab", shapes, strict=True)]
    return find_layout([TensorSpec("images", (batch, 3, HEIGHT, WIDTH), "float32")], specs, metadata or {})


@pytest.mark.parametrize(
    ("classes", "metadata", "person", "activation"),
    [
        (80, {}, 0, "sigmoid"),  # RT-DETR, D-FINE
        (91, {}, 1, "sigmoid"),  # COCO's own category numbers
        (92, {}, 1, "softmax"),  # and "nothing" behind them: DETR
        (1, {}, 0, "sigmoid"),
        (2, {"names": "{0: 'car', 1: 'person'}"}, 1, "sigmoid"),
        (3, {"names": "{0: 'car', 1: 'person'}"}, 1, "softmax"),
        (80, {"detector.activation": "none"}, 0, "none"),
        (92, {"detector.activation": "sigmoid"}, 1, "sigmoid"),
        (80, {"detector.activation": "magic"}, 0, "sigmoid"),
    ],
)
def test_layouts(classes: int, metadata: dict[str, str], person: int, activation: str) -> None:
    for boxes_first in (False, True):
        layout = find(classes, metadata, boxes_first=boxes_first, open_batch=boxes_first)
        assert (layout.kind, layout.person, layout.activation) == ("detr", person, activation)
        assert (layout.classes, layout.boxes, layout.scores) == (classes, int(not boxes_first), int(boxes_first))
    assert default_spec(layout).placement == "stretch"


def test_unknown_classes_are_refused() -> None:
    with pytest.raises(ModelError, match="7 classes and no names"):
        find(7)
    with pytest.raises(ModelError, match="names 2 classes, but its output has 5"):
        find(5, {"names": "['person', 'car']"})


def outputs(layout: Layout, seed: int = 0) -> tuple[NDArray[Any], ...]:
    random = np.random.default_rng(seed)
    boxes = random.uniform(0.1, 0.9, (1, QUERIES, 4)).astype(np.float32)
    scores = random.normal(0, 3, (1, QUERIES, layout.classes or 1)).astype(np.float32)
    return (boxes, scores) if layout.boxes == 0 else (scores, boxes)


@pytest.mark.parametrize(("classes", "activation"), [(80, "sigmoid"), (91, "sigmoid"), (92, "softmax")])
def test_persons_as_worked_out_one_by_one(classes: int, activation: str) -> None:
    layout = find(classes)
    found = outputs(layout)
    boxes, scores = make_decoder(layout)(found, 0.02)
    expected = []
    for (x, y, wide, high), row in zip(found[1][0].astype(float), found[0][0].astype(float), strict=True):
        score = np.exp(row[layout.person])
        score /= (1 + score) if activation == "sigmoid" else np.exp(row).sum()
        if score >= 0.02:
            box = [(x - wide / 2) * WIDTH, (y - high / 2) * HEIGHT, (x + wide / 2) * WIDTH, (y + high / 2) * HEIGHT]
            expected.append((score, box))
    expected.sort(key=lambda pair: -pair[0])
    assert 0 < len(expected) < QUERIES
    np.testing.assert_allclose(scores, [score for score, _ in expected], atol=1e-6)
    np.testing.assert_allclose(boxes, [box for _, box in expected], atol=1e-3)


def test_very_sure_logits_do_not_overflow() -> None:
    layout = find(80)
    found = outputs(layout)
    found[0][0, :, 0] = np.linspace(-1e4, 1e4, QUERIES)
    scores = make_decoder(layout)(found, 0.0)[1]
    assert (scores[0], scores[-1]) == (1.0, 0.0)


@pytest.mark.parametrize("wrong", ["nan", "few", "wild"])
def test_nonsense_is_never_nobody(wrong: str) -> None:
    layout = find(80)
    scores, boxes = outputs(layout)
    if wrong == "nan":
        scores[0, 3, 7] = np.nan
    elif wrong == "few":
        scores = scores[:, :-1]
    else:
        boxes[0, 3] = 1e6
        scores[0, 3] = 5.0
    with pytest.raises(InferenceError):
        make_decoder(layout)((scores, boxes), 0.1)


def test_the_whole_picture_is_stretched_over_the_input() -> None:
    picture = np.zeros((50, 200, 3), np.uint8)
    picture[25:, 100:] = 255
    tensor, placement = Letterbox(width=64, height=64, spec=default_spec(find(80)))(ArrayImage(picture))
    assert tensor[0, 0, 40, 40] == pytest.approx(1.0)
    assert tensor[0, :, :20].max() == 0.0
    box = placement.to_source(np.array([[32, 32, 64, 64]], np.float32))
    np.testing.assert_allclose(box, [[100, 25, 200, 50]])
