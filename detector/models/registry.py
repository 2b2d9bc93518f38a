"""The registry of known models and clips: their files, sources and inputs.

Its text is `engines/models.yaml`; in a wheel it is beside this module. The cache is
`$DETECTOR_CACHE`, else `$XDG_CACHE_HOME/detector`, else `~/.cache/detector`.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from detector.analytics.evidence_curves import EvidenceCurves
from detector.capture.pictures import clip_pictures
from detector.config import document as configfile
from detector.config.value_types import fraction
from detector.core.errors import ConfigError, ModelError, UnknownNameError
from detector.core.files import cache_dir, file_sha256
from detector.core.progress import Progress, quiet
from detector.core.types import Image
from detector.inference.spec import InputSpec

from .download.cache import FileSpec, Status, ensure, status
from .download.pin import FileHash
from .download.sources import RegistrySection, Sha256, Size, Source

Kind = Literal["model", "clip"]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
_FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
_SUFFIXES = (".onnx", ".engine", ".xml")
_Positive = Annotated[float, Field(gt=0.0)]


class Input(RegistrySection):
    """A model's input: its size in px, and InputSpec's fields."""

    width: int = Field(ge=32, le=4096)
    height: int = Field(ge=32, le=4096)
    color: Literal["rgb", "bgr"]
    scale: Annotated[float, BeforeValidator(fraction), Field(gt=0.0, le=1.0)]
    pad: int = Field(default=114, ge=0, le=255)
    placement: Literal["center", "top-left", "stretch"] = "center"
    mean: tuple[float, float, float] | None = None
    std: tuple[_Positive, _Positive, _Positive] | None = None

    @property
    def spec(self) -> InputSpec:
        return InputSpec(
            color=self.color, scale=self.scale, pad=self.pad, placement=self.placement, mean=self.mean, std=self.std
        )


class FileEntry(RegistrySection):
    """A downloadable file, such as a clip; `file` is its name in the cache."""

    description: str = Field(min_length=1)
    licence: str = Field(min_length=1, description="SPDX identifier; of a model, its weights'")
    homepage: str = Field(pattern=r"^https?://")
    file: _FileName
    size: Size
    sha256: Sha256
    sources: tuple[Source, ...] = Field(min_length=1)

    @property
    def pin(self) -> FileHash:
        return FileHash(size=self.size, sha256=self.sha256)


class MeasuredEvidence(RegistrySection):
    """What the model's scores tell, as `EvidenceCurves` takes it: counts [height][score][people, nobody], and the bar."""

    bright: tuple[tuple[tuple[int, int], ...], ...]
    dark: tuple[tuple[tuple[int, int], ...], ...]
    bar: _Positive

    @model_validator(mode="after")
    def _has_its_shape(self) -> MeasuredEvidence:
        self.curves()
        return self

    def curves(self) -> EvidenceCurves:
        return EvidenceCurves(bright=self.bright, dark=self.dark, bar=self.bar)


class Measured(RegistrySection):
    """Figures by name, per data set (`accuracy`) and per machine (`speed`), and `evidence`; written by a command."""

    accuracy: dict[str, dict[str, float]] = Field(default_factory=dict)
    speed: dict[str, dict[str, float]] = Field(default_factory=dict)
    evidence: MeasuredEvidence | None = None


class ModelEntry(FileEntry):
    """A model: a file with its input and measured figures."""

    input: Input
    measured: Measured = Measured()


class _Document(RegistrySection):
    models: dict[Name, ModelEntry] = Field(min_length=1)
    clips: dict[Name, FileEntry] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _told_apart(self) -> _Document:
        if both := self.models.keys() & self.clips.keys():
            raise ValueError(f"{min(both)} names a model and a clip")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A model file ready for use; `spec` and `entry` are None for a file the registry does not know."""

    name: str
    path: Path
    spec: InputSpec | None
    entry: ModelEntry | None

    @property
    def curves(self) -> EvidenceCurves | None:
        """What this model's scores tell; None where nobody measured it."""
        evidence = self.entry.measured.evidence if self.entry is not None else None
        return evidence.curves() if evidence is not None else None


