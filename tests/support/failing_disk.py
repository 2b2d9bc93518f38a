"""A disk that fails: what a child process changes below a folder ends with an error (a shim for LD_PRELOAD)."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

_SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* "ERRNO OPERATIONS", read anew each time, so that a test can change the disk while the process runs. */
static int number(char of) {
    char text[32] = "", operations[16] = "";
    int error = 0, file = syscall(SYS_openat, AT_FDCWD, getenv("FAILING_DISK_FILE"), O_RDONLY);
    if (file < 0) return 0;
    ssize_t size = syscall(SYS_read, file, text, sizeof text - 1);
    syscall(SYS_close, file);
    if (size <= 0 || sscanf(text, "%d %15s", &error, operations) != 2) return 0;
    return strchr(operations, of) ? error : 0;
}
static int inside(const char *path) {
    const char *folder = getenv("FAILING_DISK_FOLDER");
    return strncmp(path, folder, strlen(folder)) == 0;
}
static int file_fails(int fd, char of) {
    char link[32], path[PATH_MAX + 1];
    int kept = errno, error = number(of);
    if (error) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t size = readlink(link, path, PATH_MAX);
        path[size < 0 ? 0 : size] = 0;
        if (!inside(path)) error = 0;
    }
    errno = error ? error : kept;
    return error;
}
static int path_fails(const char *path, char of) {
    char whole[PATH_MAX + 1];
    int kept = errno, error = number(of);
    if (error && path[0] != '/' && getcwd(whole, PATH_MAX)) {
        strncat(whole, "/", PATH_MAX - strlen(whole));
        strncat(whole, path, PATH_MAX - strlen(whole));
        path = whole;
    }
    if (error && !inside(path)) error = 0;
    errno = error ? error : kept;
    return error;
}
#define WRITER(name, parameters, arguments) ssize_t name parameters { \
    return file_fails(fd, 'w') ? -1 : NEXT(name) arguments; }
WRITER(write, (int fd, const void *data, size_t size), (fd, data, size))
WRITER(writev, (int fd, const struct iovec *parts, int count), (fd, parts, count))
WRITER(pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))
WRITER(pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at))
#define CHANGER(name, parameters, arguments, of) int name parameters { \
    return file_fails(fd, of) ? -1 : NEXT(name) arguments; }
CHANGER(ftruncate, (int fd, off_t size), (fd, size), 'w')
CHANGER(ftruncate64, (int fd, off64_t size), (fd, size), 'w')
CHANGER(fsync, (int fd), (fd), 's')
CHANGER(fdatasync, (int fd), (fd), 's')
#define OPENER(name) int name(const char *path, int flags, ...) { \
    va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
    if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) && path_fails(path, 'o')) return -1; \
    return NEXT(name)(path, flags, mode); }
OPENER(open)
OPENER(open64)
#define MOVER(name, parameters, arguments) int name parameters { \
    return path_fails(path, 'o') ? -1 : NEXT(name) arguments; }
MOVER(rename, (const char *path, const char *to), (path, to))
MOVER(unlink, (const char *path), (path))
MOVER(mkdir, (const char *path, mode_t mode), (path, mode))
"""


class FailingDisk:
    """`env` for a child process; `fail` and `mend` change the disk below `folder` from now on."""

    def __init__(self, tools: Path, folder: Path) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            pytest.skip("needs a C compiler for the shim")
        source, shim, self._file = tools / "failing.c", tools / "failing.so", tools / "failing-disk"
        source.write_text(_SHIM)
        # The C library's headers would rename pwrite to pwrite64 in some builds.
        command = [compiler, "-shared", "-fPIC", "-U_FILE_OFFSET_BITS", "-o", str(shim), str(source), "-ldl"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        self.mend()
        settings = {"LD_PRELOAD": shim, "FAILING_DISK_FILE": self._file, "FAILING_DISK_FOLDER": folder.resolve()}
        self.env = {**os.environ, **{name: str(value) for name, value in settings.items()}}

    def fail(self, name: str, operations: str = "wso") -> None:
        """With this errno (`EIO`), for writing (w), syncing (s) and opening to write, renaming and removing (o)."""
        part = self._file.with_suffix(".part")
        part.write_text(f"{getattr(errno, name)} {operations}")
        part.replace(self._file)

    def mend(self) -> None:
        self._file.write_text("")
