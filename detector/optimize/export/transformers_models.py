"""Loads transformer detectors (RT-DETR, D-FINE and similar) from folders of the package transformers.

The only file that imports transformers (extra `transformer`). Weights are safetensors, which cannot run code.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detector.core.errors import ModelError, one_line
from detector.inference.layout import ACTIVATION, person_of
from detector.inference.spec import INPUT, InputSpec, to_metadata

from .traceable import Network, Rows, to_corners

_PERSON = "person"
_COCO, _COCO_IDS = 80, 91  # RT-DETR and D-FINE name none and keep COCO's order; DETR keeps COCO's own numbers
_WEIGHTS, _CONFIG, _PICTURES = "model.safetensors", "config.json", "preprocessor_config.json"
_DEFAULT_SIDE = 640


_SPEC = InputSpec(color="rgb", scale=1.0 / 255.0, placement="stretch")  # mean and deviation are in the network


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A network and the size in px (width, height) that its pictures are meant to have."""

    network: Network
    size: tuple[int, int]


def load(folder: Path, *, random_weights: bool = False, seed: int = 0) -> Folder:
    """The detector whose config.json and model.safetensors lie in `folder`; raises ModelError.

    `random_weights` uses only the architecture: it detects nothing, but its speed is the real one.
    """
    model = _model(folder, random_weights, seed)
    names = _names(model.config)
    told = _read(folder / _PICTURES)
    classes = _classes(model, _size(told))
    softmax = classes == len(names) + 1
    person = person_of(names)
    return Folder(
        network=Network(
            module=_wrapped(model, told),
            outputs=("scores", "boxes"),
            rows=_rows(_wrapped(model, told), person, softmax=softmax),
            head="queries",
            metadata={
                "task": "detect",
                "names": str(names),
                ACTIVATION: "softmax" if softmax else "sigmoid",
                INPUT: to_metadata(_SPEC),
            },
            bare=random_weights,
        ),
        size=_size(told),
    )


def _model(folder: Path, random_weights: bool, seed: int) -> Any:
    if not (folder / _CONFIG).is_file():
        raise ModelError(f"{folder} has no {_CONFIG}: a folder of a transformers model is needed")
    if not random_weights and not (folder / _WEIGHTS).is_file():
        raise ModelError(
            f"{folder} has no {_WEIGHTS}: download it with the rest, or try the architecture with --random-weights"
        )
    transformers = _import()
    import torch

    try:
        # Only classes of the package itself, and only files of this folder.
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        kind = transformers.AutoModelForObjectDetection
        if random_weights:
            return _lively(kind.from_config(config, trust_remote_code=False).float().eval(), seed)
        return kind.from_pretrained(folder, local_files_only=True, use_safetensors=True, dtype=torch.float32).eval()
    except Exception as error:  # the package raises whatever its parts raise
        raise ModelError(f"{folder} cannot be opened as a transformers detector: {one_line(error)}") from None


def _lively(model: Any, seed: int) -> Any:
    """Random weights of the size that keeps numbers alive from layer to layer (He et al., arXiv 1502.01852).

    Those of a new network die away, all its queries score the same, and which are chosen is left to rounding.
    """
    import torch

    torch.manual_seed(seed)
    for layer in model.modules():
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return model


def _import() -> Any:
    os.environ.update({"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TRANSFORMERS_VERBOSITY": "error"})
    try:
        import transformers
    except ImportError:
        raise ModelError("the package transformers is not installed: pip install 'detector[transformer]'") from None
    transformers.utils.logging.disable_progress_bar()
    return transformers


def _names(config: Any) -> dict[int, str]:
    """The classes' names, those of COCO where the config has none but their number."""
    names = {int(number): str(name) for number, name in config.id2label.items()}
    if all(name == f"LABEL_{number}" for number, name in names.items()) and len(names) in (_COCO, _COCO_IDS):
        names[0 if len(names) == _COCO else 1] = _PERSON
    return names


def _read(path: Path) -> dict[str, Any]:
    """What is to be done to pictures; nothing where the folder does not say."""
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {one_line(error)}") from None
    return found if isinstance(found, dict) else {}


def _size(told: dict[str, Any]) -> tuple[int, int]:
    size = told.get("size")
    size = size if isinstance(size, dict) else {}
    return int(size.get("width", _DEFAULT_SIDE)), int(size.get("height", _DEFAULT_SIDE))


def _classes(model: Any, size: tuple[int, int]) -> int:
    """As many as it gives scores for; a smaller picture may have fewer places than it has queries."""
    import torch

    with torch.no_grad():
        return int(model(pixel_values=torch.zeros(1, 3, size[1], size[0])).logits.shape[-1])


def _wrapped(model: Any, told: dict[str, Any]) -> Any:
    """Pictures of 0..1 to scores [B,Q,classes] and boxes [B,Q,4]; mean and deviation become part of the network."""
    import torch

    class _Detector(torch.nn.Module):  # type: ignore[misc,unused-ignore]  # torch has types only where it is installed
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            shape = (1, 3, 1, 1)
            self.normalise = bool(told.get("do_normalize", False))
            self.register_buffer("mean", torch.tensor(told.get("image_mean", [0.0] * 3)).reshape(shape))
            self.register_buffer("deviation", torch.tensor(told.get("image_std", [1.0] * 3)).reshape(shape))

        def forward(self, pictures: Any) -> tuple[Any, Any]:
            if self.normalise:
                pictures = (pictures - self.mean) / self.deviation
            found = self.model(pixel_values=pictures)
            return found.logits, found.pred_boxes

    return _Detector().eval()


def _rows(module: Any, person: int, *, softmax: bool) -> Rows:
    import torch

    def rows(pictures: Any) -> tuple[Any, Any]:
        logits, boxes = module(pictures)
        height, width = pictures.shape[2:]
        scores = logits[0].softmax(dim=-1) if softmax else logits[0].sigmoid()
        return to_corners(boxes[0]) * torch.tensor([width, height] * 2), scores[:, person]

    return rows
