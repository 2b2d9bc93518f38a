"""One thread of another process stops where it is, by ptrace(2), as one that hangs in the kernel or in a library does."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_SEIZE, _INTERRUPT, _DETACH = 0x4206, 0x4207, 17
_WALL = 0x40000000  # waitpid(2): of any thread


def by_name(pid: int) -> dict[str, int]:
    """The process's named threads: their ids by the names that the kernel knows (15 bytes)."""
    tasks = {}
    for path in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that just ended
            tasks[int(path.name)] = (path / "comm").read_text().strip()
    return {name: thread for thread, name in tasks.items() if name != tasks[pid]}


def _ptrace(request: int, thread: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    libc.ptrace.restype = ctypes.c_long
    if libc.ptrace(request, thread, None, None) != 0:
        number = ctypes.get_errno()
        if number == errno.EPERM:
            pytest.skip("this container forbids ptrace")
        raise OSError(number, os.strerror(number))


@contextmanager
def stopped(thread: int) -> Iterator[None]:
    """It stands still inside and goes on afterwards; only the thread that called may leave the block."""
    _ptrace(_SEIZE, thread)
    _ptrace(_INTERRUPT, thread)
    os.waitpid(thread, _WALL)
    try:
        yield
    finally:
        _ptrace(_DETACH, thread)
