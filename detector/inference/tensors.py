"""Name, shape and type of a model's input or output."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output; None in `shape` is a dynamic length; `dtype` is NumPy's name."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.name} {self.dtype} [{', '.join('any' if side is None else str(side) for side in self.shape)}]"
