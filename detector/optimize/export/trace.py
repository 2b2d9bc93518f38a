"""Traces a PyTorch network to an ONNX graph."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence

import onnx

from detector.core.errors import ModelError, one_line
from detector.models.graph import edit

from .traceable import Network

OPSET = 17
"""Of the ONNX file: LayerNormalization is one node from 17 on, and every runtime here (TensorRT 10.3 the oldest) has it."""


def trace(network: Network, *, width: int, height: int, batch: int) -> onnx.ModelProto:
    """`network` for pictures of that many px; `batch` 0 leaves the number of pictures open. Raises ModelError.

    Simplified; every side of its outputs but an open batch is stated.
    """
    import torch

    pictures = torch.zeros((batch or 2, 3, height, width))  # a batch of one would be taken for a constant
    axes = {name: {0: "batch"} for name in ("images", *network.outputs)}
    written = io.BytesIO()
    try:
        with torch.no_grad(), _without_chatter():
            results = network.module(pictures)  # fills the caches of its grids too
            torch.onnx.export(
                network.module,
                (pictures,),
                written,
                opset_version=OPSET,
                input_names=["images"],
                output_names=list(network.outputs),
                dynamic_axes=None if batch else axes,
                # The graph that this exporter writes is plainer, and it needs no further package.
                dynamo=False,
            )
    except Exception as error:  # whatever the model's own code raises
        raise ModelError(f"PyTorch could not export this model at {width} x {height} px: {one_line(error)}") from None
    model = edit.simplified(onnx.load_from_string(written.getvalue()))
    results = results if isinstance(results, tuple) else (results,)
    for output, result in zip(model.graph.output, results, strict=True):
        _state(output, [batch, *result.shape[1:]])
    told = {**network.metadata, "imgsz": str([height, width]), "batch": str(batch or "dynamic")}
    onnx.helper.set_model_props(model, told)
    return model


def _state(output: onnx.ValueInfoProto, sides: Sequence[int]) -> None:
    """Says the output's shape, 0 being the open batch: what follows a choice of the best is not inferred for one."""
    shape = output.type.tensor_type.shape
    del shape.dim[:]
    for side in sides:
        added = shape.dim.add()
        if side:
            added.dim_value = side
        else:
            added.dim_param = "batch"


@contextlib.contextmanager
def _without_chatter() -> Iterator[None]:
    """The exporter's words on Python branches are not for users: the result is compared with PyTorch instead."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)
