"""ONNX operators as the torch calls that a hand-written module makes; `OPERATORS` is the table.

Each entry takes a node's attributes and the operator set's version, and gives a function of tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from detector.core.errors import ModelError
from detector.inference.nms import nms

Attributes = Mapping[str, Any]
Function = Callable[..., Any]

_LAST_OPEN = np.iinfo(np.int32).max
_AXES_AS_INPUT = 13  # the operator set in which Squeeze's and Unsqueeze's axes became an input


def import_torch() -> Any:
    """The module torch; raises ModelError where it is not installed."""
    try:
        import torch
    except ImportError:
        raise ModelError("PyTorch is not installed: the baseline of PyTorch eager needs it") from None
    return torch


def silu(source: Any) -> Any:
    return import_torch().nn.functional.silu(source)


class Convolution:
    """Conv in two dimensions, symmetric padding; see `normalised`."""

    def __init__(self, attributes: Attributes, _opset: int) -> None:
        pads = attributes.get("pads", [0, 0, 0, 0])
        if attributes.get("auto_pad", "NOTSET") != "NOTSET" or pads[:2] != pads[2:]:
            raise ModelError("PyTorch's eager form of a convolution with uneven padding is not known: no such baseline")
        self._conv = import_torch().nn.functional.conv2d
        self._how = (
            tuple(attributes.get("strides", (1, 1))),
            tuple(pads[:2]),
            tuple(attributes.get("dilations", (1, 1))),
            attributes.get("group", 1),
        )

    def __call__(self, source: Any, weight: Any, bias: Any = None) -> Any:
        return self._conv(source, weight, bias, *self._how)

    def normalised(self) -> Function:
        """With its bias in a batch normalisation of mean 0 and variance 1 behind it: the same numbers."""
        torch = import_torch()
        ones: dict[int, tuple[Any, Any]] = {}

        def call(source: Any, weight: Any, bias: Any) -> Any:
            found = self._conv(source, weight, None, *self._how)
            channels = int(bias.shape[0])
            if channels not in ones:
                ones[channels] = torch.zeros(channels), torch.ones(channels)
            zero, one = ones[channels]
            return torch.nn.functional.batch_norm(found, zero, one, one, bias, training=False, eps=0.0)

        return call


def _list(tensor: Any) -> list[int]:
    return [int(value) for value in tensor.reshape(-1).tolist()]


def _pool(attributes: Attributes, _opset: int) -> Function:
    pads = attributes.get("pads", [0, 0, 0, 0])
    if pads[:2] != pads[2:] or attributes.get("auto_pad", "NOTSET") != "NOTSET":
        raise ModelError("PyTorch's eager form of a pooling with uneven padding is not known: no such baseline")
    kernel, strides = tuple(attributes["kernel_shape"]), tuple(attributes.get("strides", (1, 1)))
    ceil = bool(attributes.get("ceil_mode", 0))
    pool = import_torch().nn.functional.max_pool2d
    return lambda source: pool(source, kernel, strides, tuple(pads[:2]), ceil_mode=ceil)


def _concat(attributes: Attributes, _opset: int) -> Function:
    cat, axis = import_torch().cat, attributes["axis"]
    return lambda *tensors: cat(tensors, axis)


def _reshape(attributes: Attributes, _opset: int) -> Function:
    if attributes.get("allowzero", 0):
        raise ModelError("PyTorch's eager form of a Reshape with allowzero is not known: no such baseline")

    def call(source: Any, target: Any) -> Any:
        sides = _list(target)
        return source.reshape([source.shape[i] if side == 0 else side for i, side in enumerate(sides)])

    return call


def _transpose(attributes: Attributes, _opset: int) -> Function:
    order = tuple(attributes["perm"])
    return lambda source: source.permute(order)


def _axes(attributes: Attributes, given: tuple[Any, ...]) -> list[int]:
    return _list(given[0]) if given and given[0] is not None else list(attributes.get("axes", ()))


def _squeeze(attributes: Attributes, _opset: int) -> Function:
    def call(source: Any, *given: Any) -> Any:
        axes = _axes(attributes, given)
        return source.squeeze(tuple(axes)) if axes else source.squeeze()

    return call


def _unsqueeze(attributes: Attributes, _opset: int) -> Function:
    def call(source: Any, *given: Any) -> Any:
        axes = _axes(attributes, given)
        rank = source.dim() + len(axes)
        for axis in sorted(axis % rank for axis in axes):
            source = source.unsqueeze(axis)
        return source

    return call


def _slice(attributes: Attributes, _opset: int) -> Function:
    def call(source: Any, *given: Any) -> Any:
        if given:
            starts, ends = _list(given[0]), _list(given[1])
            axes = _list(given[2]) if len(given) > 2 and given[2] is not None else list(range(len(starts)))
            steps = _list(given[3]) if len(given) > 3 and given[3] is not None else [1] * len(starts)
        else:
            starts, ends = attributes["starts"], attributes["ends"]
            axes, steps = attributes.get("axes", range(len(starts))), [1] * len(starts)
        parts: list[slice] = [slice(None)] * source.dim()
        for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
            parts[axis] = slice(start, None if end >= _LAST_OPEN else end, step)
        return source[tuple(parts)]

    return call


def _split(attributes: Attributes, _opset: int) -> Function:
    axis = attributes.get("axis", 0)

    def call(source: Any, *given: Any) -> Any:
        sizes = _list(given[0]) if given and given[0] is not None else attributes.get("split")
        if sizes is None:
            raise RuntimeError("a Split without sizes")
        return tuple(source.split(sizes, axis))

    return call


def _resize(attributes: Attributes, _opset: int) -> Function:
    """Nearest neighbour by whole factors, as the networks' Upsample layers do."""
    if attributes.get("mode", "nearest") != "nearest":
        raise ModelError("PyTorch's eager form of a Resize that is not nearest is not known: no such baseline")
    interpolate = import_torch().nn.functional.interpolate

    def call(source: Any, _region: Any = None, scales: Any = None, sizes: Any = None) -> Any:
        if sizes is not None and sizes.numel():
            return interpolate(source, size=_list(sizes)[2:], mode="nearest")
        return interpolate(source, scale_factor=scales.tolist()[2:], mode="nearest")

    return call


