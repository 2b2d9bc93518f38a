"""Visits as a zip, written while it is sent: pictures and clips are never held in memory as a whole."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path

from .control import Document

_CHUNK = 256 << 10


class _Sink:
    """What zipfile writes into; cannot seek, so that zipfile puts lengths behind each file."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes, /) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """There is nothing to close."""

    def take(self) -> bytes:
        """What was written since the last call."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


def zipped(
    visits: Iterable[Document], snapshot: Callable[[str], bytes | None], clip: Callable[[str], Path | None]
) -> Iterator[bytes]:
    """The bytes of a zip with `NAME.json`, `NAME.jpg` and `NAME.mp4` of each visit, as far as it has them.

    NAME is the local time of its start, the camera and the id. A clip that is removed meanwhile is left out.
    """
    sink = _Sink()
    with zipfile.ZipFile(sink, "w") as archive:
        for visit in visits:
            name = _name(visit)
            archive.writestr(f"{name}.json", json.dumps(visit, ensure_ascii=False, indent=1))
            picture = snapshot(visit["id"])
            if picture is not None:
                archive.writestr(f"{name}.jpg", picture)
            yield sink.take()
            yield from _clip_parts(archive, sink, f"{name}.mp4", clip(visit["id"]))
    yield sink.take()


def _clip_parts(archive: zipfile.ZipFile, sink: _Sink, name: str, path: Path | None) -> Iterator[bytes]:
    try:
        source = None if path is None else path.open("rb")
    except FileNotFoundError:
        return
    if source is None:
        return
    with source, archive.open(name, "w", force_zip64=True) as target:
        while chunk := source.read(_CHUNK):
            target.write(chunk)
            yield sink.take()


def _name(visit: Document) -> str:
    start = datetime.fromtimestamp(visit["start_time"]).astimezone()
    return f"{start:%Y-%m-%d_%H-%M-%S}_{visit['camera']}_{visit['id']}"
