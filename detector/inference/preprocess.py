"""Preprocessing: a picture is scaled to fit the model's input and padded with grey, as float planes or bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.core.errors import InferenceError
from detector.core.resize import Shrinker
from detector.core.types import Floats, Image, Pixels, PlanarImage

from .spec import InputSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a picture of `source_width` x `source_height` px is in the model's input.

    input px = source px * scale + pad, per axis. The resized picture has whole pixels, so for thin pictures the two
    scales differ noticeably.
    """

    scale_x: float
    scale_y: float
    pad_x: int
    pad_y: int
    source_width: int
    source_height: int

    def to_source(self, boxes: Floats) -> Floats:
        """Boxes float32 [N,4] in input px to source px, clipped to the picture."""
        source: Floats = boxes - np.array((self.pad_x, self.pad_y) * 2, np.float32)
        source /= np.array((self.scale_x, self.scale_y) * 2, np.float32)
        np.maximum(source, np.float32(0.0), out=source)
        np.minimum(source, np.array((self.source_width, self.source_height) * 2, np.float32), out=source)
        return source


def place(
    source: tuple[int, int], target: tuple[int, int], *, centered: bool, stretched: bool = False
) -> tuple[Placement, tuple[int, int]]:
    """The placement of a picture of `source` (width, height) px in `target`, and its resized size.

    Sizes and padding are rounded as in the models' training: to the nearest pixel, an odd pixel of padding to the
    bottom and right (ultralytics' letterbox), or all padding there (YOLOX). `stretched`: no padding.
    """
    (width, height), (target_width, target_height) = source, target
    ratio = min(target_width / width, target_height / height)
    # Very thin pictures would be rounded to 0 px otherwise.
    new_width = min(max(1, round(width * ratio)), target_width)
    new_height = min(max(1, round(height * ratio)), target_height)
    if stretched:
        new_width, new_height = target
    placement = Placement(
        scale_x=new_width / width,
        scale_y=new_height / height,
        pad_x=(target_width - new_width) // 2 if centered else 0,
        pad_y=(target_height - new_height) // 2 if centered else 0,
        source_width=width,
        source_height=height,
    )
    return placement, (new_width, new_height)


class Letterbox:
    """Pictures to float32 [1,3,height,width] by `spec`, or with `pixels` to uint8 [1,height,width,3].

    Bytes are BGR, whatever `spec.color` is: models with folded preprocessing turn them round themselves. With
    `rgb_bytes` they are RGB, for models whose own input is bytes.

    The returned tensor is a buffer of this object: the next call overwrites it. Not thread-safe.
    """

    def __init__(
        self, *, width: int, height: int, spec: InputSpec, pixels: bool = False, rgb_bytes: bool = False
    ) -> None:
        if width < 1 or height < 1:
            raise ValueError(f"an input of {width} x {height} px holds no picture")
        self._size = (width, height)
        self._spec = spec
        factors, summands = spec.affine()
        bgr = slice(None) if spec.color == "bgr" else slice(None, None, -1)
        # In the order of OpenCV's planes: blue, green, red.
        self._factors = np.array(factors, np.float32)[bgr]
        self._summands = np.array(summands, np.float32)[bgr]
        self._rgb_bytes = rgb_bytes
        self._tensor: Floats = np.empty((1, 3, height, width), np.float32)
        self._bytes: Pixels | None = np.empty((height, width, 3), np.uint8) if pixels else None
        self._placement: Placement | None = None
        self._resized: Pixels = np.empty((0, 0, 3), np.uint8)
        self._shrink = Shrinker(width=0, height=0)
        self._split: list[Pixels] = []
        self._planes: list[Floats] = []

    def __call__(self, image: Image) -> tuple[NDArray[Any], Placement]:
        """The input tensor and the picture's placement in it; raises InferenceError for an invalid picture."""
        pixels = self._resized_planes(image)
        if pixels is not None:
            return self._to_tensor(pixels), self._prepare(image.width, image.height)
        pixels = image.bgr()
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or pixels.size == 0:
            raise InferenceError(f"not a BGR picture: {pixels.dtype} {list(pixels.shape)}, needed uint8 [H, W, 3]")
        placement = self._prepare(pixels.shape[1], pixels.shape[0])
        return self._to_tensor(pixels), placement

    def _resized_planes(self, image: Image) -> Pixels | None:
        """The resized picture, if its planes can be resized before colour conversion; else None."""
        planes = image.planes() if isinstance(image, PlanarImage) else None
        if planes is None:
            return None
        self._prepare(planes.width, planes.height)
        return self._shrink(planes)

    def _to_tensor(self, pixels: Pixels) -> NDArray[Any]:
        if self._bytes is not None:
            return self._pasted(pixels, self._bytes)[None]
        self._fill(pixels)
        return self._tensor

    def _prepare(self, width: int, height: int) -> Placement:
        """Prepare the buffers for a picture's size; the padding is written only when the size changes."""
        known = self._placement
        if known is not None and (known.source_width, known.source_height) == (width, height):
            return known
        placement, (new_width, new_height) = place(
            (width, height),
            self._size,
            centered=self._spec.placement == "center",
            stretched=self._spec.placement == "stretch",
        )
        if self._bytes is not None:
            self._bytes.fill(self._spec.pad)
        rows = slice(placement.pad_y, placement.pad_y + new_height)
        columns = slice(placement.pad_x, placement.pad_x + new_width)
        order = (0, 1, 2) if self._spec.color == "bgr" else (2, 1, 0)
        for channel, factor, summand in zip(order, self._factors, self._summands, strict=True):
            self._tensor[0, channel].fill(self._spec.pad * factor + summand)
        self._planes = [self._tensor[0, channel, rows, columns] for channel in order]
        self._resized = np.empty((new_height, new_width, 3), np.uint8)
        self._shrink = Shrinker(width=new_width, height=new_height)
        self._split = [np.empty((new_height, new_width), np.uint8) for _ in range(3)]
        self._placement = placement
        return placement

    def _pasted(self, pixels: Pixels, canvas: Pixels) -> Pixels:
        """The picture on the grey canvas, resized directly into its place."""
        placement, (height, width) = self._placement, self._resized.shape[:2]
        assert placement is not None
        part = canvas[placement.pad_y : placement.pad_y + height, placement.pad_x : placement.pad_x + width]
        if pixels.shape == part.shape:
            part[:] = pixels
        else:
            cv2.resize(pixels, (width, height), dst=part, interpolation=cv2.INTER_LINEAR)
        if self._rgb_bytes:
            cv2.cvtColor(part, cv2.COLOR_BGR2RGB, dst=part)
        return canvas

    def _fill(self, pixels: Pixels) -> None:
        source: NDArray[np.uint8] = pixels
        if pixels.shape != self._resized.shape:
            height, width = self._resized.shape[:2]
            cv2.resize(pixels, (width, height), dst=self._resized, interpolation=cv2.INTER_LINEAR)
            source = self._resized
        # Splitting bytes first, then converting whole planes, is faster than strided reads and mixed-type products.
        cv2.split(source, self._split)
        steps = zip(self._planes, self._split, self._factors, self._summands, strict=True)
        for plane, values, factor, summand in steps:
            np.copyto(plane, values)
            if factor != 1.0:
                np.multiply(plane, factor, out=plane)
            if summand != 0.0:
                np.add(plane, summand, out=plane)
