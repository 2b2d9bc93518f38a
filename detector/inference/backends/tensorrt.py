"""The TensorRT backend, through pycuda; the only file that imports pycuda.

One retained primary context, pushed around every call, so that the model can be loaded in one thread and run in
another; only one thread may use the backend at a time. Buffers, stream and graphs are made once. Per run of one or
more pictures: a copy of each into pinned memory, one launch, the engine, two launches, and a wait for our own stream
only. An engine with a dynamic batch has an execution context for each of 1, 2, 4, ... pictures, since TensorRT allows
a recorded graph only while its context keeps the shapes.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from detector.core.errors import DetectorError, InferenceError, ModelError, one_line
from detector.core.files import existing_file
from detector.core.types import Image
from detector.inference.kernels.launch import FloatType
from detector.inference.layout import Layout
from detector.inference.preprocess import Placement
from detector.inference.spec import InputSpec
from detector.inference.tensorrt import manifest
from detector.inference.tensorrt.gpu import find_gpu
from detector.inference.tensorrt.library import library, logger, said, sides_of
from detector.inference.tensorrt.manifest import Environment
from detector.inference.tensors import TensorSpec

from .base import DeviceDetections, Precision
from .cudagraph import Captured, capture
from .gpu_pipeline import DecodeSettings, DevicePath, Ends

if TYPE_CHECKING:
    import tensorrt as trt

log = logging.getLogger(__name__)

_PICTURES, _TENSORS = "pictures", "tensors"
_FLOATS: dict[str, FloatType] = {"float32": "float32", "float16": "float16"}


@dataclass(slots=True, kw_only=True)
class _Tensor:
    """An input or output: `host` is pinned, [batch, ...]; `address` is where the engine reads or writes.

    `device` is None if the GPU shares the host's memory: then `address` is that of the host buffer.
    """

    spec: TensorSpec
    host: NDArray[Any]
    device: Any
    address: int

    def part(self, count: int) -> NDArray[Any]:
        return self.host[:count]


class TensorRtBackend:
    """The engine at `path`, made by `detector build`.

    Raises ModelError, with the command that helps, for an engine that is outdated, made for another machine, damaged
    or (with `judged`) not accepted on this machine; `model_sha256` is that of the current ONNX file, if there is one.
    After an InferenceError from CUDA every further run fails at once: load the model again.
    """

    name = "tensorrt"

    def __init__(
        self,
        *,
        path: Path,
        precision: Precision = "auto",
        model_sha256: str | None = None,
        judged: bool = True,
        graphs: bool = True,
    ) -> None:
        existing_file(path)
        described = manifest.read(path)
        here = Environment.of(library(), find_gpu())
        manifest.require_fit(path, described, here, model_sha256=model_sha256, judged=judged)
        if precision not in ("auto", described.recipe.precision):
            raise ModelError(f"{path.name} is an {described.recipe.precision} engine: use precision auto")
        self.version, self.precision = here.tensorrt, described.recipe.precision
        self.provider, self.digest = here.gpu, described.sha256
        self.metadata: Mapping[str, str] = described.metadata
        self.spec, self.note = described.spec, described.note
        self._failed: str | None = None
        self._wants_graphs = graphs
        self._graphs: dict[tuple[str, int], Captured | None] = {}  # by kind of run and size; None: cannot be recorded
        self._path: DevicePath | None = None
        self._file, self._arch = path, f"sm_{here.compute.replace('.', '')}"
        self._cuda = _cuda()
        try:
            self._cuda.init()
            self._device = self._cuda.Device(0)
            self._shared = bool(self._device.get_attribute(self._cuda.device_attribute.INTEGRATED))
            self._context = self._device.retain_primary_context()
            with self._current():
                self._open(path, described)
        except self._cuda.Error as error:
            self.close()
            raise ModelError(f"the GPU cannot run {path.name}: {one_line(error)}") from None
        except BaseException:
            self.close()
            raise

    # Loading

    def _open(self, path: Path, described: manifest.EngineManifest) -> None:
        from detector.inference.tensorrt.library import trt

        self._stream: Any = self._cuda.Stream()
        self._runtime, self._engine = _deserialise(path, described)
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        inputs = [name for name in names if self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        if len(inputs) != 1:
            raise ModelError(f"{path.name} takes {len(inputs)} inputs, one picture is needed")
        least, _, most = described.recipe.shapes[inputs[0]]
        self.batch = self._last = most[0]
        self.sizes = sizes_up_to(most[0]) if least[0] < most[0] else (most[0],)
        self._executions = {count: self._execution(inputs[0], (count, *most[1:]), path) for count in self.sizes}
        self._input = self._tensor(inputs[0], path)
        self._results = [self._tensor(name, path) for name in names if name not in inputs]
        self.inputs, self.outputs = (self._input.spec,), tuple(result.spec for result in self._results)

    def _execution(self, name: str, shape: tuple[int, ...], path: Path) -> trt.IExecutionContext:
        """An execution context with a fixed input shape."""
        execution = self._engine.create_execution_context()
        if execution is None:
            raise ModelError(f"{path} cannot be run here, for want of memory perhaps: {said()}")
        if not execution.set_input_shape(name, shape):
            raise ModelError(f"{path.name} refuses {shape} pictures: {said()}")
        return execution

    def _tensor(self, name: str, path: Path) -> _Tensor:
        """The tensor's buffers, for the engine's largest shapes."""
        from detector.inference.tensorrt.library import trt

        shape = tuple(sides_of(self._executions[self.batch].get_tensor_shape(name)))
        if min(shape, default=1) < 1:
            raise ModelError(
                f"{path.name} has an output, {name}, whose length only the GPU knows: "
                "build it with detector build, which cuts the NMS off"
            )
        dtype = np.dtype(trt.nptype(self._engine.get_tensor_dtype(name)))
        flags = self._cuda.host_alloc_flags.DEVICEMAP
        host: NDArray[Any] = self._cuda.pagelocked_empty(shape, dtype, mem_flags=flags)
        host.fill(0)
        # A Jetson's GPU reads the host's memory itself, without a copy.
        device = None if self._shared else self._cuda.mem_alloc(host.nbytes)
        pinned: Any = host.base  # pycuda's allocation
        address = int(pinned.get_device_pointer()) if device is None else int(device)
        if not all(execution.set_tensor_address(name, address) for execution in self._executions.values()):
            raise ModelError(f"{path.name} refuses its buffer {name}: {said()}")
        # As for one picture at a time: layouts are found by that.
        sides = (1 if shape[0] == 1 else None, *shape[1:])
        return _Tensor(spec=TensorSpec(name, sides, dtype.name), host=host, device=device, address=address)

    # Running

    def configure(self, *, layout: Layout, spec: InputSpec, floor: float, iou: float | None) -> bool:
        """Prepare for whole pictures (`infer`); False, and a log line, if they must come as tensors."""
        if not layout.usual or spec.normalised:  # the kernels know the common heads and letterboxes
            log.info("pictures are prepared and read on the CPU: the GPU's kernels do not know %s", layout)
            return False
        dtypes = {result.spec.dtype for result in self._results}
        wanted = 2 if layout.kind == "yolox-boxes" else 1
        if len(self._results) != wanted or len(dtypes) != 1 or (dtypes | {self._input.spec.dtype}) - set(_FLOATS):
            return False
        ends = Ends(
            input_address=self._input.address,
            input_dtype=_FLOATS[self._input.spec.dtype],
            outputs=tuple(result.address for result in self._results),
            output_dtype=_FLOATS[self._results[0].spec.dtype],
            rows=self._results[0].host.shape[1],
            sizes=self.sizes,
        )
        try:
            with self._current():
                self._path = DevicePath(
                    cuda=self._cuda,
                    stream=self._stream,
                    arch=self._arch,
                    cache=self._file.parent / "kernels",
                    shared=self._shared,
                    ends=ends,
                    task=DecodeSettings(layout=layout, spec=spec, floor=floor, iou=iou),
                )
        except (self._cuda.Error, DetectorError, ValueError) as error:
            log.warning("pictures are prepared on the CPU: %s", one_line(error))
            return False
        return True

    def infer(self, images: Sequence[Image]) -> list[DeviceDetections | Exception]:
        """Boxes in input px, scores and placement of each picture (at most `batch`); needs `configure` before.

        The error of a single picture is returned in its place; raises InferenceError if the run failed.
        """
        self._require_sound()
        assert self._path is not None
        count = size_for(self.sizes, len(images))
        with self._guarded():
            placed = self._path.stage(images, count)
            if all(isinstance(place, Exception) for place in placed):
                return [place for place in placed if isinstance(place, Exception)]
            self._launch(_PICTURES, count)
            self._stream.synchronize()
        return [self._detections(index, place) for index, place in enumerate(placed)]

    def _detections(self, index: int, place: Placement | Exception) -> DeviceDetections | Exception:
        assert self._path is not None
        if isinstance(place, Exception):
            return place
        try:
            return self._path.persons(index), place
        except InferenceError as error:
            return error

    def rerun(self) -> None:
        """Run only the engine on its last input, to compare the pipeline with; raises InferenceError."""
        self._require_sound()
        with self._guarded():
            self._execute(self._last)
            self._stream.synchronize()

    def run(self, tensor: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """The outputs for float32 [n,3,H,W], n at most `batch`; views of pinned memory, until the next run."""
        self._require_sound()
        count = tensor.shape[0]
        if tensor.shape[1:] != self._input.host.shape[1:] or not 1 <= count <= self.batch:
            wanted = [f"1 to {self.batch}", *self._input.host.shape[1:]]
            raise InferenceError(f"the engine takes {wanted}, not {list(tensor.shape)}")
        staged = self._input.part(count)
        if not np.shares_memory(staged, tensor):
            np.copyto(staged, tensor, casting="same_kind")
        with self._guarded():
            self._launch(_TENSORS, size_for(self.sizes, count))
            self._stream.synchronize()
        return tuple(result.part(count) for result in self._results)

    def _require_sound(self) -> None:
        if self._failed is not None:
            raise InferenceError(f"the GPU failed and the model has to be loaded anew: {self._failed}")

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Make our context current; an error of CUDA or TensorRT is remembered and raised as InferenceError."""
        try:
            with self._current():
                yield
        except (self._cuda.Error, RuntimeError) as error:
            self._failed = one_line(error)
            raise InferenceError(f"the GPU failed: {self._failed}") from None

    def _launch(self, way: str, count: int) -> None:
        """Launch the fixed part of a run of `count`, as a graph if it was recorded; raises RuntimeError."""
        self._last = count
        if (way, count) not in self._graphs:
            # The first run of a kind: once as it is, as TensorRT demands, then recorded.
            self._enqueue(way, count)
            self._stream.synchronize()
            recorded = capture(self._stream.handle, lambda: self._enqueue(way, count)) if self._wants_graphs else None
            self._graphs[way, count] = recorded
        elif (graph := self._graphs[way, count]) is not None:
            graph.launch()
        else:
            self._enqueue(way, count)

    def _enqueue(self, way: str, count: int) -> None:
        """Put the fixed part of a run on our stream."""
        if way == _PICTURES:
            assert self._path is not None
            self._path.enqueue(lambda: self._execute(count), count)
            return
        source = self._input
        if source.device is not None:
            self._cuda.memcpy_htod_async(source.device, source.part(count), self._stream)
        self._execute(count)
        for result in self._results:
            if result.device is not None:
                self._cuda.memcpy_dtoh_async(result.part(count), result.device, self._stream)

    def _execute(self, count: int) -> None:
        if not self._executions[count].execute_async_v3(self._stream.handle):
            raise RuntimeError(said())

    @contextlib.contextmanager
    def _current(self) -> Iterator[None]:
        if self._context is None:
            raise InferenceError("the model was closed")
        self._context.push()
        try:
            yield
        finally:
            self._cuda.Context.pop()

    def close(self) -> None:
        """Free buffers and engine, then their context; may be called again."""
        if getattr(self, "_context", None) is None:
            return
        with contextlib.suppress(self._cuda.Error), self._current():
            for name in ("_graphs", "_path", "_input", "_results", "_executions", "_engine", "_runtime", "_stream"):
                self.__dict__.pop(name, None)
        self._context = None
        self._failed = self._failed or "it was closed"


