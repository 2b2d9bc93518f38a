"""Files: the cache folder, atomic writes, a lock between processes, sha256."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from .errors import ModelError

PUBLIC = 0o644
"""The mode of a file that a service under another user must be able to read."""
_CHUNK = 1 << 20
_LOCK_POLL_S = 0.1


def existing_file(path: Path) -> Path:
    """`path` if it is a file that is not empty; raises ModelError otherwise."""
    if path.is_dir():
        raise ModelError(f"{path} is a folder: give the .onnx file itself")
    if not path.is_file():
        raise ModelError(f"no model file {path}")
    if path.stat().st_size == 0:
        raise ModelError(f"{path} is empty: fetch it again")
    return path


def cache_dir(environment: Mapping[str, str] | None = None) -> Path:
    """The folder of downloaded and generated files: DETECTOR_CACHE, else detector/ in the XDG cache folder."""
    environment = os.environ if environment is None else environment
    if own := environment.get("DETECTOR_CACHE"):
        return Path(own).expanduser()
    # XDG specification: a relative path must be ignored.
    xdg = Path(environment.get("XDG_CACHE_HOME", ""))
    return (xdg if xdg.is_absolute() else Path.home() / ".cache") / "detector"


def write_atomically(path: Path, content: str | bytes | memoryview, *, mode: int | None = None) -> None:
    """Write `content` (text as UTF-8) by `replacing`; raises OSError."""
    with replacing(path, mode=mode) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def replacing(path: Path, *, mode: int | None = None) -> Iterator[Path]:
    """An empty file beside `path`, of its suffix, for the block to fill; then it becomes `path`, fsynced.

    A reader, also after a power cut, finds the old file or the new one, never half of one. After an error in the
    block the old one stays and the new one is removed. Missing folders are made. `mode`: the new file's
    permissions; None: those of the file that is replaced, else what the umask leaves. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if mode is None and path.exists():
        mode = path.stat().st_mode & 0o777
    part = path.with_name(f".{path.stem[:100]}.{secrets.token_hex(4)}.part{path.suffix}")
    try:
        # With its final mode from the start: it may hold secrets.
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else mode))
        yield part
        install(part, path, mode=mode)
    finally:
        with contextlib.suppress(OSError):  # what went wrong before is the better message
            part.unlink(missing_ok=True)


def install(file: Path, path: Path, *, mode: int | None = PUBLIC) -> None:
    """Give the finished `file` the name `path` at once and for good: a power cut leaves the whole file or none."""
    if mode is not None:
        file.chmod(mode)
    sync(file)
    file.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until the disk has the file's content, or the folder's names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def locked(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[int]:
    """Hold the lock on the file `path`, made where it is missing; gives its descriptor.

    While another process holds it, `waiting` is called every 0.1 s; what it raises ends the waiting. The file stays:
    removing it would let a third process lock a new one beside one that waits. Raises OSError.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PUBLIC)
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waiting()
                time.sleep(_LOCK_POLL_S)
        yield handle
    finally:
        os.close(handle)


def key_of(*parts: object) -> str:
    """16 hex digits for a name in a cache; equal for parts of equal `repr`, in another process too."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def file_sha256(path: Path) -> str:
    """The file's SHA-256 in lower-case hex."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            sha.update(chunk)
    return sha.hexdigest()
