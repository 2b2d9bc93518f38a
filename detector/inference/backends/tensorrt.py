"""TensorRT through pycuda: the only file that imports pycuda.

One retained primary context, pushed around every call, so that loading in one thread and serving in
another is sound; at any time one thread uses the backend. Buffers, stream and graphs are made once.
Per run: one copy into pinned memory, the engine, the outputs back, a wait for our own stream alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from detector.engines import sidecar
from detector.engines.gpu import find_gpu
from detector.engines.module import library, logger, said, sides_of
from detector.engines.sidecar import Environment
from detector.errors import InferenceError, ModelError
from detector.types import Floats

from .base import Precision, TensorSpec, existing_file, one_line
from .cudagraph import Captured, capture

if TYPE_CHECKING:
    import tensorrt as trt


@dataclass(slots=True, kw_only=True)
class _Tensor:
    """An input or output: `host` is pinned, [batch, ...]; `address` is what the engine reads or writes.

    `device` is None where the GPU shares the host's memory: then `address` is the host buffer's own.
    """

    spec: TensorSpec
    host: NDArray[Any]
    device: Any
    address: int

    def part(self, count: int) -> NDArray[Any]:
        return self.host[:count]


class TensorRtBackend:
    """The engine at `path`, made by `detector build`.

    Refuses with ModelError, and the command that helps, what is stale, foreign, damaged or (with
    `judged`) not accepted on this machine; `model_sha256` is that of the ONNX file now, where there is
    one. After an InferenceError from CUDA every further run fails at once: load it anew.
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
        described = sidecar.read(path)
        here = Environment.of(library(), find_gpu())
        sidecar.require_fit(path, described, here, model_sha256=model_sha256, judged=judged)
        if precision not in ("auto", described.recipe.precision):
            raise ModelError(f"{path.name} is an {described.recipe.precision} engine: use precision auto")
        self.version, self.precision = here.tensorrt, described.recipe.precision
        self.provider, self.digest = here.gpu, described.sha256
        self.metadata: Mapping[str, str] = described.metadata
        self.spec = described.spec
        self._failed: str | None = None
        self._wants_graphs = graphs
        self._graph: Captured | None = None
        self._count = 0  # what the engine is set to, and the graph was recorded with
        self._cuda = _cuda()
        try:
            self._cuda.init()
            self._device = self._cuda.Device(0)
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

    def _open(self, path: Path, described: sidecar.Sidecar) -> None:
        self._stream: Any = self._cuda.Stream()
        self._runtime, self._engine = _deserialise(path, described)
        self._execution = self._engine.create_execution_context()
        if self._execution is None:
            raise ModelError(f"{path} cannot be run here, for want of memory perhaps: {said()}")
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        inputs = [name for name in names if self._is_input(name)]
        if len(inputs) != 1:
            raise ModelError(f"{path.name} takes {len(inputs)} inputs, one picture is needed")
        self._execution.set_input_shape(inputs[0], tuple(described.recipe.shapes[inputs[0]][-1]))
        self._input = self._tensor(inputs[0], path)
        self._results = [self._tensor(name, path) for name in names if name not in inputs]
        self.inputs, self.outputs = (self._input.spec,), tuple(result.spec for result in self._results)
        self.batch = self._input.host.shape[0]

    def _is_input(self, name: str) -> bool:
        from detector.engines.module import trt

        return bool(self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT)

    def _tensor(self, name: str, path: Path) -> _Tensor:
        """The tensor's buffers, at the engine's largest shapes."""
        from detector.engines.module import trt

        shape = tuple(sides_of(self._execution.get_tensor_shape(name)))
        if min(shape, default=1) < 1:
            raise ModelError(
                f"{path.name} has an output, {name}, whose length only the GPU knows: "
                "build it with detector build, which cuts the NMS off"
            )
        dtype = np.dtype(trt.nptype(self._engine.get_tensor_dtype(name)))
        flags = self._cuda.host_alloc_flags.DEVICEMAP
        host: NDArray[Any] = self._cuda.pagelocked_empty(shape, dtype, mem_flags=flags)
        host.fill(0)
        # A Jetson's GPU reads the host's memory itself: a copy would only cost.
        shared = bool(self._device.get_attribute(self._cuda.device_attribute.INTEGRATED))
        device = None if shared else self._cuda.mem_alloc(host.nbytes)
        pinned: Any = host.base  # pycuda's allocation
        address = int(pinned.get_device_pointer()) if device is None else int(device)
        if not self._execution.set_tensor_address(name, address):
            raise ModelError(f"{path.name} refuses its buffer {name}: {said()}")
        # What a picture at a time sees: layouts are told by one.
        open_batch = self._engine.get_tensor_shape(name)[0] == -1
        sides = (None if open_batch else shape[0], *shape[1:])
        return _Tensor(spec=TensorSpec(name, sides, dtype.name), host=host, device=device, address=address)

    # Running

    @property
    def input_buffer(self) -> Floats | None:
        """Pinned float32 [1,3,H,W] that preprocessing may fill, to spare a copy; None for other types."""
        first = self._input.part(1)
        return first if first.dtype == np.float32 else None

    def run(self, tensor: Floats) -> tuple[NDArray[Any], ...]:
        """The outputs for float32 [n,3,H,W], n at most `batch`; views of pinned memory, until the next run."""
        if self._failed is not None:
            raise InferenceError(f"the GPU failed and the model has to be loaded anew: {self._failed}")
        count = tensor.shape[0]
        if tensor.shape[1:] != self._input.host.shape[1:] or not 1 <= count <= self.batch:
            wanted = [f"1 to {self.batch}", *self._input.host.shape[1:]]
            raise InferenceError(f"the engine takes {wanted}, not {list(tensor.shape)}")
        staged = self._input.part(count)
        if not np.shares_memory(staged, tensor):
            np.copyto(staged, tensor, casting="same_kind")
        try:
            with self._current():
                self._launch(count)
                self._stream.synchronize()
        except (self._cuda.Error, RuntimeError) as error:
            self._failed = one_line(error)
            raise InferenceError(f"the GPU failed: {self._failed}") from None
        return tuple(result.part(count) for result in self._results)

    def _launch(self, count: int) -> None:
        """Raises RuntimeError, as CUDA's own errors are to the caller."""
        if count != self._count:
            self._count, self._graph = 0, None
            self._set_up(count)
            self._count = count
        elif self._graph is None:
            self._enqueue(count)
        else:
            self._graph.launch()

    def _set_up(self, count: int) -> None:
        """The first run of a batch size: once as it is, as TensorRT demands, then recorded."""
        if not self._execution.set_input_shape(self._input.spec.name, (count, *self._input.host.shape[1:])):
            raise RuntimeError(said())
        self._enqueue(count)
        self._stream.synchronize()
        if self._wants_graphs:
            self._graph = capture(self._stream.handle, lambda: self._enqueue(count))

    def _enqueue(self, count: int) -> None:
        """Everything of a run, onto our stream."""
        source = self._input
        if source.device is not None:
            self._cuda.memcpy_htod_async(source.device, source.part(count), self._stream)
        if not self._execution.execute_async_v3(self._stream.handle):
            raise RuntimeError(said())
        for result in self._results:
            if result.device is not None:
                self._cuda.memcpy_dtoh_async(result.part(count), result.device, self._stream)

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
        """Buffers and engine first, then the context that they live in; harmless twice."""
        if getattr(self, "_context", None) is None:
            return
        with contextlib.suppress(self._cuda.Error), self._current():
            for name in ("_graph", "_input", "_results", "_execution", "_engine", "_runtime", "_stream"):
                self.__dict__.pop(name, None)
        self._context = None
        self._failed = self._failed or "it was closed"


def _cuda() -> Any:
    try:
        import pycuda.driver as cuda
    except ImportError as error:
        raise ModelError(
            f"pycuda cannot be imported ({one_line(error)}): pip install 'detector[jetson]' on the machine with the GPU"
        ) from None
    return cuda


def _deserialise(path: Path, described: sidecar.Sidecar) -> tuple[trt.Runtime, trt.ICudaEngine]:
    from detector.engines.module import trt

    said()
    runtime = trt.Runtime(logger())
    engine = runtime.deserialize_cuda_engine(path.read_bytes())
    if engine is None:  # that is all it says of an engine that is not for this machine
        raise ModelError(f"TensorRT cannot load {path} ({said()}): run {described.rebuild(path)}")
    return runtime, engine
