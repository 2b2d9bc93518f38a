"""The input size for a picture's aspect ratio: less padding is less work at the same scale."""

from __future__ import annotations

InputSize = tuple[int, int]
"""Width and height in px."""

_MULTIPLE = 32  # the coarsest grid's stride
_SHORT_SIDES = ((3, 4), (9, 16))  # as a share of the long side: the usual aspect ratios of cameras
_SAME_SCALE = 0.999


def allowed_input_sizes(base: InputSize) -> tuple[InputSize, ...]:
    """The input sizes of a model for `base`: itself, and for a square one 4:3 and 16:9, landscape and portrait.

    The long side is kept, so people keep their height in pixels; the short one is rounded up to a multiple of 32.
    A model that is not square is already made for an aspect ratio.
    """
    side, height = base
    if side != height or side % _MULTIPLE:
        return (base,)
    short = [-(-side * over // (under * _MULTIPLE)) * _MULTIPLE for over, under in _SHORT_SIDES]
    lying = [(side, other) for other in short if other < side]
    return (base, *lying, *((other, side) for side, other in lying))


def best_input_size(base: InputSize, width: int, height: int) -> InputSize:
    """The smallest allowed size that shows a picture of `width` x `height` px at the largest scale."""
    if width < 1 or height < 1:
        raise ValueError(f"a picture of {width} x {height} px has no aspect")
    shapes = allowed_input_sizes(base)
    scales = {shape: min(shape[0] / width, shape[1] / height) for shape in shapes}
    enough = max(scales.values()) * _SAME_SCALE
    return min((shape for shape in shapes if scales[shape] >= enough), key=lambda shape: shape[0] * shape[1])
