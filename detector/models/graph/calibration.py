"""Calibration: the range of every tensor's values over pictures, by three methods.

min-max takes the smallest and largest value; percentile leaves out the outermost hundredth of a percent on either side;
entropy clips where the levels of INT8 keep most of the distribution (Kullback-Leibler divergence; S. Migacz,
"8-bit Inference with TensorRT", GTC 2017).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from detector.core.errors import InferenceError, ModelError
from detector.core.types import Floats
from detector.inference.backends.onnxruntime import OnnxRuntimeBackend

Method = Literal["min-max", "entropy", "percentile"]
Range = tuple[float, float]
"""The smallest and largest value that is represented; values outside are clipped."""
Progress = Callable[[int, int], None]

_TAIL = 1e-4  # share of the numbers that percentile leaves out at either end
_BINS, _STRIDE = 2048, 16
_SAMPLES = 8192  # of a tensor's numbers a picture: enough for the tails, and no gigabytes
_LOW, _HIGH, _SAMPLE = "detector_low_", "detector_high_", "detector_sample_"


def measure(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    inputs: Callable[[], Iterable[Floats]],
    *,
    method: Method = "min-max",
    levels: int = 255,
    progress: Progress = lambda _done, _total: None,
    count: int = 0,
) -> dict[str, Range]:
    """The range of each of `tensors` over `inputs`, which are run twice if a histogram is needed.

    `levels` is how many steps lie on one side of 0, for entropy: 127 where ranges are symmetric. `progress(done, total)` after each of the `count` inputs. Raises ModelError.
    """
    total = count * (1 if method == "min-max" else 2)
    found = _extremes(model, tensors, inputs(), lambda done: progress(done, total))
    if method == "min-max":
        return found
    histograms = _histograms(model, found, inputs(), lambda done: progress(count + done, total))
    if method == "percentile":
        return {name: _percentile(histogram, found[name]) for name, histogram in histograms.items()}
    return {name: _entropy(histogram, found[name], levels) for name, histogram in histograms.items()}


def _extremes(
    model: onnx.ModelProto, tensors: Sequence[str], inputs: Iterable[Floats], done: Callable[[int], None]
) -> dict[str, Range]:
    nodes = []
    for name in tensors:
        for op, prefix in (("ReduceMin", _LOW), ("ReduceMax", _HIGH)):
            nodes.append(onnx.helper.make_node(op, [name], [prefix + name], keepdims=0))
    found: dict[str, Range] = {}
    for number, values in enumerate(_runs(model, nodes, [], inputs), start=1):
        for name in tensors:
            low, high = float(values[_LOW + name]), float(values[_HIGH + name])
            if not np.isfinite([low, high]).all():
                raise ModelError(f"calibration picture {number} gives numbers that are none (NaN) at {name}")
            before = found.get(name, (low, high))
            found[name] = (min(low, before[0]), max(high, before[1]))
        done(number)
    return found


def _histograms(
    model: onnx.ModelProto, extremes: Mapping[str, Range], inputs: Iterable[Floats], done: Callable[[int], None]
) -> dict[str, NDArray[np.int64]]:
    """Histograms with _BINS bins from each tensor's smallest to its largest value, of evenly spaced samples."""
    sizes = {info.name: _size(info) for info in (*model.graph.value_info, *model.graph.input)}
    flat = onnx.numpy_helper.from_array(np.array([-1], np.int64), "detector_flat")
    constants = [flat, onnx.numpy_helper.from_array(np.array([0], np.int64), "detector_zero")]
    constants.append(onnx.numpy_helper.from_array(np.array([np.iinfo(np.int64).max], np.int64), "detector_end"))
    nodes = []
    for number, name in enumerate(extremes):
        # An odd step: even ones would meet the same columns of every row.
        step = np.array([max(1, sizes.get(name, 0) // _SAMPLES) | 1], np.int64)
        constants.append(onnx.numpy_helper.from_array(step, f"detector_step_{number}"))
        nodes.append(onnx.helper.make_node("Reshape", [name, "detector_flat"], [f"detector_row_{number}"]))
        cut = [f"detector_row_{number}", "detector_zero", "detector_end", "detector_zero", f"detector_step_{number}"]
        nodes.append(onnx.helper.make_node("Slice", cut, [_SAMPLE + name]))
    found = {name: np.zeros(_BINS, np.int64) for name in extremes}
    for number, values in enumerate(_runs(model, nodes, constants, inputs), start=1):
        for name, (low, high) in extremes.items():
            found[name] += np.histogram(values[_SAMPLE + name], bins=_BINS, range=(low, high))[0]
        done(number)
    return found


def _size(info: onnx.ValueInfoProto) -> int:
    return int(np.prod([dim.dim_value for dim in info.type.tensor_type.shape.dim], dtype=np.int64))


def _runs(
    model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], constants: Sequence[Any], inputs: Iterable[Floats]
) -> Iterable[dict[str, Any]]:
    """The added nodes' results for each input, by name."""
    told = onnx.ModelProto()
    told.CopyFrom(model)
    told.graph.node.extend(nodes)
    told.graph.initializer.extend(constants)
    del told.graph.output[:]
    names = [name for node in nodes for name in node.output if name.startswith((_LOW, _HIGH, _SAMPLE))]
    told.graph.output.extend(onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in names)
    yield from run_all(told, inputs)


def run_all(model: onnx.ModelProto, inputs: Iterable[Floats]) -> Iterable[dict[str, Any]]:
    """The model's outputs for each input, by name; raises ModelError where it does not run."""
    with tempfile.TemporaryDirectory(prefix="detector-") as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, str(path))
        backend = OnnxRuntimeBackend(path=path)
    try:
        names = [spec.name for spec in backend.outputs]
        for tensor in inputs:
            yield dict(zip(names, backend.run(tensor), strict=True))
    except InferenceError as error:
        raise ModelError(str(error)) from None
    finally:
        backend.close()


def _percentile(histogram: NDArray[np.int64], extremes: Range) -> Range:
    edges = np.linspace(*extremes, _BINS + 1)
    share = np.cumsum(histogram) / max(1, histogram.sum())
    low = edges[int(np.searchsorted(share, _TAIL))]
    high = edges[min(_BINS, int(np.searchsorted(share, 1.0 - _TAIL)) + 1)]
    return float(low), float(high)


def _entropy(histogram: NDArray[np.int64], extremes: Range, levels: int) -> Range:
    """The range clipped at the magnitude whose quantised distribution is closest to the true one."""
    magnitudes = _magnitudes(histogram, extremes)
    magnitudes[0] = magnitudes[1]  # values near 0 fit any range, and are so many that they would dominate
    largest = max(abs(extremes[0]), abs(extremes[1]))
    best, least = _BINS, np.inf
    for kept in range(levels, _BINS + 1, _STRIDE):
        divergence = _divergence(magnitudes, kept, levels)
        if divergence < least:
            best, least = kept, divergence
    limit = largest * best / _BINS
    return max(extremes[0], -limit), min(extremes[1], limit)


def _magnitudes(histogram: NDArray[np.int64], extremes: Range) -> NDArray[np.float64]:
    """The same counts over absolute values, from 0 to the largest."""
    edges = np.linspace(*extremes, _BINS + 1)
    centers = np.abs((edges[:-1] + edges[1:]) / 2)
    largest = max(abs(extremes[0]), abs(extremes[1])) or 1.0
    return np.histogram(centers, bins=_BINS, range=(0.0, largest), weights=histogram)[0]


def _divergence(counts: NDArray[np.float64], kept: int, levels: int) -> float:
    """KL(P || Q): P is the first `kept` bins with all beyond added to the last, Q these bins at `levels`."""
    true = counts[:kept].copy()
    true[-1] += counts[kept:].sum()
    level = np.arange(kept) * levels // kept
    filled = counts[:kept] > 0
    sums = np.bincount(level, weights=counts[:kept], minlength=levels)
    members = np.bincount(level, weights=filled.astype(np.float64), minlength=levels)
    spread = np.where(filled, (sums / np.maximum(members, 1.0))[level], 0.0)
    p, q = true / max(true.sum(), 1.0), spread / max(spread.sum(), 1.0)
    # A bin that is empty only in Q must count: it gets a tiny value instead of 0.
    inside = p > 0
    return float(np.sum(p[inside] * np.log(p[inside] / np.maximum(q[inside], 1e-9))))
