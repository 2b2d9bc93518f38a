"""The chosen variant of a model on this machine, the reason, and the measurements; stored in the cache."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from detector.config.model_settings import Model
from detector.config.schema import Config
from detector.core.files import PUBLIC, cache_dir, key_of, write_atomically
from detector.inference.backends.onnx_metadata import inspect
from detector.inference.input_sizes import InputSize
from detector.models.registry import Resolved

from .candidates import Candidate, CandidateBackend, CandidatePrecision
from .machine import machine_key

log = logging.getLogger(__name__)

VERSION = 2
"""Version of the rules and of the document; increased when one of them changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateResult:
    """One candidate: ms and CPU ms of a run (None if it did not run), and why it was rejected, if it was."""

    form: Candidate
    ms: float | None
    cpu_ms: float | None
    refused: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The choice. `shapes` are its input sizes, of which the first was measured; `scenes` the cameras it was checked on.

    `files` are the file names of a calibrated variant; `spare` is the cheapest variant without calibration, for cameras
    that are not in `scenes`; `failed` variants failed in operation.
    """

    taken: Candidate
    why: str
    shapes: tuple[InputSize, ...]
    scenes: tuple[str, ...] = ()
    files: dict[InputSize, str] = dataclasses.field(default_factory=dict)
    results: tuple[CandidateResult, ...] = ()
    failed: dict[str, str] = dataclasses.field(default_factory=dict)
    spare: Candidate = dataclasses.field(default_factory=Candidate)

    def covers(self, shapes: Iterable[InputSize]) -> bool:
        return set(shapes) <= set(self.shapes)

    def knows(self, scenes: Iterable[str]) -> bool:
        """Whether pictures of all these cameras were used."""
        return set(scenes) <= set(self.scenes)

    def serves(self, scenes: Iterable[str]) -> bool:
        """Whether the variant may be used for these cameras; a calibrated one needs their pictures."""
        return not self.taken.calibrated or self.knows(scenes)

    def fit_for(self, scenes: Iterable[str]) -> Choice:
        """Itself if it may be used for these cameras, else a choice with the spare variant."""
        if self.serves(scenes):
            return self
        why = f"the cheapest that needs no pictures: {self.taken} was calibrated on those of other cameras"
        return dataclasses.replace(self, taken=self.spare, why=why, scenes=(), files={})

    def without(self, form: Candidate, why: str, *, threads: int) -> Choice:
        """The choice after `form` failed: the reference."""
        return dataclasses.replace(
            self,
            taken=Candidate(threads=threads),
            spare=Candidate(threads=threads),
            files={},
            why=f"{form} failed: {why}",
            failed={**self.failed, str(form): why},
        )

    def summary(self) -> dict[str, Any]:
        """A JSON document for display: candidates as text."""
        return {
            "taken": str(self.taken),
            "why": self.why,
            "scenes": list(self.scenes),
            "shapes": [_size(shape) for shape in self.shapes],
            "candidates": [
                {"form": str(each.form), "ms": each.ms, "cpu_ms": each.cpu_ms, "refused": each.refused}
                for each in self.results
            ],
        }

    def document(self) -> dict[str, Any]:
        """A JSON document for `parse`."""
        found = dataclasses.asdict(self)
        found["files"] = {_size(shape): name for shape, name in self.files.items()}
        found["shapes"] = [_size(shape) for shape in self.shapes]
        return found


def scenes_of(config: Config) -> dict[str, str]:
    """The enabled cameras: scene to name.

    A scene is a camera's name and a hash of its source without credentials; it identifies the camera on disk.
    """
    cameras = {name: each for name, each in config.cameras.items() if each.enabled}
    digests = {name: hashlib.sha256(each.shown_source.encode()).hexdigest()[:8] for name, each in cameras.items()}
    return {f"{name}-{digest}": name for name, digest in digests.items()}


def parse(document: Any) -> Choice:
    """The choice in a document of `Choice.document`; raises ValueError, KeyError or TypeError for any other."""
    return Choice(
        taken=_form(document["taken"]),
        why=str(document["why"]),
        shapes=tuple(_shape(text) for text in document["shapes"]),
        scenes=tuple(map(str, document["scenes"])),
        files={_shape(text): str(name) for text, name in document["files"].items()},
        results=tuple(
            CandidateResult(form=_form(each["form"]), ms=each["ms"], cpu_ms=each["cpu_ms"], refused=each["refused"])
            for each in document["results"]
        ),
        failed={str(form): str(why) for form, why in document["failed"].items()},
        spare=_form(document["spare"]),
    )


def _form(document: Any) -> Candidate:
    if document["backend"] not in get_args(CandidateBackend) or document["precision"] not in get_args(
        CandidatePrecision
    ):
        raise ValueError(f"no form {document}")
    return Candidate(backend=document["backend"], precision=document["precision"], threads=int(document["threads"]))


def _size(shape: InputSize) -> str:
    return f"{shape[0]}x{shape[1]}"


def _shape(text: str) -> InputSize:
    width, height = text.split("x")
    return int(width), int(height)


def place(model: Model, resolved: Resolved) -> Path:
    """The path of the choice: by the model's content, the settings, the machine and its libraries."""
    wish = (model.backend, model.precision, model.threads)
    key = key_of(VERSION, inspect(resolved.path).digest, wish, machine_key())
    return cache_dir() / "choices" / f"{resolved.path.stem}-{key}.json"


def read(path: Path) -> Choice | None:
    """The stored choice; None if there is none or the file is damaged."""
    try:
        return parse(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("the stored choice %s cannot be read, so it is made again: %s", path.name, error)
        return None


def write(path: Path, choice: Choice) -> None:
    """Store the choice atomically; raises OSError."""
    write_atomically(path, json.dumps(choice.document(), indent=1) + "\n", mode=PUBLIC)
