"""Watches the locks that the detector's own code makes: in which order they are taken, and what is done under them.

Two locks that are taken in both orders can deadlock, even if no run ever did. A lock that is held over a disk, a
network or a model makes everybody who wants it wait for that.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

_PACKAGE = f"{os.sep}detector{os.sep}"
_REAL_LOCK, _REAL_RLOCK = threading.Lock, threading.RLock


def _site() -> str | None:
    """`module:line` in the detector that makes a lock, by itself or through a Condition or Event; None elsewhere."""
    frame = sys._getframe(2)
    while frame is not None and Path(frame.f_code.co_filename).name == "threading.py":
        if frame.f_code.co_name == "__init__" and isinstance(frame.f_locals.get("self"), threading.Event):
            return None  # its lock is held for moments, inside the library
        frame = frame.f_back  # type: ignore[assignment]  # ends with None
    name = frame.f_code.co_filename if frame is not None else ""
    if _PACKAGE not in name or "/tests/" in name or frame is None:
        return None
    return f"{name.rsplit(_PACKAGE, 1)[1]}:{frame.f_lineno}"


@dataclass
class LockWatch:
    """`order` maps a pair of locks (outer, inner) to where that was first seen.

    `under` maps a lock to where something slow was done while it was held, `users` to the threads that took it.
    Both are noted while `noting` alone: a start and a stop may wait.
    """

    order: dict[tuple[str, str], str] = field(default_factory=dict)
    under: dict[str, str] = field(default_factory=dict)
    users: dict[str, set[str]] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    noting: bool = False

    def __post_init__(self) -> None:
        self._local = threading.local()

    @property
    def held(self) -> list[Any]:
        if not hasattr(self._local, "held"):
            self._local.held = []
        held: list[Any] = self._local.held
        return held

    def took(self, lock: _WatchedLock) -> None:
        for outer in self.held:
            if outer is not lock and (outer.site, lock.site) not in self.order:
                self.order[outer.site, lock.site] = "".join(traceback.format_stack(limit=8))
        self.held.append(lock)
        if self.noting:
            self.users.setdefault(lock.site, set()).add(threading.current_thread().name)

    def gave(self, lock: _WatchedLock) -> None:
        if lock in self.held:  # a plain lock may be released by another thread
            self.held.remove(lock)

    def note(self, what: str) -> None:
        """Something slow is about to be done."""
        for lock in self.held if self.noting else ():
            self.under.setdefault(lock.site, f"{what}\n{''.join(traceback.format_stack(limit=10))}")

    def cycles(self) -> list[str]:
        """Each pair of locks that lies on a circle, with where it was seen."""
        after: dict[str, set[str]] = {}
        for outer, inner in self.order:
            after.setdefault(outer, set()).add(inner)

        def reaches(start: str, goal: str) -> bool:
            seen, todo = set(), [start]
            while todo:
                for following in after.get(todo.pop(), ()):
                    if following == goal:
                        return True
                    if following not in seen:
                        seen.add(following)
                        todo.append(following)
            return False

        return [f"{o} > {i}\n{where}" for (o, i), where in self.order.items() if o == i or reaches(i, o)]


class _WatchedLock:
    """In the place of a Lock or RLock; a Condition may use it."""

    def __init__(self, watch: LockWatch, site: str, inner: Any) -> None:
        self.site, self._watch, self._inner = site, watch, inner

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        taken = bool(self._inner.acquire(blocking, timeout))
        if taken:
            self._watch.took(self)
        return taken

    def release(self) -> None:
        self._watch.gave(self)
        self._inner.release()

    def locked(self) -> bool:
        return bool(self._inner.locked())

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def _release_save(self) -> Any:
        self._watch.gave(self)
        if hasattr(self._inner, "_release_save"):
            return self._inner._release_save()
        return self._inner.release()

    def _acquire_restore(self, state: Any) -> None:
        if hasattr(self._inner, "_acquire_restore"):
            self._inner._acquire_restore(state)
        else:
            self._inner.acquire()
        self._watch.took(self)

    def _is_owned(self) -> bool:
        if hasattr(self._inner, "_is_owned"):
            return bool(self._inner._is_owned())
        if self._inner.acquire(False):
            self._inner.release()
            return False
        return True


@contextlib.contextmanager
def watched_locks() -> Iterator[LockWatch]:
    """Every lock that the detector makes inside the block is watched, and so are disk, SQLite and model runs."""
    watch = LockWatch()

    def maker(real: Callable[[], Any]) -> Callable[[], Any]:
        def make() -> Any:
            site = _site()
            if site is None:
                return real()
            watch.made.add(site)
            return _WatchedLock(watch, site, real())

        return make

    def noting(real: Callable[..., Any], what: str) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            watch.note(what)
            return real(*args, **more)

        return call

    class NotingConnection(sqlite3.Connection):
        def execute(self, *args: Any) -> Any:
            watch.note(f"SQLite: {args[0]!s:.40}")
            return super().execute(*args)

        def commit(self) -> None:
            watch.note("SQLite: commit")
            super().commit()

    connect = sqlite3.connect
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading, "Lock", maker(_REAL_LOCK))
        patch.setattr(threading, "RLock", maker(_REAL_RLOCK))
        patch.setattr(os, "fsync", noting(os.fsync, "fsync"))
        patch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **{"factory": NotingConnection, **k}))
        run = onnxruntime.InferenceSession.run
        patch.setattr(onnxruntime.InferenceSession, "run", noting(run, "a model run"))
        yield watch
