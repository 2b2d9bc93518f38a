"""How the kernels are called: parameter structs, grids and arguments; CUDA is not imported here.

A backend puts the structs and buffers where the device reads them (mapped or device memory), then for each launch
calls `module.get_function(launch.kernel)(*launch.args, block=launch.block, grid=launch.grid, stream=...)`.
Pointers are device addresses as int. `letterbox.cu` and `post.cu` describe the kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from detector.core.types import Matrix, PlaneFormat
from detector.inference.preprocess import Placement, place
from detector.inference.spec import InputSpec

FloatType = Literal["float32", "float16"]

LETTERBOX_BLOCK = (64, 4, 1)
PIXELS_A_THREAD = (2, 4)  # horizontally, vertically
MAX_SIDE = 16384  # the kernel's exact arithmetic is 32-bit

PICTURE = np.dtype(
    [
        ("plane", np.uint64),
        ("chroma", np.uint64),
        ("chroma_v", np.uint64),
        *((name, np.int32) for name in ("width", "height", "stride", "chroma_stride")),
        *((name, np.int32) for name in ("fitted_width", "fitted_height", "pad_x", "pad_y")),
        ("inverse_x", np.float32),
        ("inverse_y", np.float32),
        ("format", np.int32),
        *((name, np.float32) for name in ("black", "gain", "red_v", "green_u", "green_v", "blue_u")),
        ("unused", np.int32),
    ]
)
"""letterbox.cu's struct Picture."""

_FORMATS: tuple[PlaneFormat, ...] = ("bgr", "nv12", "yuyv", "i420")
PLANES: dict[PlaneFormat, int] = {"bgr": 1, "nv12": 2, "yuyv": 1, "i420": 3}
# The address and stride of the first plane must be multiples of this.
_ALIGNED = {"bgr": 1, "nv12": 1, "yuyv": 4, "i420": 1}
_LUMA_WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}  # of red and blue: ITU-R BT.601, BT.709
SUFFIXES: dict[FloatType, str] = {"float32": "f32", "float16": "f16"}