def _gather(attributes: Attributes, _opset: int) -> Function:
    axis = attributes.get("axis", 0)

    def call(source: Any, index: Any) -> Any:
        flat = index.reshape(-1)
        found = source.index_select(axis, flat.where(flat >= 0, flat + source.shape[axis]))
        return found.reshape((*source.shape[:axis], *index.shape, *source.shape[axis:][1:]))

    return call


def _gather_elements(attributes: Attributes, _opset: int) -> Function:
    axis = attributes.get("axis", 0)
    return lambda source, index: source.gather(axis, index)


def _top_k(attributes: Attributes, _opset: int) -> Function:
    axis, largest = attributes.get("axis", -1), bool(attributes.get("largest", 1))
    return lambda source, count: tuple(source.topk(int(count), axis, largest))


def _reduce_max(attributes: Attributes, _opset: int) -> Function:
    keep = bool(attributes.get("keepdims", 1))
    return lambda source, *given: source.amax(tuple(_axes(attributes, given)), keep)


def _softmax(attributes: Attributes, opset: int) -> Function:
    # Before operator set 13 all axes from `axis` on were one: the same where it is the last one.
    axis = attributes.get("axis", -1 if opset >= _AXES_AS_INPUT else 1)
    return lambda source: source.softmax(axis)


def _flatten(attributes: Attributes, _opset: int) -> Function:
    axis = attributes.get("axis", 1)
    return lambda source: source.reshape(int(np.prod(source.shape[:axis], initial=1)), -1)


def _div(_attributes: Attributes, _opset: int) -> Function:
    torch = import_torch()

    def call(one: Any, other: Any) -> Any:
        whole = not one.is_floating_point()  # ONNX divides whole numbers towards zero
        return torch.div(one, other, rounding_mode="trunc") if whole else one / other

    return call


def _mod(attributes: Attributes, _opset: int) -> Function:
    torch = import_torch()
    found: Function = torch.fmod if attributes.get("fmod", 0) else torch.remainder
    return found


def _cast(attributes: Attributes, _opset: int) -> Function:
    import onnx

    torch = import_torch()
    kind = torch.from_numpy(np.zeros(1, onnx.helper.tensor_dtype_to_np_dtype(attributes["to"]))).dtype
    return lambda source: source.to(kind)


def _expand(_attributes: Attributes, _opset: int) -> Function:
    torch = import_torch()
    return lambda source, target: source.expand(torch.broadcast_shapes(tuple(source.shape), tuple(_list(target))))


def _shape(_attributes: Attributes, _opset: int) -> Function:
    torch = import_torch()
    return lambda source: torch.tensor(list(source.shape))


def _non_max_suppression(attributes: Attributes, _opset: int) -> Function:
    """By class, through the detector's own NMS: PyTorch has none without torchvision."""
    torch = import_torch()
    if attributes.get("center_point_box", 0):
        raise ModelError("an NMS over centres is not known: no baseline of PyTorch eager")

    def call(boxes: Any, scores: Any, limit: Any = None, iou: Any = None, floor: Any = None) -> Any:
        corners, rows = boxes[0].numpy(), []
        most, overlap, least = int(limit) if limit is not None else 0, float(iou or 0.0), float(floor or 0.0)
        for kind, one in enumerate(scores[0].numpy()):
            likely = np.flatnonzero(one > least)
            kept = likely[nms(corners[likely], one[likely], iou=overlap, limit=most)]
            rows += [(0, kind, place) for place in kept.tolist()]
        return torch.tensor(rows, dtype=torch.int64).reshape(-1, 3)

    return call


def _of_torch(name: str) -> Callable[[Attributes, int], Function]:
    """A function of torch of that name that takes the tensors alone."""

    def make(_attributes: Attributes, _opset: int) -> Function:
        found: Function = getattr(import_torch(), name)
        return found

    return make


OPERATORS: dict[str, Callable[[Attributes, int], Function]] = {
    "Add": _of_torch("add"),
    "Cast": _cast,
    "Concat": _concat,
    "Conv": Convolution,
    "Div": _div,
    "Exp": _of_torch("exp"),
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "Less": _of_torch("lt"),
    "MatMul": _of_torch("matmul"),
    "MaxPool": _pool,
    "Mod": _mod,
    "Mul": _of_torch("mul"),
    "NonMaxSuppression": _non_max_suppression,
    "ReduceMax": _reduce_max,
    "Relu": _of_torch("relu"),
    "Reshape": _reshape,
    "Resize": _resize,
    "Shape": _shape,
    "Sigmoid": _of_torch("sigmoid"),
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
    "Squeeze": _squeeze,
    "Sub": _of_torch("sub"),
    "TopK": _top_k,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Where": _of_torch("where"),
}