def sizes_up_to(most: int) -> tuple[int, ...]:
    """1, 2, 4, ... and `most`: the allowed numbers of pictures per run; each needs an execution context."""
    doubled = [1 << step for step in range(most.bit_length()) if 1 << step < most]
    return (*doubled, most)


def size_for(sizes: Sequence[int], count: int) -> int:
    """The smallest run that has room for `count` pictures; raises InferenceError where none has."""
    for size in sizes:
        if size >= count >= 1:
            return size
    raise InferenceError(f"the engine takes 1 to {sizes[-1]} pictures at once, not {count}")


def _cuda() -> Any:
    try:
        import pycuda.driver as cuda
    except ImportError as error:
        raise ModelError(
            f"pycuda cannot be imported ({one_line(error)}): pip install 'detector[jetson]' on the machine with the GPU"
        ) from None
    return cuda


def _deserialise(path: Path, described: manifest.EngineManifest) -> tuple[trt.Runtime, trt.ICudaEngine]:
    from detector.inference.tensorrt.library import trt

    said()
    runtime = trt.Runtime(logger())
    engine = runtime.deserialize_cuda_engine(path.read_bytes())
    if engine is None:  # that is all it says of an engine that is not for this machine
        raise ModelError(f"TensorRT cannot load {path} ({said()}): run {described.rebuild(path)}")
    return runtime, engine
