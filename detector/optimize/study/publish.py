"""Writes a study's results: report.html, report.json, and the winner's model.onnx and recipe.yaml."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from detector.core.files import PUBLIC, replacing

from . import recipe as recipes
from . import report
from .recipe import StudyRecipe
from .request import StudyRequest
from .results_cache import explained, write_whole
from .study import Cell, StudyOutcome
from .variant import MODEL
from .verdict import document as make_document

_MEASURED = ("drop", "drop_bound", "p50_ms", "p99_ms", "over_eager", "over_onnxruntime")


def publish(request: StudyRequest, outcome: StudyOutcome, model: str) -> dict[str, Any]:
    """Writes them into `request.out` and gives the document; `model` is what the user called it. Raises StorageError.

    Without a winner an older one's model and recipe go: they answer another question.
    """
    found = make_document(request, outcome)
    best = next((cell for cell in outcome.cells if cell.key == found["winner"]), None)
    file = request.out / "model.onnx"
    config = None
    if best is None:
        with explained(request.out):
            for stale in (file, request.out / "recipe.yaml"):
                stale.unlink(missing_ok=True)
    else:
        copy_whole(outcome.files[best.variant.form], file)
        chosen = _recipe(request, best, model)
        row = next(row for row in found["cells"] if row["key"] == best.key)
        measured = {name: None if row[name] is None else round(row[name], 3) for name in _MEASURED}
        recipes.write(request.out / "recipe.yaml", chosen, measured)
        config = recipes.config(chosen, file)
    write_whole(request.out / "report.json", json.dumps(found, indent=1) + "\n")
    write_whole(request.out / "report.html", report.page(found, config=config))
    return found


def copy_whole(source: Path, target: Path) -> None:
    """The file appears whole or not at all; raises StorageError."""
    with explained(target.parent), replacing(target, mode=PUBLIC) as part:
        shutil.copyfile(source, part)


def _recipe(request: StudyRequest, best: Cell, model: str) -> StudyRecipe:
    form, calibration = best.variant.form, request.calibration
    path = Path(model)
    return StudyRecipe(
        model=str(path.resolve()) if path.is_file() else model,
        model_sha256=request.sha256,
        form=form,
        runtime=best.variant.runtime,
        result_sha256=best.sha256,
        calibration=None if calibration is None else str(calibration.folder),
        calibration_sha256=None if calibration is None else calibration.digest,
        calibration_names=() if calibration is None else calibration.names,
        candidate=None if form.source == MODEL else str(request.candidates[form.source].resolve()),
    )
