"""What a model's input or output is called, its shape and its type."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output; None is a length that the graph leaves open; `dtype` is NumPy's name."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.name} {self.dtype} [{', '.join('any' if side is None else str(side) for side in self.shape)}]"
