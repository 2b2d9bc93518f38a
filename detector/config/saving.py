"""The configuration file written so that a power cut leaves the old or the new text, never half of one."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from pathlib import Path

from detector.core.errors import ConfigError
from detector.core.files import replacing

log = logging.getLogger(__name__)
_CANNOT_REPLACE = (errno.EBUSY, errno.EACCES, errno.EPERM, errno.EROFS, errno.EXDEV)


def save(path: Path, text: str, *, copies: Path | None = None) -> None:
    """Replace the file that `path` leads to, links followed, mode and owner kept; raises ConfigError.

    A file that cannot be replaced (mounted by itself into a container, or in a folder that cannot be
    written) is written in place, after a synced copy of the new text in its folder or else in `copies`.
    """
    target = path.resolve()
    data = text.encode()
    try:
        _replace(target, data)
    except OSError as error:
        if error.errno not in _CANNOT_REPLACE or not target.is_file():
            raise ConfigError(f"cannot write {path}: {error.strerror}") from None
        _write_in_place(path, target, data, copies)


def keep_beside(path: Path, text: str) -> Path | None:
    """The old text as NAME.before beside the file, for what the new one lost; None where that cannot be written."""
    target = path.resolve()
    beside = target.with_name(f"{target.name}.before")
    with contextlib.suppress(OSError):
        _replace(beside, text.encode())
        return beside
    return None


def _replace(target: Path, data: bytes) -> None:
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"there is no folder {target.parent}")
    before = target.stat() if target.exists() else None
    with replacing(target, mode=0o600 if before is None else None) as part:
        part.write_bytes(data)
        if before is not None:
            with contextlib.suppress(PermissionError):
                os.chown(part, before.st_uid, before.st_gid)


def _write_in_place(path: Path, target: Path, data: bytes, copies: Path | None) -> None:
    copy = _copied(target, data, copies)
    try:
        handle = os.open(target, os.O_WRONLY | os.O_CLOEXEC)
        try:
            _write(handle, data)
            os.ftruncate(handle, len(data))
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None
    finally:
        if copy is not None and target.read_bytes() == data:
            copy.unlink()
    log.info("%s was written in place: it cannot be replaced, being a mount or in a folder without write access", path)


def _copied(target: Path, data: bytes, copies: Path | None) -> Path | None:
    """The new text, synced, where it can lie until the file itself is whole."""
    for folder in (target.parent, copies):
        if folder is None:
            continue
        copy = folder / f".{target.name}.new"
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            _replace(copy, data)
            return copy
    raise ConfigError(
        f"cannot write {target}: neither it nor a copy beside it can be replaced; make its folder writable"
    )


def _write(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]
    os.fsync(handle)
