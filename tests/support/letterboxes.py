"""Pictures in every format for the letterbox kernel, and what should come of them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.core.types import Matrix, Pixels, PlaneFormat
from detector.inference.kernels.launch import (
    DevicePicture,
    FloatType,
    letterbox,
    picture_structs,
    plane_sizes,
)
from detector.inference.preprocess import place
from detector.inference.spec import InputSpec

from .hostkernels import HostKernels, Traffic, address

ULTRALYTICS = InputSpec(color="rgb", scale=1 / 255)
YOLOX = InputSpec(color="bgr", scale=1.0, placement="top-left")
Exact = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RawSample:
    """A picture as rows of bytes, one buffer with its planes one after the other, `strides` bytes a row."""

    format: PlaneFormat
    width: int
    height: int
    buffer: Pixels
    strides: tuple[int, ...]
    matrix: Matrix = "bt601"
    full_range: bool = False

    def at(self, base: int) -> DevicePicture:
        """The picture with its buffer at address `base`."""
        return DevicePicture(
            width=self.width, height=self.height, planes=tuple(base + at for at in self._begins()), strides=self.strides,
            format=self.format, matrix=self.matrix, full_range=self.full_range,
        )  # fmt: skip

    def rows(self, plane: int = 0) -> Pixels:
        """Plane's rows with their padding."""
        begins = [*self._begins(), self.buffer.size]
        return self.buffer[begins[plane] : begins[plane + 1]].reshape(-1, self.strides[plane])

    def _begins(self) -> list[int]:
        rows = [rows for rows, _ in plane_sizes(self.format, self.width, self.height)]
        return [sum(r * s for r, s in zip(rows[:plane], self.strides, strict=False)) for plane in range(len(rows))]

    def bgr(self) -> Pixels:
        """OpenCV's conversion; it knows BT.601 of limited range."""
        if self.format == "bgr":
            return np.ascontiguousarray(self.rows()[:, : 3 * self.width].reshape(self.height, self.width, 3))
        if self.format == "yuyv":
            pairs = self.rows()[:, : 2 * self.width].reshape(self.height, self.width, 2)
            return np.asarray(cv2.cvtColor(np.ascontiguousarray(pairs), cv2.COLOR_YUV2BGR_YUYV), np.uint8)
        luma = np.ascontiguousarray(self.rows()[:, : self.width])
        if self.format == "i420":
            half = self.width // 2
            packed = [luma.reshape(-1), *(self.rows(plane)[:, :half].reshape(-1) for plane in (1, 2))]
            whole = np.concatenate(packed).reshape(-1, self.width)
            return np.asarray(cv2.cvtColor(whole, cv2.COLOR_YUV2BGR_I420), np.uint8)
        chroma = np.ascontiguousarray(self.rows(1)[:, : self.width].reshape(self.height // 2, -1, 2))
        return np.asarray(cv2.cvtColorTwoPlane(luma, chroma, cv2.COLOR_YUV2BGR_NV12), np.uint8)


def noise(picture_format: PlaneFormat, width: int, height: int, *, spare: int = 0, seed: int = 0) -> RawSample:
    """Random bytes, rows `spare` bytes (or a few more, where the format wants it) longer than they need be."""
    if picture_format == "nv12":
        strides: tuple[int, ...] = (width + spare, width + width % 2 + 2 * spare)
        size = strides[0] * height + strides[1] * -(-height // 2)
        if strides[0] * height % 2:  # UV must begin at an even address
            return noise(picture_format, width, height, spare=spare + 1, seed=seed)
    elif picture_format == "i420":
        strides = (width + spare, -(-width // 2) + spare, -(-width // 2) + spare)
        size = strides[0] * height + 2 * strides[1] * -(-height // 2)
    else:
        strides = (3 * width + spare,) if picture_format == "bgr" else (2 * (width + width % 2) + 4 * spare,)
        size = strides[0] * height
    buffer = aligned(size)
    buffer[:] = np.random.default_rng(seed).integers(0, 256, size, np.uint8)
    return RawSample(format=picture_format, width=width, height=height, buffer=buffer, strides=strides)


def aligned(size: int) -> Pixels:
    """Bytes at a multiple of 256, where CUDA's own allocations begin."""
    spare = np.empty(size + 255, np.uint8)
    begin = -address(spare) % 256
    return spare[begin : begin + size]


def pixels_sample(pixels: Pixels) -> RawSample:
    """A BGR picture as it is."""
    height, width = pixels.shape[:2]
    return RawSample(format="bgr", width=width, height=height, buffer=pixels.reshape(-1), strides=(3 * width,))


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterboxRun:
    """What the kernel is to make: an input of `width` x `height` px."""

    width: int = 416
    height: int = 416
    spec: InputSpec = ULTRALYTICS
    dtype: FloatType = "float32"

    def __call__(
        self, host: HostKernels, *samples: RawSample | None, variant: str = "base", order: int = 0
    ) -> NDArray[np.floating]:
        """The tensor [len(samples), 3, height, width]; NaN where the kernel wrote nothing."""
        return self._made(host, samples, variant, order)[0]

    def count(self, host: HostKernels, *samples: RawSample | None) -> tuple[NDArray[np.floating], Traffic, int]:
        """The tensor, what was moved, and how many blocks ran."""
        out, traffic, blocks = self._made(host, samples, "base", None)
        assert traffic is not None
        return out, traffic, blocks

    def _made(
        self, host: HostKernels, samples: tuple[RawSample | None, ...], variant: str, order: int | None
    ) -> tuple[NDArray[np.floating], Traffic | None, int]:
        sources = [None if sample is None else sample.at(address(sample.buffer)) for sample in samples]
        structs, _ = picture_structs(sources, width=self.width, height=self.height, spec=self.spec)
        out = np.full((len(samples), 3, self.height, self.width), np.nan, self.dtype)
        launch = letterbox(
            pictures=address(structs), count=len(samples), out=address(out),
            width=self.width, height=self.height, spec=self.spec, dtype=self.dtype,
        )  # fmt: skip
        traffic = None
        if order is None:
            traffic = host.count(launch, variant=variant)
        else:
            host.launch(launch, variant=variant, order=order)
        return out, traffic, int(np.prod(launch.grid))


def by_opencv(pixels: Pixels, run: LetterboxRun, kind: type[np.uint8 | np.float32] = np.uint8) -> Exact:
    """[3, height, width]: cv2.resize in `kind` onto a grey canvas, in units of the input."""
    (left, top), size = _placed(pixels, run)
    resized = cv2.resize(pixels.astype(kind), size, interpolation=cv2.INTER_LINEAR).reshape(size[1], size[0], 3)
    return _canvas(np.asarray(resized, np.float64), left, top, run)


def by_definition(pixels: Pixels, run: LetterboxRun) -> Exact:
    """The same by bilinear interpolation in double precision, written as it is defined."""
    (left, top), (width, height) = _placed(pixels, run)
    values = pixels.astype(np.float64)
    for axis, size in ((0, height), (1, width)):
        length = values.shape[axis]
        at = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
        first = np.floor(at).astype(int)
        second = np.minimum(first + 1, length - 1)
        weight = np.expand_dims(at - first, tuple({0, 1, 2} - {axis}))
        values = values.take(first, axis) * (1 - weight) + values.take(second, axis) * weight
    return _canvas(values, left, top, run)


def _placed(pixels: Pixels, run: LetterboxRun) -> tuple[tuple[int, int], tuple[int, int]]:
    centered = run.spec.placement == "center"
    placement, size = place((pixels.shape[1], pixels.shape[0]), (run.width, run.height), centered=centered)
    return (placement.pad_x, placement.pad_y), size


def _canvas(values: Exact, left: int, top: int, run: LetterboxRun) -> Exact:
    canvas = np.full((run.height, run.width, 3), run.spec.pad, np.float64)
    canvas[top : top + values.shape[0], left : left + values.shape[1]] = values
    if run.spec.color == "rgb":
        canvas = canvas[:, :, ::-1]
    return np.asarray((canvas * run.spec.scale).transpose(2, 0, 1), np.float64)
