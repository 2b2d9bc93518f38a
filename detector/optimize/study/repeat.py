"""Makes the model of a recipe again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.core.errors import ModelError
from detector.core.files import file_sha256
from detector.core.progress import Progress
from detector.core.types import Image
from detector.inference.backends.onnx_metadata import inspect
from detector.models.registry import load_registry

from . import data
from .forms import MAKERS, Making
from .publish import copy_whole
from .recipe import StudyRecipe
from .variant import MODEL


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """`same`: the file is byte for byte what the recipe's study had."""

    file: Path
    sha256: str
    same: bool


def repeat(recipe: StudyRecipe, out: Path, progress: Progress) -> Repeated:
    """Makes `out`/model.onnx; raises ModelError where the model or the calibration pictures are others."""
    found = load_registry().resolve(recipe.model, progress)
    if inspect(found.path).digest != recipe.model_sha256:
        raise ModelError(f"{recipe.model} is another model than the recipe's: its sha256 differs")
    form = recipe.form
    making = Making(
        path=found.path if form.source == MODEL else Path(str(recipe.candidate)),
        shape=form.shape,
        person_only=form.person_only,
        pictures=_pictures(recipe),
        spec=found.spec,
    )
    made = MAKERS[form.precision].make(making)
    file = out / "model.onnx"
    copy_whole(made, file)
    sha256 = file_sha256(file)
    return Repeated(file=file, sha256=sha256, same=sha256 == recipe.result_sha256)


def _pictures(recipe: StudyRecipe) -> Sequence[Image]:
    if not MAKERS[recipe.form.precision].calibrated or recipe.calibration is None:
        return ()
    found = data.calibration(Path(recipe.calibration), names=recipe.calibration_names or None)
    if found.digest != recipe.calibration_sha256:
        raise ModelError(f"the pictures in {recipe.calibration} are not those that the recipe was made with")
    return found.pictures