class Registry:
    """The known models and clips over one cache folder."""

    def __init__(self, *, models: Mapping[str, ModelEntry], clips: Mapping[str, FileEntry], cache: Path) -> None:
        self._models = dict(models)
        self._clips = dict(clips)
        self.cache = cache

    def names(self) -> tuple[str, ...]:
        return tuple(self._models)

    def here(self) -> tuple[str, ...]:
        """The models whose intact file is in the cache; hashes the files, fetches nothing."""
        return tuple(name for name in self._models if status(self._wanted("model", name)) == "ok")

    def clips(self) -> tuple[str, ...]:
        return tuple(self._clips)

    def entry(self, name: str) -> ModelEntry:
        """The model's entry; raises UnknownNameError with the nearest known name."""
        found: ModelEntry = _look_up(self._models, name, "model")
        return found

    def path(self, name: str) -> Path:
        """The path of the model's file in the cache; it may not be downloaded yet."""
        return self._wanted("model", name).path

    def fetch(self, name: str, progress: Progress = quiet) -> Path:
        """The model's verified file, downloaded if necessary; raises ModelError that says what was tried."""
        return ensure(self._wanted("model", name), progress)

    def fetch_clip(self, name: str, progress: Progress = quiet) -> Path:
        """The clip's verified file, downloaded if necessary; raises ModelError."""
        return ensure(self._wanted("clip", name), progress)

    def clip_here(self, name: str) -> Path | None:
        """The clip's file where an intact one is in the cache; fetches nothing. Raises ModelError on another name."""
        wanted = self._wanted("clip", name)
        return wanted.path if status(wanted) == "ok" else None

    def resolve(self, name_or_path: str | Path, progress: Progress = quiet) -> Resolved:
        """A model by path or registry name, downloaded if necessary; raises ModelError.

        An existing file has priority over a name. A file with the content of a registry entry gets that entry's
        input, whatever its name.
        """
        text = str(name_or_path)
        path = Path(text).expanduser()
        if path.suffix.lower() in _SUFFIXES and path.is_file():
            return self._resolve_file(path)
        if self._is_path(text):
            raise ModelError(_no_model_file(text, path))
        entry = self.entry(text)
        return Resolved(name=text, path=self.fetch(text, progress), spec=entry.input.spec, entry=entry)

    def check_name(self, name_or_path: str) -> None:
        """Raise UnknownNameError for what is neither a path nor a known name; nothing is fetched."""
        if not self._is_path(name_or_path):
            self.entry(name_or_path)

    def _is_path(self, text: str) -> bool:
        path = Path(text).expanduser()
        # Path.is_file raises where a name is too long.
        found = os.path.isfile(path)  # noqa: PTH113
        return text not in self._models and (os.sep in text or path.suffix.lower() in _SUFFIXES or found)

    def verify(self) -> dict[str, Status]:
        """The state of every model's and clip's file in the cache; hashes the files."""
        wanted = [self._wanted("model", name) for name in self._models]
        wanted += [self._wanted("clip", name) for name in self._clips]
        return {item.name: status(item) for item in wanted}

    def describe(self) -> list[dict[str, Any]]:
        """One row per model, for display and JSON: see `_row`."""
        return [_row(name, entry, status(self._wanted("model", name))) for name, entry in self._models.items()]

    def _wanted(self, kind: Kind, name: str) -> FileSpec:
        entry: FileEntry = self.entry(name) if kind == "model" else _look_up(self._clips, name, "clip")
        path = self.cache / f"{kind}s" / entry.file
        return FileSpec(name=name, path=path, pin=entry.pin, sources=entry.sources)

    def _resolve_file(self, path: Path) -> Resolved:
        """The file, with the registry entry of the same content if there is one."""
        try:
            size = path.stat().st_size
            pins = {pin: name for name in self._models for pin in self._wanted("model", name).pins if pin.size == size}
            # Only files of a known size are hashed.
            name = pins.get(FileHash(size=size, sha256=file_sha256(path))) if pins else None
        except OSError as error:
            raise ModelError(f"cannot read the model {path}: {error.strerror}") from None
        if name is None:
            return Resolved(name=path.name, path=path, spec=None, entry=None)
        entry = self._models[name]
        return Resolved(name=name, path=path, spec=entry.input.spec, entry=entry)


def _row(name: str, entry: ModelEntry, here: Status) -> dict[str, Any]:
    return {
        "name": name,
        "description": entry.description,
        "licence": entry.licence,
        "homepage": entry.homepage,
        "input": f"{entry.input.width}x{entry.input.height} {entry.input.color}",
        "size": entry.size,
        "sha256": entry.sha256,
        "sources": "; ".join(dict.fromkeys(source.label for source in entry.sources)),
        "accuracy": _figures(entry.measured.accuracy),
        "speed": _figures(entry.measured.speed),
        "measured": entry.measured.model_dump(),
        "here": here,
    }


def _figures(measured: Mapping[str, Mapping[str, float]]) -> str:
    sets = (f"{where}: " + ", ".join(f"{k} {v:g}" for k, v in figures.items()) for where, figures in measured.items())
    return "; ".join(sets)


def _look_up(entries: Mapping[str, Any], name: str, what: Kind) -> Any:
    if name in entries:
        return entries[name]
    near = difflib.get_close_matches(name.lower(), entries, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    raise UnknownNameError(f"unknown {what} {name!r}: {hint}known: {', '.join(entries)}, or give a file's path")


def _no_model_file(text: str, path: Path) -> str:
    if not path.exists():
        return f"no model file {text}: check the path, or use a name that `detector models list` shows"
    return f"{text} is not a model file: the detector runs .onnx, .engine and OpenVINO .xml files"


def registry_path() -> Path:
    """The path of the registry's text: beside this module in a wheel, in engines/ in a checkout."""
    here = Path(__file__).resolve().parent
    packaged = here / "models.yaml"
    return packaged if packaged.is_file() else here.parents[1] / "engines" / "models.yaml"


def load_registry(path: Path | None = None, *, cache: Path | None = None) -> Registry:
    """The registry of `path` (default: the project's own) over `cache`; raises ModelError."""
    path = registry_path() if path is None else path
    try:
        document = _Document.model_validate(configfile.parse(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ModelError(f"cannot read the model registry {path}: {error.strerror}") from None
    except (ConfigError, UnicodeDecodeError) as error:
        raise ModelError(f"the model registry {path}: {error}") from None
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in fault["loc"] if part != "[key]")
        raise ModelError(f"the model registry {path}: {key}: {fault['msg']}") from None
    return Registry(models=document.models, clips=document.clips, cache=cache_dir() if cache is None else cache)


def sample_pictures() -> Iterator[Image]:
    """Frames of the sample clip, which is downloaded if necessary; raises ModelError, SourceError."""
    yield from clip_pictures(load_registry().fetch_clip("bikes"))
