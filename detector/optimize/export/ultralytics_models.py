"""ultralytics' models, from and to their checkpoints: the only file that imports ultralytics (AGPL-3.0, extra `optimize`)."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detector.core.errors import ModelError
from detector.core.files import replacing

from .quiet_import import quiet_import

_INSTALL = "docs/commands.md, under export, says how to install it"


def load(path: Path, *, known: Sequence[type] = ()) -> Any:
    """The fp32 network (torch.nn.Module, in eval mode) that an ultralytics checkpoint holds; raises ModelError.

    A checkpoint is a pickle. Only classes of PyTorch and ultralytics are rebuilt, and those in `known`: what
    names anything else, or is no zip archive as PyTorch writes it, is refused before a line of it runs.
    """
    tasks = _tasks()
    import torch

    if not path.is_file():
        raise ModelError(f"{path} is not there, or is no file")
    if path.suffix != ".pt":
        raise ModelError(f"{path.name} is not a .pt checkpoint")
    if not zipfile.is_zipfile(path):
        raise ModelError(
            f"{path.name} is not a PyTorch checkpoint, or is cut short: "
            "bare pickles can run any code and are not opened; fetch or save it again with torch.save"
        )
    torch.serialization.add_safe_globals(list(known))
    try:
        found, _ = tasks.torch_safe_load(str(path.resolve()), safe_only=True)
    except Exception as error:  # pickle, zip, torch and ultralytics share no base
        raise ModelError(f"{path.name} cannot be opened as an ultralytics checkpoint: {_reason(error)}") from None
    model = found.get("ema") or found.get("model")
    if not isinstance(model, torch.nn.Module) or not hasattr(model, "yaml"):
        raise ModelError(f"{path.name} is no ultralytics checkpoint: it holds no such model, perhaps weights alone")
    task = getattr(model, "task", "detect")
    if task != "detect":
        raise ModelError(f"{path.name} is for the task {task!r}: a detection model is needed")
    return model.float().eval()


def save(model: Any, path: Path) -> None:
    """Writes `model` as a checkpoint that `load` and ultralytics read; the file appears whole or not at all.

    Raises ModelError when it cannot be written.
    """
    import torch

    try:
        with replacing(path) as part:
            torch.save({"model": model, "ema": None, "train_args": {}}, part)
    except (OSError, RuntimeError) as error:  # torch's zip writer turns a full disk into a RuntimeError
        raise ModelError(f"{path} cannot be written: {_reason(error)}") from None


def require(*, threads: int = 0) -> None:
    """Raises ModelError, with the way to get it, where the extra is not installed.

    `threads` for PyTorch to compute with; 0 leaves its own choice.
    """
    _tasks()
    if threads:
        import torch

        torch.set_num_threads(threads)


def build(config: str, *, seed: int = 0) -> Any:
    """The network that one of ultralytics' YAML configurations describes, such as yolov8n.yaml; weights random.

    With 80 classes they carry COCO's names, as its trained models' do.
    """
    tasks = _tasks()
    import torch

    torch.manual_seed(seed)
    kind = tasks.RTDETRDetectionModel if config.startswith("rtdetr") else tasks.DetectionModel
    model = kind(config, verbose=False).eval()
    names = tasks.YAML.load(Path(tasks.__file__).parents[1] / "cfg/datasets/coco.yaml")["names"]
    if len(model.names) == len(names):
        model.names = names
    return model


def _tasks() -> Any:
    """The module of its networks; raises ModelError where the extra is absent."""
    try:
        import torch  # noqa: F401  # before the other, whose message for its absence is long
    except ImportError:
        raise ModelError(f"PyTorch is not installed: {_INSTALL}") from None
    try:
        with quiet_import():
            from ultralytics.nn import tasks
    except ImportError as error:
        raise ModelError(f"ultralytics is not installed, or not whole ({error}): {_INSTALL}") from None
    return tasks


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
