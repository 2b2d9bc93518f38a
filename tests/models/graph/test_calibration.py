"""Calibration: three methods that really differ, each as its source has it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from detector.core.errors import ModelError
from detector.core.types import Floats
from detector.models.graph.calibration import Method, measure

OUTLIER = 100.0


def model() -> onnx.ModelProto:
    """A picture passed through unchanged."""
    shape = [1, 3, 64, 64]
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["x"], ["z"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "yz"],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def inputs() -> Iterator[Floats]:
    """Bell-shaped numbers, one of them far out."""
    random = np.random.default_rng(4)
    for index in range(4):
        picture = random.normal(0.0, 1.0, (1, 3, 64, 64)).astype(np.float32)
        picture[0, 0, 0, 0] = OUTLIER if index == 2 else 0.0
        yield picture


def ranges(
    method: Method, tensors: tuple[str, ...] = ("x", "y", "z"), levels: int = 255
) -> dict[str, tuple[float, float]]:
    return measure(model(), tensors, inputs, method=method, levels=levels)


def test_min_max_takes_every_number() -> None:
    found = ranges("min-max")
    everything = np.concatenate([picture.ravel() for picture in inputs()])
    np.testing.assert_allclose(found["x"], (everything.min(), OUTLIER))
    np.testing.assert_allclose(found["y"], (0.0, OUTLIER))
    np.testing.assert_allclose(found["z"], (-OUTLIER, -everything.min()))


def test_percentile_leaves_out_a_hundredth_of_a_percent_at_either_end() -> None:
    low, high = ranges("percentile")["x"]
    step = (OUTLIER + 5) / 2048
    # The normal distribution's 0.0001 and 0.9999 quantiles are at 3.72.
    assert low == pytest.approx(-3.72, abs=0.4)
    assert high == pytest.approx(3.72, abs=0.4 + 2 * step)


def test_entropy_clips_what_costs_more_levels_than_it_tells() -> None:
    found = ranges("entropy")
    assert found["x"][1] < OUTLIER / 2
    assert found["x"][1] > 3.0, "the bell itself stays"
    assert found["z"][0] == pytest.approx(-found["x"][1])


def test_fewer_levels_clip_no_less() -> None:
    limits = [ranges("entropy", ("x",), levels)["x"][1] for levels in (63, 127, 255)]
    assert all(few <= many for few, many in pairwise(limits))


def test_methods_differ() -> None:
    methods: tuple[Method, ...] = ("min-max", "percentile", "entropy")
    assert len({ranges(method)["x"] for method in methods}) == 3


def test_numbers_that_are_none_are_told_with_the_picture() -> None:
    def poisoned() -> Iterator[Floats]:
        yield np.zeros((1, 3, 64, 64), np.float32)
        yield np.full((1, 3, 64, 64), np.nan, np.float32)

    with pytest.raises(ModelError, match="calibration picture 2 gives numbers that are none"):
        measure(model(), ["z"], poisoned)


@pytest.mark.parametrize(("method", "total"), [("min-max", 4), ("entropy", 8)])
def test_progress_counts_every_run(method: Method, total: int) -> None:
    seen: list[tuple[int, int]] = []
    measure(model(), ["x"], inputs, method=method, progress=lambda done, every: seen.append((done, every)), count=4)
    assert seen == [(number, total) for number in range(1, total + 1)]
