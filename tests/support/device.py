"""The kernels on a real GPU, through pycuda: the same launches as on the host, on device addresses."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from detector.inference.kernels.compile import KernelSource, compiled
from detector.inference.kernels.launch import Launch


class CudaDevice:
    """One primary context, current in this thread; memory lives as long as this does."""

    def __init__(self, cuda: Any, cache: Path) -> None:
        self._cuda, self._cache = cuda, cache
        gpu = cuda.Device(0)
        self.name: str = gpu.name()
        major, minor = gpu.compute_capability()
        self.arch = f"sm_{major}{minor}"
        self._stream = cuda.Stream()
        self._functions: dict[str, Any] = {}
        self._kept: list[Any] = []

    def add(self, source: KernelSource) -> None:
        """Compiles `source` for this GPU."""
        made = compiled(source, arch=self.arch, cache=self._cache)
        module = self._cuda.module_from_buffer(made.cubin)
        self._functions |= {kernel: module.get_function(kernel) for kernel in made.usage}

    def put(self, array: NDArray[Any]) -> int:
        """Address of a copy of `array`."""
        allocation = self._cuda.mem_alloc(array.nbytes)
        self._cuda.memcpy_htod(allocation, _raw(array))
        self._kept.append(allocation)
        return int(allocation)

    def put_mapped(self, array: NDArray[Any]) -> int:
        """Address, for the device, of a copy of `array` that stays in host memory."""
        flags = self._cuda.host_alloc_flags.DEVICEMAP
        pinned: Any = self._cuda.pagelocked_empty(array.nbytes, np.uint8, mem_flags=flags)
        pinned[:] = _raw(array)
        self._kept.append(pinned)
        return int(pinned.base.get_device_pointer())

    def get(self, place: int, into: NDArray[Any]) -> None:
        """Copies from `place`, after all that was launched."""
        self._stream.synchronize()
        self._cuda.memcpy_dtoh(_raw(into), place)

    def launch(self, *launches: Launch) -> None:
        for launch in launches:
            self._functions[launch.kernel](
                *launch.args, block=launch.block, grid=launch.grid, stream=self._stream
            )  # fmt: skip

    def seconds(self, launches: Sequence[Launch], *, repeats: int = 200) -> float:
        """Of one go of `launches`, the median of ten rounds."""
        rounds = []
        for _ in range(11):  # the first warms up
            begin, end = self._cuda.Event(), self._cuda.Event()
            begin.record(self._stream)
            for _ in range(repeats):
                self.launch(*launches)
            end.record(self._stream)
            end.synchronize()
            rounds.append(begin.time_till(end) / 1e3 / repeats)
        return float(np.median(rounds[1:]))

    def close(self) -> None:
        self._kept.clear()
        self._functions.clear()
        del self._stream


def _raw(array: NDArray[Any]) -> NDArray[np.uint8]:
    """The bytes of a contiguous array, not a copy: structs are nothing that pycuda knows."""
    return array.reshape(-1).view(np.uint8)


@contextmanager
def device(cache: Path) -> Iterator[CudaDevice]:
    """The first GPU; skips, with the reason, where there is none that pycuda can use."""
    try:
        cuda: Any = importlib.import_module("pycuda.driver")
    except ImportError as error:
        pytest.skip(f"needs pycuda and a driver: {error}")
    try:
        cuda.init()
        context = cuda.Device(0).retain_primary_context()
    except cuda.Error as error:
        pytest.skip(f"needs an NVIDIA GPU: {error}")
    context.push()
    try:
        gpu = CudaDevice(cuda, cache)
        try:
            yield gpu
        finally:
            gpu.close()
    finally:
        context.pop()
