"""The stages around an engine on the GPU: letterbox before it, decoding and NMS after it.

Host and device share pinned, mapped memory for small data (descriptions, results); on a GPU that shares the host's
memory the frames stay there too. Everything is allocated when it is first needed, and a frame no larger than the
largest so far allocates nothing. The CUDA module is an argument: the backend imports it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.core.errors import InferenceError
from detector.core.types import Image, PlanarImage, Planes
from detector.inference.kernels import post
from detector.inference.kernels.compile import KernelSource, compiled
from detector.inference.kernels.launch import (
    MAX_SIDE,
    PICTURE,
    DevicePicture,
    FloatType,
    Launch,
    letterbox,
    picture_structs,
    plane_sizes,
)
from detector.inference.layout import Layout, anchors
from detector.inference.output_values import Persons
from detector.inference.preprocess import Placement
from detector.inference.spec import InputSpec

_ALIGNED = 256  # bytes: planes begin at multiples of this


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """The engine's input and outputs in memory; the kernels decode the outputs.

    `outputs` are addresses in the layout's order; `sizes` the allowed numbers of pictures per run, the largest last.
    """

    input_address: int
    input_dtype: FloatType
    outputs: tuple[int, ...]
    output_dtype: FloatType
    rows: int  # of an end-to-end head
    sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeSettings:
    """How to decode; `iou` None is the model family's own NMS threshold."""

    layout: Layout
    spec: InputSpec
    floor: float
    iou: float | None


class Pinned:
    """Pinned host memory of `size` bytes, and its address for the GPU."""

    def __init__(self, cuda: Any, size: int) -> None:
        flags = cuda.host_alloc_flags.DEVICEMAP
        # Bytes: pycuda knows no structured types.
        self.bytes: NDArray[np.uint8] = cuda.pagelocked_empty(size, np.uint8, mem_flags=flags)
        self.bytes.fill(0)
        allocation: Any = self.bytes.base
        self.address = int(allocation.get_device_pointer())


