"""An engine's manifest: what it was built from, for which machine, and how its detections were checked.

The manifest of F.engine is F.engine.json. An engine that was built for something else, is truncated, or was not
accepted on this machine is rejected before it is given to TensorRT.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detector.core.errors import ModelError
from detector.core.files import PUBLIC, file_sha256, write_atomically
from detector.inference.agreement import Verdict
from detector.inference.spec import InputSpec

from .gpu import Gpu, find_gpu
from .library import Library, library

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The machine that an engine is valid for. Only `driver` may change, but then the engine is checked again."""

    flavour: str
    tensorrt: str
    cuda: str
    compute: str
    gpu: str
    driver: str

    @classmethod
    def of(cls, library: Library, gpu: Gpu | None) -> Environment:
        """From the library and the GPU; without a GPU (a build only for tests) its fields are "none"."""
        return cls(
            flavour=library.flavour,
            tensorrt=library.version,
            cuda="none" if gpu is None else gpu.cuda,
            compute="none" if gpu is None else gpu.compute,
            gpu="none" if gpu is None else gpu.name,
            driver="none" if gpu is None else gpu.driver,
        )

    @property
    def key(self) -> str:
        return _digest(dataclasses.asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRecipe:
    """What the engine was built from; `calibration` is the hash of an INT8 model's calibration pictures."""

    model_sha256: str
    precision: str
    shapes: dict[str, list[list[int]]]  # input name to its least, usual and largest shape
    steps: tuple[str, ...]
    calibration: str | None
    detector: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineManifest:
    """The manifest; `metadata` and `spec` are the model's, so that the engine works without the ONNX file."""

    recipe: EngineRecipe
    environment: Environment
    size: int
    sha256: str
    model_name: str
    model_path: str
    metadata: dict[str, str]
    spec: InputSpec | None = None
    verdict: Verdict | None = None
    judged_in: str | None = None  # the key of the environment that the verdict was reached in
    note: str | None = None  # why it is not a faster one
    calibrated_by: str | None = None  # the folder of pictures that an INT8 form of the model was made with

    @property
    def key(self) -> str:
        """16 hex digits that change with anything that the engine depends on."""
        made_for = {k: v for k, v in dataclasses.asdict(self.environment).items() if k != "driver"}
        return _digest({"recipe": dataclasses.asdict(self.recipe), "environment": made_for})

    def rebuild(self, engine: Path) -> str:
        """The command that builds the engine at `engine` again and checks it."""
        words = ["detector", "build", self.model_path, "--precision", self.recipe.precision, "--output", str(engine)]
        if self.calibrated_by is not None:
            words += ["--calibration", self.calibrated_by]
        if self.batch > 1:
            words += ["--batch", str(self.batch)]
        return shlex.join(words)

    @property
    def batch(self) -> int:
        """The largest number of pictures per run."""
        return max((shapes[-1][0] for shapes in self.recipe.shapes.values()), default=1)

    def judged(self, verdict: Verdict, environment: Environment, note: str | None = None) -> EngineManifest:
        return dataclasses.replace(self, verdict=verdict, judged_in=environment.key, note=note)


def path_of(engine: Path) -> Path:
    return engine.with_name(f"{engine.name}.json")


def write(engine: Path, manifest: EngineManifest) -> None:
    """Write the manifest atomically; raises ModelError."""
    document = {"format": FORMAT, "key": manifest.key, **dataclasses.asdict(manifest)}
    write_bytes(path_of(engine), json.dumps(document, indent=1).encode())


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write atomically, readable for a service that runs as another user; raises ModelError."""
    try:
        write_atomically(path, content, mode=PUBLIC)
    except OSError as error:
        raise ModelError(f"cannot write {path}: {error.strerror}") from None


def read(engine: Path) -> EngineManifest:
    """The engine's manifest; raises ModelError if there is none or it is damaged."""
    path = path_of(engine)
    again = "build it anew with detector build MODEL.onnx"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{engine} has no {path.name} beside it that says what it was made for: {again}") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {path} ({error}): {again}") from None
    try:
        manifest = _parsed(document)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ModelError(f"{path} is not an engine's description, or of another version: {again}") from None
    if document["key"] != manifest.key:
        raise ModelError(f"{path} was changed by hand: {again}")
    return manifest


def _parsed(document: Any) -> EngineManifest:
    if document["format"] != FORMAT:
        raise ValueError("another format")
    fields = {field.name: document[field.name] for field in dataclasses.fields(EngineManifest)}
    recipe, environment = fields.pop("recipe"), fields.pop("environment")
    spec, verdict = fields.pop("spec"), fields.pop("verdict")
    return EngineManifest(
        **fields,
        recipe=EngineRecipe(**{**recipe, "steps": tuple(recipe["steps"])}),
        environment=Environment(**environment),
        spec=None if spec is None else InputSpec(**spec),
        verdict=None if verdict is None else Verdict(**{**verdict, "reasons": tuple(verdict["reasons"])}),
    )


def require_fit(
    engine: Path, manifest: EngineManifest, here: Environment, *, model_sha256: str | None = None, judged: bool = True
) -> None:
    """Raise ModelError, with the command that helps, for an engine that does not fit this machine and model.

    `model_sha256` is that of the current ONNX file, None if there is none. `judged` False allows an engine that has
    not been checked yet.
    """
    again = manifest.rebuild(engine)
    if model_sha256 not in (None, manifest.recipe.model_sha256):
        raise ModelError(f"{engine} was built from another {Path(manifest.model_path).name}: run {again}")
    then, now = dataclasses.asdict(manifest.environment), dataclasses.asdict(here)
    if strange := [
        f"{name} {then[name]} (here {now[name]})" for name in now if then[name] != now[name] and name != "driver"
    ]:
        raise ModelError(f"{engine} was built for {', '.join(strange)}: run {again}")
    _require_whole(engine, manifest)
    if not judged:
        return
    if manifest.verdict is None or manifest.judged_in != here.key:
        raise ModelError(f"{engine} has not been checked against ONNX Runtime on this machine: run {again}")
    if not manifest.verdict.accepted:
        raise ModelError(f"{engine} was refused ({manifest.verdict.why}): run {again}")


def _require_whole(engine: Path, manifest: EngineManifest) -> None:
    again = manifest.rebuild(engine)
    try:
        size = engine.stat().st_size
        if size != manifest.size:
            raise ModelError(f"{engine} has {size} bytes instead of {manifest.size}: run {again}")
        if file_sha256(engine) != manifest.sha256:
            raise ModelError(f"{engine} is damaged (its sha256 is another): run {again}")
    except OSError as error:
        raise ModelError(f"cannot read {engine} ({error.strerror}): run {again}") from None


def _digest(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]


def environment() -> Environment:
    """The environment of engines built on this machine; raises ModelError without TensorRT."""
    return Environment.of(library(), find_gpu())
