"""A folder of collected pictures and its manifest: append-only, readable only by its owner."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.core.errors import StorageError, UsageError
from detector.core.files import write_atomically
from detector.core.types import Image

MANIFEST = "manifest.json"
Format = Literal["jpg", "png"]
_QUALITY = 95  # above it files grow and no network sees a difference
_RESERVE = 256 << 20  # bytes left free on the disk for other programs
_VERSION = 1
_OWNERS = 0o600  # pictures of one's own are nobody else's


class PictureStore:
    """The set of `camera`'s pictures in `folder`, created with mode 0700 or continued; at most `limit` bytes.

    Raises UsageError for a folder with other contents, StorageError if it cannot be used.
    """

    def __init__(self, folder: Path, *, camera: str, picture_format: Format, limit: int) -> None:
        self._folder, self._camera, self._format, self._limit = folder, camera, picture_format, limit
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._entries = self._read()
            folder.chmod(0o700)
        except OSError as error:
            raise StorageError(f"cannot use the folder {folder}: {error.strerror}; name another with --out") from None

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """Size of the set's pictures on disk, bytes."""
        return sum(int(entry["bytes"]) for entry in self._entries)

    def pixels(self) -> Iterator[NDArray[np.uint8]]:
        """The stored pictures, BGR uint8 [H,W,3], in order; removed or damaged ones are left out."""
        for entry in self._entries:
            pixels = cv2.imread(str(self._folder / entry["file"]), cv2.IMREAD_COLOR)
            if pixels is not None:
                yield np.asarray(pixels, np.uint8)

    def add(self, image: Image, *, at_s: float, wall: float, difference: float) -> Path:
        """Store a picture, then the manifest with its entry, each atomically; returns its path.

        `at_s`: seconds since the run's first picture; `wall`: epoch seconds. Raises StorageError.
        """
        options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY] if self._format == "jpg" else []
        data = bytes(cv2.imencode(f".{self._format}", image.bgr(), options)[1])
        self._refuse_overflow(len(data))
        path = self._free_name()
        try:
            _write_new(path, data)
            self._entries.append(
                {
                    "file": path.name,
                    "captured_at": datetime.fromtimestamp(wall, timezone.utc).isoformat(timespec="milliseconds"),
                    "at_s": round(at_s, 3),
                    "width": image.width,
                    "height": image.height,
                    "bytes": len(data),
                    "difference": round(difference, 2),
                }
            )
            document = {"version": _VERSION, "camera": self._camera, "pictures": self._entries}
            write_atomically(self._folder / MANIFEST, json.dumps(document, indent=1) + "\n", mode=_OWNERS)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                why = f"the disk of {self._folder} is full at {len(self)} pictures: make room and repeat"
                raise StorageError(why) from None
            raise StorageError(f"cannot write to {self._folder}: {error.strerror}") from None
        return path

    def _read(self) -> list[dict[str, Any]]:
        path = self._folder / MANIFEST
        if not path.exists():
            if any(not found.name.startswith(".") for found in self._folder.iterdir()):
                raise UsageError(f"{self._folder} is not empty and no set of pictures: name another folder with --out")
            return []
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            camera, entries = found["camera"], [dict(entry) for entry in found["pictures"]]
            for entry in entries:
                entry["file"], entry["bytes"] = str(entry["file"]), int(entry["bytes"])
        except (ValueError, KeyError, TypeError):
            raise UsageError(f"{path} is damaged or not ours: name another folder with --out") from None
        if camera != self._camera:
            raise UsageError(f"{self._folder} holds pictures of camera {camera}: name another folder with --out")
        return entries

    def _refuse_overflow(self, size: int) -> None:
        if self.size + size > self._limit:
            raise StorageError(
                f"the set in {self._folder} would pass {self._limit >> 20} MiB at {len(self)} pictures: "
                "raise --max-mb, or remove pictures"
            )
        free = shutil.disk_usage(self._folder).free
        if free < _RESERVE + size:
            raise StorageError(
                f"the disk of {self._folder} has {free >> 20} MiB left, {_RESERVE >> 20} are kept free: make room"
            )

    def _free_name(self) -> Path:
        """An unused name; a file that a killed run left without an entry is kept."""
        taken = {path.stem for path in self._folder.iterdir()}
        number = len(self._entries) + 1
        while f"{self._camera}-{number:06d}" in taken:
            number += 1
        return self._folder / f"{self._camera}-{number:06d}.{self._format}"


def _write_new(path: Path, data: bytes) -> None:
    """The file whole under a name that was free; raises OSError and leaves nothing."""
    part = path.with_name(f".{path.name}.part")
    try:
        write_atomically(part, data, mode=_OWNERS)
        os.link(part, path)  # unlike a rename it never replaces
    finally:
        part.unlink(missing_ok=True)
