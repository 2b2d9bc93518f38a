"""A disk that takes its time: every fsync and fdatasync of a child process waits first (a shim for LD_PRELOAD)."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

_SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Milliseconds, read anew each time, so that a test can change the disk while the process runs. */
static void wait_first(void) {
    long ms = 0;
    FILE *file = fopen(getenv("SLOW_DISK_FILE"), "r");
    if (file) { if (fscanf(file, "%ld", &ms) != 1) ms = 0; fclose(file); }
    usleep(ms * 1000);
}
int fsync(int fd) { wait_first(); return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd); }
int fdatasync(int fd) { wait_first(); return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd); }
"""


class SlowDisk:
    """`env` for a child process; `set_ms` changes how long its syncs take from now on."""

    def __init__(self, folder: Path, *, ms: int = 0) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            pytest.skip("needs a C compiler for the shim")
        source, shim, self._file = folder / "slow.c", folder / "slow.so", folder / "slow-ms"
        source.write_text(_SHIM)
        command = [compiler, "-shared", "-fPIC", "-o", str(shim), str(source), "-ldl"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        self.env = {**os.environ, "LD_PRELOAD": str(shim), "SLOW_DISK_FILE": str(self._file)}
        self.set_ms(ms)

    def set_ms(self, ms: int) -> None:
        self._file.write_text(str(ms))
