"""Which input size serves a picture's aspect: the less padding, the less work, at the same scale."""

from __future__ import annotations

InputSize = tuple[int, int]
"""Width and height in px."""

_MULTIPLE = 32  # the coarsest grid's stride
_SHORT_SIDES = ((3, 4), (9, 16))  # of the long one: cameras' usual aspects
_SAME_SCALE = 0.999


def allowed_input_sizes(base: InputSize) -> tuple[InputSize, ...]:
    """The sizes that a model for `base` is made for: itself, and for a square one 4:3 and 16:9, lying and standing.

    The long side stays, so a person is as many pixels tall as before; the short one is rounded up to a
    multiple of 32. A model that is not square was made for its aspect already.
    """
    side, height = base
    if side != height or side % _MULTIPLE:
        return (base,)
    short = [-(-side * over // (under * _MULTIPLE)) * _MULTIPLE for over, under in _SHORT_SIDES]
    lying = [(side, other) for other in short if other < side]
    return (base, *lying, *((other, side) for side, other in lying))


def best_input_size(base: InputSize, width: int, height: int) -> InputSize:
    """Of the allowed sizes the smallest that shows a picture of `width` x `height` px as large as any does."""
    if width < 1 or height < 1:
        raise ValueError(f"a picture of {width} x {height} px has no aspect")
    shapes = allowed_input_sizes(base)
    scales = {shape: min(shape[0] / width, shape[1] / height) for shape in shapes}
    enough = max(scales.values()) * _SAME_SCALE
    return min((shape for shape in shapes if scales[shape] >= enough), key=lambda shape: shape[0] * shape[1])
