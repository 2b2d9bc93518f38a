"""Heads for the post-processing kernels: their tensors in host memory, and what the kernels make of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.inference.kernels import post
from detector.inference.kernels.launch import FloatType
from detector.inference.layout import Layout

from .hostkernels import HostKernels, address

DENSE = Layout(kind="dense", width=64, height=96, classes=3, person=1)
GRID = Layout(kind="yolox-grid", width=64, height=96, classes=2)
END_TO_END = Layout(kind="end-to-end", width=64, height=96, person=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostKernels:
    """Scratch, results and launches for `count` pictures of a head; `kept` keeps its tensors alive."""

    tensors: post.HeadTensors
    layout: Layout
    floor: float
    kept: tuple[NDArray[Any], ...]
    count: int = 1
    dtype: FloatType = "float32"
    scratch: NDArray[np.uint8] = field(init=False)
    results: NDArray[np.void] = field(init=False)

    def __post_init__(self) -> None:
        cells = self.tensors.cells
        # Words of eight bytes, as the kernels want them.
        scratch = np.zeros(post.scratch_bytes(cells, self.count) // 8, np.uint64).view(np.uint8)
        object.__setattr__(self, "scratch", scratch)
        object.__setattr__(self, "results", np.zeros(self.count, post.RESULT))

    def __call__(self, host: HostKernels, *, variant: str = "base", order: int = 0) -> NDArray[np.void]:
        """RESULT [count]; what a kernel leaves unwritten is left from before."""
        struct = post.head_struct(self.tensors, self.layout, floor=self.floor)
        head, scratch, results = address(struct), address(self.scratch), address(self.results)
        gather = post.gather(
            head=head, scratch=scratch, cells=self.tensors.cells, count=self.count, dtype=self.dtype
        )  # fmt: skip
        suppress = post.suppress(head=head, scratch=scratch, results=results, count=self.count, dtype=self.dtype)
        for launch in (gather, suppress):
            host.launch(launch, variant=variant, order=order)
        return self.results

    def clean(self) -> bool:
        """Whether the scratch is ready for the next frame: a wrong kernel's next run would write beyond it."""
        return not self.scratch.reshape(self.count, -1)[:, :16].any()


def post_of(layout: Layout, output: NDArray[Any], *, floor: float) -> PostKernels:
    """The kernels on the one output [B, ...] of a model, in its own precision."""
    dtype: FloatType = "float16" if output.dtype == np.float16 else "float32"
    cells = output.shape[1] if layout.kind == "end-to-end" else None
    tensors = post.head_tensors(layout, address(output), cells=cells, dtype=dtype)
    return PostKernels(tensors=tensors, layout=layout, floor=floor, kept=(output,), count=len(output), dtype=dtype)


def crowd(layout: Layout, cells: int, *, seed: int, people: int = 6, busy: float = 0.5) -> NDArray[np.float32]:
    """An output [1, ...] of `layout`: boxes jittered around `people` places, the share `busy` of them scored."""
    rng = np.random.default_rng(seed)
    size = np.array([layout.width, layout.height] * 2)
    places = np.concatenate([rng.uniform(0.1, 0.9, (people, 2)), rng.uniform(0.05, 0.5, (people, 2))], axis=1) * size
    boxes = places[rng.integers(0, people, cells)] + rng.normal(0, 1.5, (cells, 4))
    scores = rng.uniform(0, 1, (cells, layout.classes or 1)) * (rng.uniform(0, 1, (cells, 1)) < busy)
    scores = np.round(scores, 2)  # so that some are equal
    if layout.kind == "dense":
        columns = np.concatenate([boxes, scores], axis=1).T
        return np.ascontiguousarray(columns[None], np.float32)
    if layout.kind == "yolox-grid":
        raw = np.concatenate([rng.normal(0, 0.7, (cells, 4)), rng.uniform(0.5, 1, (cells, 1)), scores], axis=1)
        return np.ascontiguousarray(raw[None], np.float32)
    corners = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1)
    labels = rng.integers(0, 3, (cells, 1)) + rng.uniform(-0.1, 0.1, (cells, 1))
    return np.ascontiguousarray(np.concatenate([corners, scores[:, :1], labels], axis=1)[None], np.float32)
