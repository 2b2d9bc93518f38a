"""Results of bench.visits that were measured before, kept by what they depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from detector.config.model_settings import Model
from detector.core.files import cache_dir, file_sha256, write_atomically
from detector.models.loading import resolve

from .visit_parts import VisitScene
from .visit_tally import FoundVisit, SceneResult

_ROOT = Path(__file__).resolve().parents[1]
_SOURCES = ("bench/visit*.py", "detector/analytics/*.py", "detector/inference/*.py", "detector/capture/clip.py")
_REPORT = "bench/visit_report.py"  # says the same figures otherwise
_FORMAT = 1


class VisitResults:
    """A file for each scene and settings in the cache; another `program` (see `program_key`) has other files."""

    def __init__(self, program: str) -> None:
        self._program = program

    def read(self, scene: VisitScene, settings: Mapping[str, Any], config: str) -> SceneResult | None:
        """The result, under the name `config`; None: not measured yet."""
        try:
            document = json.loads(self._path(scene, settings).read_text(encoding="utf-8"))
            visits = tuple(FoundVisit(**visit) for visit in document.pop("visits"))
            return replace(SceneResult(**document, visits=visits), config=config)
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def keep(self, scene: VisitScene, settings: Mapping[str, Any], result: SceneResult) -> None:
        path = self._path(scene, settings)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(asdict(result)) + "\n")

    def _path(self, scene: VisitScene, settings: Mapping[str, Any]) -> Path:
        asked = [_FORMAT, self._program, scene.part, scene.name, scene.condition, dict(settings)]
        key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:24]
        return cache_dir() / "bench" / "visits" / f"{key}.json"


def program_key() -> str:
    """Of the code that makes and measures scenes, the model with what its scores tell, and the runtime."""
    digest = hashlib.sha256(version("onnxruntime").encode())
    for path in sorted({path for pattern in _SOURCES for path in _ROOT.glob(pattern)} - {_ROOT / _REPORT}):
        digest.update(path.read_bytes())
    model = resolve(Model(backend="onnxruntime"))
    digest.update(file_sha256(model.path).encode() + repr(model.curves).encode())
    return digest.hexdigest()
