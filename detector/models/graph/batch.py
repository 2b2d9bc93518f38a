"""Makes a graph for one picture take any number of them, without changing a picture's results."""

from __future__ import annotations

import numpy as np

from detector.core.errors import ModelError

from .graph import Graph, Shape

COPY = 0  # in a Reshape's target: as long as the input there


def open_first_axis(graph: Graph) -> None:
    """Make the batch dynamic: reshape targets with a 1 for it copy the input's length instead.

    All other operators of detectors keep the first axis. Raises ModelError for a reshape that does not.
    """
    shapes = graph.shapes()
    for node in graph.nodes:
        if node.op_type != "Reshape":
            continue
        target = graph.constant(node.input[1])
        if target is None:
            raise ModelError("this model works out shapes as it runs: export it with an open batch")
        if target.size and target[0] == 1 and _carries(shapes.get(node.input[0])):
            node.input[1] = graph.add_constant(np.concatenate([[COPY], target[1:]]).astype(np.int64), "target")


def _carries(shape: Shape | None) -> bool:
    """Whether a tensor's first axis can be the batch: its length is 1, and it is not the only axis."""
    return shape is None or (len(shape) > 1 and shape[0] == 1)
