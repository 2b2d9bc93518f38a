"""pycuda.driver, cuda.bindings.driver and a TensorRT runtime in host memory, for the backend's own code to run on.

Signatures are those of pycuda 2026.1, cuda-bindings 12.9 and 13.0 and TensorRT 10.3's Python API, as their sources
and stubs have them; nothing else is there, so a name or an argument too many fails here and not on a GPU. The engine
is ONNX Runtime at the same addresses. Every call of CUDA's must find its context current, as on a GPU; while a stream is
captured, what is enqueued is kept and not run.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from detector.inference.backends import tensorrt
from detector.inference.backends.onnxruntime import OnnxRuntimeBackend
from detector.inference.tensorrt import library as module

from .engines import GPU
from .hostcuda import HostCuda
from .hostkernels import HostKernels

STREAM = 0x57
_CURRENT = threading.local()


class CudaError(Exception):
    """pycuda.driver.Error."""


class CudaMemoryError(CudaError):
    """pycuda.driver.MemoryError."""


class _Context:
    def push(self) -> None:
        _stack().append(self)

    @staticmethod
    def pop() -> None:
        if not _stack():
            raise CudaError("context::pop failed: invalid device context - cannot pop non-current context")
        _stack().pop()


def _stack() -> list[_Context]:
    if not hasattr(_CURRENT, "stack"):
        _CURRENT.stack = []
    stack: list[_Context] = _CURRENT.stack
    return stack


class _DriverAllocation:
    """pycuda.driver.DeviceAllocation."""

    def __init__(self, address: int) -> None:
        self._address = address

    def __int__(self) -> int:
        return self._address


class HostDriver(HostCuda):
    """pycuda.driver of one GPU; `fail` is raised by the next launch, as a fault of the GPU's is."""

    Error, MemoryError = CudaError, CudaMemoryError
    Context = _Context
    device_attribute = SimpleNamespace(INTEGRATED="integrated")

    def __init__(self, kernels: dict[str, HostKernels], *, integrated: bool) -> None:
        super().__init__(kernels)
        self.integrated = integrated
        self.recording: list[Callable[[], None]] | None = None
        self.fail: CudaError | None = None
        self._started = False

    def init(self, flags: int = 0) -> None:
        assert flags == 0
        self._started = True

    def Device(self, number: int) -> Any:  # noqa: N802 - pycuda's name
        assert self._started, "cuInit was not called"
        assert number == 0
        return SimpleNamespace(
            name=lambda: GPU.name,
            get_attribute=lambda which: int({"integrated": self.integrated}[which]),
            retain_primary_context=_Context,
        )

    def Stream(self, flags: int = 0) -> Any:  # noqa: N802 - pycuda's name
        self.asked("stream")
        assert flags == 0
        return SimpleNamespace(handle=STREAM, synchronize=lambda: self.asked("wait for the stream"))

    def mem_alloc(self, size: int) -> Any:
        return _DriverAllocation(super().mem_alloc(size))

    def memset_d8(self, dest: int, data: int, size: int) -> None:
        super().memset_d8(dest, data, size)

    def memcpy_htod_async(self, dest: Any, src: NDArray[Any], stream: Any = None) -> None:
        self._own(stream)
        assert src.flags.c_contiguous
        self.enqueue("to device", lambda: ctypes.memmove(int(dest), src.ctypes.data, src.nbytes))

    def memcpy_dtoh_async(self, dest: NDArray[Any], src: Any, stream: Any = None) -> None:
        self._own(stream)
        assert dest.flags.c_contiguous
        self.enqueue("to host", lambda: ctypes.memmove(dest.ctypes.data, int(src), dest.nbytes))

    def module_from_buffer(self, buffer: bytes) -> Any:
        inner = super().module_from_buffer(buffer)

        def get_function(name: str) -> Callable[..., None]:
            def call(*args: Any, grid: Any = (1, 1), block: Any = None, stream: Any = None) -> None:
                assert all(isinstance(arg, np.number) for arg in args), "pycuda packs NumPy's numbers alone"
                assert len(grid) == len(block) == 3
                self._own(stream)
                if self.fail is not None:
                    raise self.fail
                self.enqueue("launch", lambda: inner.get_function(name)(*args, grid=grid, block=block, stream=None))

            return call

        return SimpleNamespace(get_function=get_function)

    def asked(self, what: str) -> None:
        assert _stack(), f"{what}: no context is current in this thread"
        self.calls[what] += 1

    def enqueue(self, what: str, work: Callable[[], Any]) -> None:
        """Runs `work`, or keeps it while the stream is captured."""
        self.asked(what if self.recording is None else f"{what}, captured")
        if self.recording is None:
            work()
        else:
            self.recording.append(work)

    def _own(self, stream: Any) -> None:
        assert stream is not None, "the default stream would wait for the whole device"
        assert stream.handle == STREAM


