"""A picture's whole way on the GPU: letterbox before the engine, decoding and NMS behind it.

Host and device share pinned, mapped memory for what is small (descriptions, results); on a GPU that has the
host's memory for its own the frames stay there too. Everything is allocated when it is first needed, and a
frame no larger than the largest so far allocates nothing. CUDA comes in as an argument: the backend imports it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.errors import InferenceError
from detector.inference.decode import Persons
from detector.inference.kernels import post
from detector.inference.kernels.compile import KernelSource, compiled
from detector.inference.kernels.launch import PICTURE, DevicePicture, FloatType, Launch, letterbox, picture_structs
from detector.inference.layout import Layout, anchors
from detector.inference.preprocess import Placement
from detector.inference.spec import InputSpec
from detector.types import Image

LAUNCHES_BEFORE_ENGINE = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """Where the engine reads and writes: its only output is a head that the kernels decode."""

    input_address: int
    input_dtype: FloatType
    output_address: int
    output_dtype: FloatType
    rows: int  # of an end-to-end head
    batch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What the detector wants of it; `iou` None takes the family's own."""

    layout: Layout
    spec: InputSpec
    floor: float
    iou: float | None


class Pinned:
    """Pinned host memory of `shape`, and the address under which the GPU sees it."""

    def __init__(self, cuda: Any, size: int) -> None:
        flags = cuda.host_alloc_flags.DEVICEMAP
        # Bytes: pycuda knows no structured types.
        self.bytes: NDArray[np.uint8] = cuda.pagelocked_empty(size, np.uint8, mem_flags=flags)
        self.bytes.fill(0)
        allocation: Any = self.bytes.base
        self.address = int(allocation.get_device_pointer())


class _Slot:
    """Room for one picture of the batch; it grows to the largest that came."""

    def __init__(self, cuda: Any, stream: Any, *, shared: bool) -> None:
        self._cuda, self._stream, self._shared = cuda, stream, shared
        self._host: Pinned | None = None
        self._device: Any = None

    def take(self, image: Image) -> DevicePicture:
        """A copy of the picture where the GPU reads it; enqueues the transfer where there is one."""
        pixels = image.bgr()
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or pixels.size == 0:
            raise InferenceError(f"not a BGR picture: {pixels.dtype} {list(pixels.shape)}, needed uint8 [H, W, 3]")
        height, width, _ = pixels.shape
        host, size = self._room(pixels.size), pixels.size
        np.copyto(host.bytes[:size].reshape(pixels.shape), pixels)
        address = host.address
        if self._device is not None:
            self._cuda.memcpy_htod_async(self._device, host.bytes[:size], self._stream)
            address = int(self._device)
        return DevicePicture(width=width, height=height, planes=(address,), strides=(3 * width,))

    def _room(self, size: int) -> Pinned:
        if self._host is None or self._host.bytes.size < size:
            self._host = self._device = None  # give back before taking more
            self._host = Pinned(self._cuda, size)
            self._device = None if self._shared else self._cuda.mem_alloc(size)
        return self._host


class DevicePath:
    """Owns the buffers and kernels on both sides of an engine. Raises what CUDA raises, and ModelError."""

    def __init__(self, *, cuda: Any, stream: Any, arch: str, cache: Path, shared: bool, ends: Ends, task: Task) -> None:
        self._cuda, self._stream, self._task, self._ends = cuda, stream, task, ends
        self._functions: dict[str, Any] = {}
        sources: tuple[KernelSource, ...] = ("letterbox", "post")
        for source in sources:
            made = compiled(source, arch=arch, cache=cache)
            module = cuda.module_from_buffer(made.cubin)
            self._functions |= {kernel: module.get_function(kernel) for kernel in made.usage}
        self._slots = [_Slot(cuda, stream, shared=shared) for _ in range(ends.batch)]
        self._structs = Pinned(cuda, PICTURE.itemsize * ends.batch)
        self._head = Pinned(cuda, post.HEAD.itemsize)
        self._results = Pinned(cuda, post.RESULT.itemsize * ends.batch)
        tensors = _tensors(ends, task)
        self._head.bytes[:] = post.head_struct(tensors, task.layout, floor=task.floor).view(np.uint8)
        scratch = post.scratch_bytes(tensors.cells, ends.batch)
        self._scratch = cuda.mem_alloc(scratch)
        cuda.memset_d8(int(self._scratch), 0, scratch)
        self.before = self._letterbox()
        self.after = self._decoding(tensors.cells)

    def _letterbox(self) -> Launch:
        layout, ends = self._task.layout, self._ends
        return letterbox(
            pictures=self._structs.address,
            count=ends.batch,
            out=ends.input_address,
            width=layout.width,
            height=layout.height,
            spec=self._task.spec,
            dtype=ends.input_dtype,
        )

    def _decoding(self, cells: int) -> tuple[Launch, Launch]:
        head, scratch, dtype = self._head.address, int(self._scratch), self._ends.output_dtype
        gather = post.gather(head=head, scratch=scratch, cells=cells, count=self._ends.batch, dtype=dtype)
        suppress = post.suppress(
            head=head, scratch=scratch, results=self._results.address, count=self._ends.batch, dtype=dtype
        )
        return gather, suppress

    def stage(self, images: Sequence[Image]) -> list[Placement]:
        """Pictures to where the GPU reads them, at most `batch`; empty places become grey."""
        sources = [slot.take(image) for slot, image in zip(self._slots, images, strict=False)]
        empty = [None] * (self._ends.batch - len(sources))
        layout = self._task.layout
        structs, placements = picture_structs(
            [*sources, *empty], width=layout.width, height=layout.height, spec=self._task.spec
        )
        self._structs.bytes[:] = structs.view(np.uint8)
        return [placement for placement in placements if placement is not None]

    def enqueue(self, engine: Callable[[], None]) -> None:
        """The fixed part, on the stream: letterbox, `engine`, decoding; may be recorded as a graph."""
        self._launch(self.before)
        engine()
        for launch in self.after:
            self._launch(launch)

    def _launch(self, launch: Launch) -> None:
        self._functions[launch.kernel](*launch.args, block=launch.block, grid=launch.grid, stream=self._stream)

    def persons(self, count: int) -> list[Persons]:
        """What was found in each picture, once the stream was waited for; raises InferenceError on nonsense."""
        results = self._results.bytes.view(post.RESULT)
        return [post.persons(results[index]) for index in range(count)]


def _tensors(ends: Ends, task: Task) -> post.HeadTensors:
    layout = task.layout
    cells = ends.rows if layout.kind == "end-to-end" else anchors(layout.width, layout.height)
    found = post.head_tensors(layout, ends.output_address, cells=cells, dtype=ends.output_dtype)
    return found if task.iou is None or layout.kind == "end-to-end" else replace(found, iou=task.iou)
