"""A graph for one picture becomes one for any number of them: every number of each picture stays what it is."""

from __future__ import annotations

import numpy as np

from detector.core.errors import ModelError

from .graph import Graph, Shape

COPY = 0  # in a Reshape's target: as long as the input there


def open_first_axis(graph: Graph) -> None:
    """Lets the batch through: targets of reshapes that said 1 for it take what comes.

    All other operators of detectors carry the first axis along as it is. Raises ModelError on a reshape that does not.
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
    """Whether a tensor's first axis is the batch, as far as can be told: it is one long, and not the only one."""
    return shape is None or (len(shape) > 1 and shape[0] == 1)