class _DriverResult(IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_ILLEGAL_ADDRESS = 700


class _Mode(IntEnum):
    CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1


class HostGraphs:
    """cuda.bindings.driver, as far as graphs go."""

    CUstreamCaptureMode = _Mode

    def __init__(self, cuda: HostDriver) -> None:
        self._cuda = cuda
        self.alive = 0

    def cuStreamBeginCapture(self, hStream: int, mode: _Mode) -> tuple[_DriverResult]:  # noqa: N802, N803 - CUDA's names
        assert hStream == STREAM
        assert isinstance(mode, _Mode)
        assert self._cuda.recording is None
        self._cuda.recording = []
        return (_DriverResult.CUDA_SUCCESS,)

    def cuStreamEndCapture(self, hStream: int) -> tuple[_DriverResult, Any]:  # noqa: N802, N803
        assert hStream == STREAM
        recorded, self._cuda.recording = self._cuda.recording, None
        self.alive += 1
        return _DriverResult.CUDA_SUCCESS, recorded

    def cuGraphInstantiate(self, hGraph: Any, flags: int) -> tuple[_DriverResult, Any]:  # noqa: N802, N803
        assert flags == 0
        self.alive += 1
        return _DriverResult.CUDA_SUCCESS, hGraph

    def cuGraphLaunch(self, hGraphExec: Any, hStream: int) -> tuple[_DriverResult]:  # noqa: N802, N803
        assert hStream == STREAM
        self._cuda.asked("graph")
        if self._cuda.fail is not None:
            return (_DriverResult.CUDA_ERROR_ILLEGAL_ADDRESS,)
        for work in hGraphExec:
            work()
        return (_DriverResult.CUDA_SUCCESS,)

    def cuGraphExecDestroy(self, hGraphExec: Any) -> tuple[_DriverResult]:  # noqa: N802, N803
        self.alive -= 1
        return (_DriverResult.CUDA_SUCCESS,)

    def cuGraphDestroy(self, hGraph: Any) -> tuple[_DriverResult]:  # noqa: N802, N803
        self.alive -= 1
        return (_DriverResult.CUDA_SUCCESS,)


class HostTrt:
    """As much of TensorRT 10.3 as runs an engine; its plan is the path of an ONNX file."""

    TensorIOMode = SimpleNamespace(INPUT="in", OUTPUT="out")
    __version__ = "10.3.0"
    __name__ = "tensorrt"

    def __init__(self, cuda: HostDriver, *, batch: int) -> None:
        self._cuda, self._batch = cuda, batch

    class ILogger:
        Severity = SimpleNamespace(ERROR=1, INTERNAL_ERROR=0, WARNING=2)

    def Runtime(self, logger: Any) -> Any:  # noqa: N802 - TensorRT's name
        assert isinstance(logger, self.ILogger)
        return SimpleNamespace(deserialize_cuda_engine=lambda plan: _Engine(self._cuda, plan.decode(), self._batch))

    @staticmethod
    def nptype(kind: str) -> type:
        return {"FLOAT": np.float32}[kind]


class _Engine:
    def __init__(self, cuda: HostDriver, path: str, batch: int) -> None:
        self.cuda, self.batch = cuda, batch
        self.model = OnnxRuntimeBackend(path=Path(path), threads=2)
        self.specs = {spec.name: spec for spec in (*self.model.inputs, *self.model.outputs)}
        self.num_io_tensors = len(self.specs)

    def get_tensor_name(self, index: int) -> str:
        return list(self.specs)[index]

    def get_tensor_mode(self, name: str) -> str:
        return "in" if name == self.model.inputs[0].name else "out"

    def get_tensor_dtype(self, name: str) -> str:
        return {"float32": "FLOAT"}[self.specs[name].dtype]

    def create_execution_context(self) -> Any:
        return _Execution(self)


class _Execution:
    def __init__(self, engine: _Engine) -> None:
        self._engine = engine
        self._count = 0
        self._addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: Sequence[int]) -> bool:
        self._count = shape[0]
        return 1 <= shape[0] <= self._engine.batch and tuple(shape[1:]) == self._engine.specs[name].shape[1:]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (self._count, *(side or 0 for side in self._engine.specs[name].shape[1:]))

    def set_tensor_address(self, name: str, address: int) -> bool:
        assert isinstance(address, int)
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert stream_handle == STREAM
        self._engine.cuda.enqueue("engine", self._run)
        return True

    def _run(self) -> None:
        model, (given, *results) = self._engine.model, [self._at(name) for name in self._engine.specs]
        for index in range(self._count):
            for result, answer in zip(results, model.run(given[index : index + 1]), strict=True):
                result[index] = answer[0]

    def _at(self, name: str) -> NDArray[np.float32]:
        shape = self.get_tensor_shape(name)
        memory = (ctypes.c_float * int(np.prod(shape))).from_address(self._addresses[name])
        return np.ctypeslib.as_array(memory).reshape(shape)


def installed(
    monkeypatch: pytest.MonkeyPatch, kernels: dict[str, HostKernels], *, integrated: bool, batch: int, graphs: bool
) -> Iterator[tuple[HostDriver, HostGraphs]]:
    """All of it where the backend's imports find it, until the generator goes on."""
    cuda = HostDriver(kernels, integrated=integrated)
    recorder = HostGraphs(cuda)
    pycuda, bindings = ModuleType("pycuda"), ModuleType("cuda.bindings")
    pycuda.driver = cuda  # type: ignore[attr-defined]
    bindings.driver = recorder  # type: ignore[attr-defined]
    for name, value in {
        "pycuda": pycuda,
        "pycuda.driver": cuda,
        "cuda": ModuleType("cuda"),
        "cuda.bindings": bindings if graphs else None,
    }.items():
        monkeypatch.setitem(sys.modules, name, value)
    library = HostTrt(cuda, batch=batch)
    monkeypatch.setattr(module, "_module", lambda: library)
    monkeypatch.setattr(tensorrt, "find_gpu", lambda: GPU)
    module.logger.cache_clear()
    yield cuda, recorder
    module.logger.cache_clear()
    assert not _stack(), "a context was left current"