@dataclass(frozen=True, slots=True)
class Launch:
    """One kernel call; `args` are NumPy scalars in the kernel's order."""

    kernel: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    args: tuple[np.generic, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePicture:
    """A picture in memory that the device can read: addresses and strides (bytes) of its planes.

    bgr: [H, W, 3] bytes. nv12: Y, then interleaved UV of half size. yuyv: Y0 U Y1 V for two pixels.
    i420: Y, U, V, the last two of half size and of one stride.
    """

    width: int
    height: int
    planes: tuple[int, ...]
    strides: tuple[int, ...]
    format: PlaneFormat = "bgr"
    matrix: Matrix = "bt601"
    full_range: bool = False

    def __post_init__(self) -> None:
        if not (1 <= self.width <= MAX_SIDE and 1 <= self.height <= MAX_SIDE):
            raise ValueError(f"a picture of {self.width} x {self.height} px: sides must lie in 1..{MAX_SIDE}")
        count = PLANES[self.format]
        if len(self.planes) != count or len(self.strides) != count:
            raise ValueError(f"{self.format} has {count} planes: give as many addresses and strides")
        for stride, (_, row) in zip(self.strides, plane_sizes(self.format, self.width, self.height), strict=True):
            if stride < row:
                raise ValueError(f"rows of {self.width} px are longer than a stride of {stride} bytes")
        if any(value % _ALIGNED[self.format] for value in (self.planes[0], self.strides[0])):
            raise ValueError(f"{self.format} needs an address and a stride that are multiples of 4")
        if self.format == "nv12" and (self.strides[1] % 2 or self.planes[1] % 2):
            raise ValueError("the UV plane needs an even address, and an even stride that holds its rows")
        if self.format == "i420" and self.strides[1] != self.strides[2]:
            raise ValueError("the U and V planes need the same stride")


def plane_sizes(picture_format: PlaneFormat, width: int, height: int) -> list[tuple[int, int]]:
    """(rows, bytes per row) of each plane; chroma of a picture with odd sides is rounded up."""
    across, down = -(-width // 2), -(-height // 2)
    chroma = {"bgr": [], "yuyv": [], "nv12": [(down, 2 * across)], "i420": [(down, across)] * 2}
    first = {"bgr": 3 * width, "yuyv": 4 * across, "nv12": width, "i420": width}
    return [(height, first[picture_format]), *chroma[picture_format]]


def picture_structs(
    sources: Sequence[DevicePicture | None], *, width: int, height: int, spec: InputSpec
) -> tuple[NDArray[np.void], list[Placement | None]]:
    """PICTURE [len(sources)] for an input of `width` x `height` px, and each picture's placement in it.

    None is an empty slot of the batch, which becomes grey.
    """
    structs = np.zeros(len(sources), PICTURE)
    placements: list[Placement | None] = []
    for struct, source in zip(structs, sources, strict=True):
        placements.append(None if source is None else _describe(struct, source, (width, height), spec))
    return structs, placements


def letterbox(
    *, pictures: int, count: int, out: int, width: int, height: int, spec: InputSpec, dtype: FloatType = "float32"
) -> Launch:
    """The launch that letterboxes `count` PICTUREs at `pictures` to `out` [count, 3, height, width] of `dtype`."""
    _refuse_unless(1 <= count <= 65535 and 1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE, "no such batch")
    _refuse_unless(not spec.normalised, "the kernel knows no mean and standard deviation")
    _refuse_unless(out % 8 == 0, "the input's address must be a multiple of 8")
    scale = np.float32(spec.scale)
    across, down, _ = LETTERBOX_BLOCK
    return Launch(
        kernel=f"letterbox_{SUFFIXES[dtype]}",
        grid=(-(-width // (across * PIXELS_A_THREAD[0])), -(-height // (down * PIXELS_A_THREAD[1])), count),
        block=LETTERBOX_BLOCK,
        args=(
            np.uint64(pictures), np.uint64(out), np.int32(width), np.int32(height),
            np.int32(spec.color == "bgr"), scale, np.float32(spec.pad) * scale,
        ),
    )  # fmt: skip


def _describe(struct: Any, source: DevicePicture, target: tuple[int, int], spec: InputSpec) -> Placement:
    size = (source.width, source.height)
    placement, fitted = place(size, target, centered=spec.placement == "center", stretched=spec.placement == "stretch")
    struct["plane"], struct["stride"] = source.planes[0], source.strides[0]
    if len(source.planes) > 1:
        struct["chroma"], struct["chroma_stride"] = source.planes[1], source.strides[1]
        struct["chroma_v"] = source.planes[-1]
    struct["format"] = _FORMATS.index(source.format)
    for axis, name in enumerate(("width", "height")):
        struct[name], struct[f"fitted_{name}"] = size[axis], fitted[axis]
        struct["inverse_" + "xy"[axis]] = 1.0 / (2 * fitted[axis])
    struct["pad_x"], struct["pad_y"] = placement.pad_x, placement.pad_y
    for name, value in _conversion(source.matrix, full_range=source.full_range).items():
        struct[name] = value
    return placement


def _conversion(matrix: Matrix, *, full_range: bool) -> dict[str, float]:
    """The kernel's factors from YUV in 0..255 to RGB in 0..255 (ITU-R BT.601 and BT.709; JFIF for full range)."""
    red, blue = _LUMA_WEIGHTS[matrix]
    green = 1.0 - red - blue
    luma, chroma = (1.0, 1.0) if full_range else (255.0 / 219.0, 255.0 / 224.0)
    return {
        "black": 0.0 if full_range else 16.0,
        "gain": luma,
        "red_v": 2.0 * (1.0 - red) * chroma,
        "green_u": -2.0 * (1.0 - blue) * blue / green * chroma,
        "green_v": -2.0 * (1.0 - red) * red / green * chroma,
        "blue_u": 2.0 * (1.0 - blue) * chroma,
    }


def _refuse_unless(fits: bool, why: str) -> None:
    if not fits:
        raise ValueError(why)
