"""What is set once for the whole process: OpenCV's threads, and what the garbage collector need not search."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import cv2

_M_ARENA_MAX = -8  # malloc.h of glibc
_ARENAS = 2


@contextmanager
def gc_frozen() -> Iterator[None]:
    """Within, only what was made since is searched for garbage.

    A full collection walks some hundred thousand objects of libraries, about 70 ms in which no thread of Python's
    runs: an alert that meets it would leave that much later.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def release_memory() -> None:
    """Give memory that was freed back to the system; nothing where the C library cannot.

    A model that another one replaced leaves its blocks in the allocator: without this the process is 20 MiB larger
    after each change of YOLOX-tiny in ONNX Runtime, with it no larger than before (glibc 2.36).
    """
    with suppress(AttributeError, OSError):  # musl, macOS
        ctypes.CDLL(None).malloc_trim(0)


def limit_allocator_arenas() -> None:
    """Have all threads share two of the C library's memory arenas; before they start, nothing where it has no such limit.

    glibc gives each thread an arena of its own, up to eight a core, and each keeps what its largest moment needed:
    25 threads held 22 MiB more than they used, and a flood of requests added 10 for good (glibc 2.36).
    """
    with suppress(AttributeError, OSError):  # musl, macOS
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


def use_one_opencv_thread() -> None:
    """Pictures are shrunk in 0.2 ms here, and waking a second thread for that takes longer.

    Two cores, 1080p at ten frames a second: its second thread spent 0.9 ms of CPU a frame and saved 0.07 ms.
    """
    cv2.setNumThreads(1)
