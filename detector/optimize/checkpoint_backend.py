"""An ultralytics checkpoint run by PyTorch, eager and FP32, as it is loaded: the baseline that people start from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from detector.errors import InferenceError, ModelError
from detector.fetch.pin import digest
from detector.inference.backends.base import TensorSpec, one_line
from detector.inference.shapes import Shape
from detector.types import Floats

from . import checkpoints


class CheckpointBackend:
    """The network in the .pt at `path` over pictures of `shape`, on the CPU. Used by one thread; raises ModelError."""

    name, provider, precision = "pytorch", "CPU", "fp32"

    def __init__(self, *, path: Path, shape: Shape, threads: int) -> None:
        self._network: Any = checkpoints.load(path)  # says so where PyTorch is not installed
        if getattr(self._network.model[-1], "one2one_cv2", None) is not None:
            self._network.end2end = True  # YOLOv10 as published: newer ultralytics would run its dense head
        import torch

        torch.set_num_threads(threads)
        self._torch = torch
        width, height = shape
        self.version: str = torch.__version__
        self.digest = digest(path)
        names = getattr(self._network, "names", None)
        self.metadata: Mapping[str, str] = {"names": str(names)} if isinstance(names, dict) else {}
        self.inputs = (TensorSpec("images", (1, 3, height, width), "float32"),)
        found = self._forward(torch.zeros(1, 3, height, width))
        self.outputs = (TensorSpec("output0", tuple(found.shape), "float32"),)

    def run(self, tensor: Floats) -> tuple[NDArray[Any], ...]:
        if self._network is None:
            raise InferenceError("the model was closed")
        try:
            return (self._forward(self._torch.from_numpy(tensor)).numpy(),)
        except RuntimeError as error:
            raise InferenceError(f"pytorch could not run the model: {one_line(error)}") from None

    def close(self) -> None:
        self._network = None

    def _forward(self, tensor: Any) -> Any:
        with self._torch.inference_mode():
            found = self._network(tensor)
        while isinstance(found, (list, tuple)):  # in eval mode: what it predicts, then its heads' raw maps
            found = found[0]
        if not isinstance(found, self._torch.Tensor):
            raise ModelError(f"this checkpoint's network gives a {type(found).__name__}, not boxes")
        return found