class _BatchSlot:
    """Memory for one picture of the batch; it grows to the largest picture so far."""

    def __init__(self, cuda: Any, stream: Any, *, shared: bool) -> None:
        self._cuda, self._stream, self._shared = cuda, stream, shared
        self._host: Pinned | None = None
        self._device: Any = None

    def take(self, planes: Planes) -> DevicePicture:
        """Copy the picture to where the GPU reads it; enqueues the transfer if one is needed."""
        sizes = plane_sizes(planes.format, planes.width, planes.height)
        begins, size = [], 0
        for rows, row in sizes:
            begins.append(size)
            size += -(-rows * row // _ALIGNED) * _ALIGNED
        if self._host is None or self._host.bytes.size < size:
            self._host = self._device = None  # free before allocating more
            self._host = Pinned(self._cuda, size)
            self._device = None if self._shared else self._cuda.mem_alloc(size)
        host = self._host
        for begin, (rows, row), plane in zip(begins, sizes, planes.planes, strict=True):
            np.copyto(host.bytes[begin : begin + rows * row].reshape(rows, row), plane)
        base = host.address
        if self._device is not None:
            self._cuda.memcpy_htod_async(self._device, host.bytes[:size], self._stream)
            base = int(self._device)
        return DevicePicture(
            width=planes.width,
            height=planes.height,
            planes=tuple(base + begin for begin in begins),
            strides=tuple(row for _, row in sizes),
            format=planes.format,
            matrix=planes.matrix,
            full_range=planes.full_range,
        )


class DevicePath:
    """Owns the buffers and kernels around an engine. Raises CUDA's errors, and ModelError."""

    def __init__(
        self, *, cuda: Any, stream: Any, arch: str, cache: Path, shared: bool, ends: Ends, task: DecodeSettings
    ) -> None:
        self._cuda, self._stream, self._task, self._ends = cuda, stream, task, ends
        self._functions: dict[str, Any] = {}
        sources: tuple[KernelSource, ...] = ("letterbox", "post")
        for source in sources:
            made = compiled(source, arch=arch, cache=cache)
            module = cuda.module_from_buffer(made.cubin)
            self._functions |= {kernel: module.get_function(kernel) for kernel in made.usage}
        self._slots = [_BatchSlot(cuda, stream, shared=shared) for _ in range(ends.sizes[-1])]
        self._structs = Pinned(cuda, PICTURE.itemsize * ends.sizes[-1])
        self._head = Pinned(cuda, post.HEAD.itemsize)
        self._results = Pinned(cuda, post.RESULT.itemsize * ends.sizes[-1])
        tensors = _tensors(ends, task)
        self._head.bytes[:] = post.head_struct(tensors, task.layout, floor=task.floor).view(np.uint8)
        scratch = post.scratch_bytes(tensors.cells, ends.sizes[-1])
        self._scratch = cuda.mem_alloc(scratch)
        cuda.memset_d8(int(self._scratch), 0, scratch)
        self.before = {count: self._letterbox(count) for count in ends.sizes}
        head, results, dtype = self._head.address, self._results.address, ends.output_dtype
        self.after = {
            count: (
                post.gather(head=head, scratch=int(self._scratch), cells=tensors.cells, count=count, dtype=dtype),
                post.suppress(head=head, scratch=int(self._scratch), results=results, count=count, dtype=dtype),
            )
            for count in ends.sizes
        }

    def _letterbox(self, count: int) -> Launch:
        layout, ends = self._task.layout, self._ends
        return letterbox(
            pictures=self._structs.address,
            count=count,
            out=ends.input_address,
            width=layout.width,
            height=layout.height,
            spec=self._task.spec,
            dtype=ends.input_dtype,
        )

    def stage(self, images: Sequence[Image], count: int) -> list[Placement | Exception]:
        """Copy pictures to where the GPU reads them, for a run of `count`; slots without a picture become grey.

        The error of a single picture is returned in its place; the others are processed.
        """
        failed: dict[int, Exception] = {}
        sources: list[DevicePicture | None] = [None] * count
        for index, image in enumerate(images):
            try:
                planes = _planes(image)
            except Exception as error:  # the conversion of a camera's picture may fail in any way
                failed[index] = error
            else:
                sources[index] = self._slots[index].take(planes)
        layout = self._task.layout
        structs, placements = picture_structs(sources, width=layout.width, height=layout.height, spec=self._task.spec)
        self._structs.bytes[: structs.nbytes] = structs.view(np.uint8)
        return [place or failed[index] for index, place in enumerate(placements[: len(images)])]

    def enqueue(self, engine: Callable[[], None], count: int) -> None:
        """Put the fixed part on the stream: letterbox, `engine`, decoding; may be recorded as a graph."""
        self._launch(self.before[count])
        engine()
        for launch in self.after[count]:
            self._launch(launch)

    def _launch(self, launch: Launch) -> None:
        self._functions[launch.kernel](*launch.args, block=launch.block, grid=launch.grid, stream=self._stream)

    def persons(self, index: int) -> Persons:
        """The persons in a picture, after waiting for the stream; raises InferenceError for an invalid result."""
        return post.persons(self._results.bytes.view(post.RESULT)[index])


def _planes(image: Image) -> Planes:
    """The picture's planes in its source's format, or as BGR; raises InferenceError if it is invalid."""
    planes = image.planes() if isinstance(image, PlanarImage) else None
    if planes is None:
        pixels = image.bgr()
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or pixels.size == 0:
            raise InferenceError(f"not a BGR picture: {pixels.dtype} {list(pixels.shape)}, needed uint8 [H, W, 3]")
        height, width, _ = pixels.shape
        planes = Planes(format="bgr", width=width, height=height, planes=(pixels.reshape(height, 3 * width),))
    if max(planes.width, planes.height) > MAX_SIDE or min(planes.width, planes.height) < 1:
        raise InferenceError(f"a picture of {planes.width} x {planes.height} px: sides must lie in 1..{MAX_SIDE}")
    shapes = [plane.shape for plane in planes.planes]
    if shapes != plane_sizes(planes.format, planes.width, planes.height):
        raise InferenceError(f"planes {shapes} are no {planes.format} picture of {planes.width} x {planes.height} px")
    return planes


def _tensors(ends: Ends, task: DecodeSettings) -> post.HeadTensors:
    layout = task.layout
    cells = ends.rows if layout.kind == "end-to-end" else anchors(layout.width, layout.height)
    if layout.kind == "yolox-boxes":
        found = post.cut_tensors(
            ends.outputs[layout.boxes],
            ends.outputs[layout.scores or 0],
            cells=cells,
            classes=layout.classes or 1,
            person=layout.person,
            dtype=ends.output_dtype,
        )
    else:
        found = post.head_tensors(layout, ends.outputs[0], cells=cells, dtype=ends.output_dtype)
    return found if task.iou is None or layout.kind == "end-to-end" else replace(found, iou=task.iou)
