"""Enough of CUDA in host memory for the device's path: its kernels compiled for the host, ONNX Runtime for the engine.

Launches run at once; the engine reads and writes the same addresses as on a GPU. What is asked of CUDA is counted.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from detector.core.errors import InferenceError
from detector.core.types import Floats, Image
from detector.inference.backends import gpu_pipeline
from detector.inference.backends.base import DeviceDetections
from detector.inference.backends.gpu_pipeline import DecodeSettings, DevicePath, Ends
from detector.inference.backends.onnxruntime import OnnxRuntimeBackend
from detector.inference.backends.tensorrt import size_for, sizes_up_to
from detector.inference.kernels.launch import Launch
from detector.inference.layout import Layout
from detector.inference.preprocess import Placement
from detector.inference.spec import InputSpec
from detector.inference.tensors import TensorSpec

from .hostkernels import HostKernels


class _Allocation:
    """What pycuda's pinned arrays have for their base."""

    def __init__(self, shape: Any, dtype: Any) -> None:
        self._memory = np.empty(shape, dtype)
        self.__array_interface__ = self._memory.__array_interface__

    def get_device_pointer(self) -> int:
        return int(self._memory.ctypes.data)


class HostCuda:
    """As much of pycuda as the path asks for, in host memory; `calls` counts them by name."""

    host_alloc_flags = SimpleNamespace(DEVICEMAP=2)

    def __init__(self, kernels: dict[str, HostKernels]) -> None:
        self._kernels = kernels
        self._kept: list[Any] = []
        self.calls: Counter[str] = Counter()

    def asked(self, what: str) -> None:
        self.calls[what] += 1

    def pagelocked_empty(self, shape: Any, dtype: Any, mem_flags: int) -> NDArray[Any]:
        assert mem_flags == self.host_alloc_flags.DEVICEMAP
        self.asked("allocate")
        return np.asarray(_Allocation(shape, dtype))

    def mem_alloc(self, size: int) -> int:
        self.asked("allocate")
        self._kept.append(np.empty(size + 256, np.uint8))
        address = int(self._kept[-1].ctypes.data)
        return address + -address % 256  # as CUDA's own

    def memset_d8(self, address: int, value: int, size: int) -> None:
        self.asked("memset")
        ctypes.memset(address, value, size)

    def memcpy_htod_async(self, address: int, source: NDArray[Any], _stream: Any) -> None:
        self.asked("to device")
        ctypes.memmove(address, source.ctypes.data, source.nbytes)

    def memcpy_dtoh_async(self, target: NDArray[Any], address: int, _stream: Any) -> None:
        self.asked("to host")
        ctypes.memmove(target.ctypes.data, address, target.nbytes)

    def module_from_buffer(self, cubin: bytes) -> Any:
        self.asked("module")
        host = self._kernels[cubin.decode()]

        def function(name: str) -> Callable[..., None]:
            def run(*args: Any, grid: Any, block: Any, stream: Any) -> None:
                self.calls[f"launch {name.rsplit('_', 1)[0]}"] += 1
                host.launch(Launch(kernel=name, grid=grid, block=block, args=args))

            return run

        return SimpleNamespace(get_function=function)


def use_host_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the compilation for a GPU: HostCuda knows the sources by name."""

    def compiled(source: str, **_: Any) -> Any:
        names = {"letterbox": ["letterbox_f32", "letterbox_f16"], "post": []}[source]
        names = names or [f"{kind}_{suffix}" for kind in ("gather", "suppress") for suffix in ("f32", "f16")]
        return SimpleNamespace(cubin=source.encode(), usage=dict.fromkeys(names))

    monkeypatch.setattr(gpu_pipeline, "compiled", compiled)


class HostEngine:
    """A PictureBackend: the path around ONNX Runtime, which works at the addresses that an engine would."""

    name, version, provider = "host", "1", "host"

    def __init__(self, cuda: HostCuda, path: Path, *, shared: bool, half: bool = False, batch: int = 1) -> None:
        self._model = OnnxRuntimeBackend(path=path, threads=2)
        self.precision, self.digest, self.metadata = self._model.precision, self._model.digest, self._model.metadata
        self.inputs, self.outputs = self._model.inputs, self._model.outputs
        self.cuda, self._shared, self._half, self.batch = cuda, shared, half, batch
        self.path: DevicePath | None = None
        self.runs: list[int] = []

    def configure(self, *, layout: Layout, spec: InputSpec, floor: float, iou: float | None) -> bool:
        kind: Any = "float16" if self._half else "float32"
        self._in = np.zeros((self.batch, 3, layout.height, layout.width), kind)
        self.results = [np.zeros((self.batch, *_shape(spec)[1:]), kind) for spec in self.outputs]
        ends = Ends(
            input_address=int(self._in.ctypes.data),
            input_dtype=kind,
            outputs=tuple(int(result.ctypes.data) for result in self.results),
            output_dtype=kind,
            rows=self.results[0].shape[1],
            sizes=sizes_up_to(self.batch),
        )
        task = DecodeSettings(layout=layout, spec=spec, floor=floor, iou=iou)
        self.path = DevicePath(
            cuda=self.cuda, stream=None, arch="sm_87", cache=Path(), shared=self._shared, ends=ends, task=task
        )
        return True

    def infer(self, images: Sequence[Image]) -> list[DeviceDetections | Exception]:
        assert self.path is not None
        count = size_for(sizes_up_to(self.batch), len(images))
        self.runs.append(count)
        placed = self.path.stage(images, count)
        self.path.enqueue(lambda: self.execute(count), count)
        return [self._seen(index, place) for index, place in enumerate(placed)]

    def _seen(self, index: int, place: Placement | Exception) -> DeviceDetections | Exception:
        assert self.path is not None
        try:
            return place if isinstance(place, Exception) else (self.path.persons(index), place)
        except InferenceError as error:
            return error

    def execute(self, count: int) -> None:
        """The engine alone: each picture by itself, since the shared models take one."""
        for index in range(count):
            answers = self._model.run(self._in[index : index + 1].astype(np.float32))
            for result, answer in zip(self.results, answers, strict=True):
                result[index] = answer[0]

    def rerun(self) -> None:
        self.execute(1)

    def run(self, tensor: Floats) -> tuple[NDArray[Any], ...]:
        return self._model.run(tensor)

    def close(self) -> None:
        self._model.close()


def _shape(spec: TensorSpec) -> tuple[int, ...]:
    assert None not in spec.shape
    return tuple(side for side in spec.shape if side is not None)
