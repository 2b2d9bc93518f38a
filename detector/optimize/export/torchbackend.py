"""A PyTorch network as a detection backend, to check it before it is exported."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from detector.core.types import Floats
from detector.inference.detector import PersonDetector
from detector.inference.tensors import TensorSpec


class TorchBackend:
    """Runs an ultralytics detection network in eval mode, in fp32, on the CPU; `size` is width, height in px."""

    name, precision, provider = "pytorch", "fp32", "cpu"

    def __init__(self, model: Any, *, size: tuple[int, int]) -> None:
        self._model, self._size = model, size
        shape = tuple(self._forward(np.zeros((1, 3, size[1], size[0]), np.float32)).shape)
        self.outputs = (TensorSpec("output0", shape, "float32"),)

    @property
    def version(self) -> str:
        return str(torch.__version__)

    @property
    def digest(self) -> str:
        """sha256 of the weights, hex: a network in memory has no file."""
        done = hashlib.sha256()
        for name, value in self._model.state_dict().items():
            done.update(name.encode() + value.contiguous().numpy().tobytes())
        return done.hexdigest()

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec("images", (1, 3, self._size[1], self._size[0]), "float32"),)

    @property
    def metadata(self) -> Mapping[str, str]:
        """As an exported model carries it."""
        end_to_end = bool(getattr(self._model.model[-1], "end2end", False))
        return {"names": str(dict(self._model.names)), "end2end": str(end_to_end), "task": "detect"}

    def run(self, tensor: Floats) -> tuple[NDArray[Any], ...]:
        return (self._forward(tensor),)

    def close(self) -> None:
        """Nothing to let go of."""

    def _forward(self, tensor: Floats) -> NDArray[Any]:
        with torch.inference_mode():
            found = self._model(torch.from_numpy(tensor))
        decoded: NDArray[Any] = found[0].numpy()
        return decoded


def judge(model: Any, *, size: tuple[int, int], score_floor: float) -> PersonDetector:
    """`model` as a detector, to be evaluated or timed."""
    return PersonDetector(model_name="pytorch", backend=TorchBackend(model, size=size), score_floor=score_floor)
