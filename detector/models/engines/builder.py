"""Builds a TensorRT engine and its manifest from an ONNX model: one code path for TensorRT 10.3 to 11 and RTX."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detector import __version__
from detector.core.errors import DetectorError, ModelError, one_line
from detector.core.progress import Progress, quiet
from detector.inference.backends.onnx_metadata import inspect
from detector.inference.spec import InputSpec
from detector.inference.tensorrt import manifest
from detector.inference.tensorrt.library import logger, network_flags, said, sides_of
from detector.inference.tensorrt.manifest import EngineManifest, EngineRecipe, Environment, environment

from .prepare import BuildPrecision, Prepared, prepare
from .progress import TOTAL, Cancelled, Phases, monitor

if TYPE_CHECKING:
    import tensorrt as trt

Shapes = dict[str, list[list[int]]]


class BuildCancelledError(DetectorError):
    """The build was stopped; nothing was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """One engine to build: `model` in `precision`, written to `output`.

    `name` and `spec` are those of the registry (spec None: as the layout is commonly trained); `quantised` is the INT8
    variant of `model` that is built instead of it, `calibration` the hash of its calibration pictures and
    `calibrated_by` their folder; `batch` is the largest number of pictures per run; `workspace_mib` None is TensorRT's
    own limit.
    """

    model: Path
    output: Path
    name: str
    spec: InputSpec | None = None
    precision: BuildPrecision = "auto"
    quantised: Path | None = None
    calibration: str | None = None
    calibrated_by: str | None = None
    batch: int = 1
    workspace_mib: int | None = None


def never() -> bool:
    return False


def build(order: BuildRequest, *, report: Progress = quiet, cancelled: Cancelled = never) -> EngineManifest:
    """Build the engine and its manifest, which has no verdict yet; takes seconds to minutes.

    Raises ModelError, with node and operator if the parser rejects one, and BuildCancelledError.
    """
    here = environment()
    report(0, TOTAL, "reading the model")
    prepared = prepare(order.quantised or order.model, precision=order.precision, batch=order.batch)
    said()  # what was said of earlier ones
    plan, shapes = _plan(order, prepared, here, Phases(report, cancelled), cancelled)
    made = EngineManifest(
        recipe=EngineRecipe(
            model_sha256=prepared.sha256 if order.quantised is None else inspect(order.model).digest,
            precision=prepared.precision,
            shapes=shapes,
            # The form's own hash: how it was made may change while the pictures stay.
            steps=(*([f"int8 form {prepared.sha256[:16]}"] if order.quantised else []), *prepared.steps),
            calibration=order.calibration,
            detector=__version__,
        ),
        environment=here,
        size=len(plan),
        sha256=hashlib.sha256(plan).hexdigest(),
        model_name=order.name,
        model_path=str(order.model),
        metadata=prepared.metadata,
        spec=order.spec or prepared.spec,
        calibrated_by=order.calibrated_by,
    )
    manifest.path_of(order.output).unlink(missing_ok=True)  # never a new engine beside the old one's description
    manifest.write_bytes(order.output, plan)
    manifest.write(order.output, made)
    report(TOTAL, TOTAL, "built")
    return made


def _plan(
    order: BuildRequest, prepared: Prepared, here: Environment, phases: Phases, cancelled: Cancelled
) -> tuple[memoryview, Shapes]:
    from detector.inference.tensorrt.library import trt

    builder = trt.Builder(logger())
    network = builder.create_network(network_flags())
    _parse(network, prepared.content, order.model)
    config = builder.create_builder_config()
    config.progress_monitor = watcher = monitor(phases)
    if order.workspace_mib is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, order.workspace_mib << 20)
    shapes = _profile(builder, network, config, prepared, order.batch)
    cache = order.output.with_name(f"timing-{here.key}.cache")
    timings = _use_timings(config, cache)
    plan: Any = builder.build_serialized_network(network, config)  # a buffer, which its types do not say
    del watcher, timings  # TensorRT does not keep them alive
    if cancelled():
        raise BuildCancelledError("stopped: no engine was written")
    if plan is None:
        raise ModelError(f"TensorRT {here.tensorrt} cannot build {order.model.name}: {said()}")
    with _no_warnings():
        kept = config.get_timing_cache()
        if kept is not None:
            content: Any = kept.serialize()
            manifest.write_bytes(cache, memoryview(content))
    return memoryview(plan), shapes


def _parse(network: trt.INetworkDefinition, content: bytes, path: Path) -> None:
    from detector.inference.tensorrt.library import trt

    parser = trt.OnnxParser(network, logger())
    if parser.parse(content):
        return
    if parser.num_errors == 0:
        raise ModelError(f"TensorRT cannot read {path.name}: {said()}")
    error = parser.get_error(0)
    where = f" at node {error.node_name() or error.node()} ({error.node_operator()})" if error.node_operator() else ""
    raise ModelError(f"TensorRT cannot read {path.name}{where}: {one_line(error.desc())}")


def _profile(
    builder: trt.Builder,
    network: trt.INetworkDefinition,
    config: trt.IBuilderConfig,
    prepared: Prepared,
    batch: int,
) -> Shapes:
    """The inputs' smallest, usual and largest shapes; dynamic sizes become the layout's, a dynamic batch 1 to `batch`."""
    layout, shapes, dynamic = prepared.layout, {}, False
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        own = sides_of(tensor.shape)
        sizes = [own[0], 3, layout.height, layout.width] if -1 in own[1:] else own
        if own[0] not in (-1, batch):
            raise ModelError(f"this model takes {own[0]} at once, not {batch}: export it with an open batch")
        shapes[tensor.name] = [[count, *sizes[1:]] for count in (1, batch, batch)]
        if -1 in own:
            sides: Any = shapes[tensor.name]  # sequences do for its Dims
            profile.set_shape(tensor.name, *sides)
            dynamic = True
    if dynamic and config.add_optimization_profile(profile) < 0:
        raise ModelError(f"TensorRT refuses the shapes {shapes}: {said()}")
    return shapes


def _use_timings(config: trt.IBuilderConfig, path: Path) -> trt.ITimingCache | None:
    """The timing cache of earlier builds on this machine, which saves most of the time; must outlive the build."""
    content = path.read_bytes() if path.is_file() else b""
    # A cache of another GPU or version, or a damaged one, is ignored.
    for known in (content, b""):
        with _no_warnings():
            cache = config.create_timing_cache(known)
            if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
                return cache
    said()
    return None


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Settings that TensorRT needs; in RTX the calls exist without effect."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
