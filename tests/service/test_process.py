from __future__ import annotations

import ctypes
import gc
import subprocess
import sys
import weakref
from pathlib import Path

import cv2
import pytest

from detector.service.process import gc_frozen, use_one_opencv_thread


class Node:
    """A cycle by itself: only the collector takes it away."""

    def __init__(self) -> None:
        self.me = self


def test_what_was_there_before_is_not_walked_again() -> None:
    """A collection walks what `gc.get_objects` lists: counted, since times differ from run to run."""
    kept = [Node() for _ in range(100_000)]
    assert len(gc.get_objects()) > len(kept)
    with gc_frozen():
        assert len(gc.get_objects()) < len(kept) / 10
        assert gc.get_freeze_count() > len(kept)
    assert len(gc.get_objects()) > len(kept)
    assert gc.get_freeze_count() == 0


def test_garbage_made_meanwhile_is_still_found() -> None:
    with gc_frozen():
        node = Node()
        gone = weakref.ref(node)
        del node
        gc.collect()
        assert gone() is None


@pytest.mark.slow
def test_what_became_garbage_meanwhile_goes_afterwards() -> None:
    node = Node()
    gone = weakref.ref(node)
    with gc_frozen():
        del node
        gc.collect()
        assert gone() is not None
    gc.collect()
    assert gone() is None


def test_a_fault_inside_leaves_nothing_frozen() -> None:
    with pytest.raises(OSError, match="broken"), gc_frozen():
        raise OSError("broken")
    assert gc.get_freeze_count() == 0


def test_opencv_takes_no_second_thread() -> None:
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(2)
        use_one_opencv_thread()
        assert cv2.getNumThreads() == 1
    finally:
        cv2.setNumThreads(before)


_FREED = """
import sys
from detector.service.process import release_memory
def rss():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
kept = [bytearray(60_000) for _ in range(4000)]  # below the size that the allocator maps apart
top = bytearray(60_000)  # keeps the heap from shrinking by itself
full = rss()
kept.clear()
before = rss()
release_memory()
print(full, before, rss())
"""


def test_freed_memory_goes_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", _FREED], capture_output=True, text=True, timeout=60, check=True)
    full, before, after = map(int, done.stdout.split())
    if before < full - 100 * 2**20:
        pytest.skip("this C library gives it back by itself")
    assert after < full - 200 * 2**20


_ARENAS = """
import ctypes, pathlib, sys, threading
from detector.service.process import limit_allocator_arenas
limit_allocator_arenas()
barrier = threading.Barrier(12)
def work():
    kept = [bytearray(5000) for _ in range(50)]
    barrier.wait()
    del kept
threads = [threading.Thread(target=work) for _ in range(12)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
print(pathlib.Path(sys.argv[1]).read_text().count("<heap nr="))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="not the GNU C library")
def test_night_13_threads_share_two_arenas(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _ARENAS, str(tmp_path / "info.xml")],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert 1 <= int(done.stdout) <= 2
