"""Extracts one file from a zip (such as a wheel) or a tarball."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from .errors import UnavailableError

_CHUNK = 1 << 20


def extract(archive: Path, member: str, target: Path, *, limit: int) -> None:
    """Write `member` of `archive` to `target`.

    `member` is a path in the archive or the end of exactly one. Raises UnavailableError if there is no such member,
    it is larger than `limit` bytes, or the archive is damaged; OSError if `target` cannot be written.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as folder, folder.open(_find(folder.namelist(), member)) as source:
                _copy(source, target, limit)
        else:
            with tarfile.open(archive) as tar:
                names = {item.name: item for item in tar if item.isfile()}
                content = tar.extractfile(names[_find(names, member)])
                assert content is not None  # a regular file has content
                with content:
                    _copy(content, target, limit)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError) as error:
        raise UnavailableError(f"the archive is damaged: {error}") from None


def _find(names: Iterable[str], member: str) -> str:
    found = [name for name in names if name == member or name.endswith(f"/{member}")]
    if len(found) != 1:
        raise UnavailableError(f"the archive holds {len(found) or 'no'} files named {member}")
    return found[0]


def _copy(source: IO[bytes], target: Path, limit: int) -> None:
    done = 0
    with target.open("wb") as file:
        while chunk := source.read(_CHUNK):
            done += len(chunk)
            if done > limit:
                raise UnavailableError(f"the file in the archive is larger than the expected {limit} bytes")
            file.write(chunk)
