"""The recipe of a winner: a small YAML file from which the same model can be made again."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detector.config.yaml_text import dump, parse
from detector.core.errors import ConfigError, UsageError

from .forms import MAKERS
from .results_cache import write_whole
from .variant import MODEL, Runtime, VariantForm

_HEAD = "# Written by `detector optimize`; `detector optimize --recipe FILE` makes the same model again.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRecipe:
    """`model` is a registry name or a path, `calibration` a folder, its pictures' names and digest; `result` the file's sha256.

    `candidate` is the path of the form's source where that is not the model.
    """

    model: str
    model_sha256: str
    form: VariantForm
    runtime: Runtime
    result_sha256: str
    calibration: str | None = None
    calibration_sha256: str | None = None
    calibration_names: tuple[str, ...] = ()
    candidate: str | None = None


def write(path: Path, recipe: StudyRecipe, measured: dict[str, Any]) -> None:
    """Raises StorageError. `measured` is for people: nothing reads it."""
    form = {**dataclasses.asdict(recipe.form), "shape": list(recipe.form.shape)}
    calibration = (
        None
        if recipe.calibration is None
        else {
            "folder": recipe.calibration,
            "sha256": recipe.calibration_sha256,
            "pictures": list(recipe.calibration_names),
        }
    )
    document = {
        "model": recipe.model,
        "model_sha256": recipe.model_sha256,
        "candidate": recipe.candidate,
        "form": form,
        "calibration": calibration,
        "runtime": dataclasses.asdict(recipe.runtime),
        "result_sha256": recipe.result_sha256,
        "measured": measured,
    }
    write_whole(path, _HEAD + dump(document))


def read(path: Path) -> StudyRecipe:
    """Raises UsageError on what is no recipe."""
    try:
        document = parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the recipe {path}: {error.strerror}") from None
    except (ConfigError, UnicodeDecodeError):
        raise UsageError(f"{path} is not YAML: a recipe that detector optimize wrote is needed") from None
    try:
        return _checked(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise UsageError(f"{path} is no recipe of detector optimize: {reason}") from None


def _checked(document: Any) -> StudyRecipe:
    if not isinstance(document, dict):
        raise TypeError("a mapping is needed")
    width, height = document["form"]["shape"]
    form = VariantForm(**{**document["form"], "shape": (int(width), int(height))})
    if form.precision not in MAKERS:
        raise ValueError(f"no precision {form.precision!r}; known are {', '.join(MAKERS)}")
    if form.source != MODEL and not document.get("candidate"):
        raise KeyError("candidate")
    calibration = document.get("calibration") or {}
    if MAKERS[form.precision].calibrated and not calibration:
        raise KeyError("calibration")
    return StudyRecipe(
        model=str(document["model"]),
        model_sha256=str(document["model_sha256"]),
        form=form,
        runtime=Runtime(**document["runtime"]),
        result_sha256=str(document["result_sha256"]),
        calibration=calibration.get("folder"),
        calibration_sha256=calibration.get("sha256"),
        calibration_names=tuple(map(str, calibration.get("pictures") or ())),
        candidate=document.get("candidate"),
    )


def config(recipe: StudyRecipe, file: Path) -> str:
    """The service's configuration that runs the result, as YAML."""
    precision = "fp16" if recipe.runtime.half else "auto"
    model = {
        "name": str(file),
        "backend": recipe.runtime.backend,
        "precision": precision,
        "threads": recipe.runtime.threads,
    }
    return dump({"model": model})
