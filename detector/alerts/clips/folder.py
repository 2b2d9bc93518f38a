"""Clips on the disk: one MP4 a visit, in a folder, named after the visit's id; kept by age, number and size."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from detector.alerts.database import explain, sync_folder
from detector.alerts.snapshot_files import safe_id
from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.errors import StorageError
from detector.core.files import install

log = logging.getLogger(__name__)
_SUFFIX, _PART = ".mp4", ".part"
_DAY_S = 86_400.0
_SET_CLOCK = 1_700_000_000.0  # epoch s, of 2023: a file stamped before was written by a clock that was not set
MIN_FREE = 32 << 20
"""Bytes that clips leave free on the disk: alerts and visits need it more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clip:
    path: Path
    bytes: int
    written: float  # epoch s
    inode: tuple[int, int]


class ClipFolder:
    """The folder, made when first written to. `keep_days` days, `max_clips`, `max_bytes`: what of it is kept.

    Age counts only while `clock_synced` says that the clock is right. Raises StorageError where it says so.
    """

    def __init__(
        self,
        folder: Path,
        *,
        keep_days: float = 14.0,
        max_clips: int = 1000,
        max_bytes: float = 2048e6,
        min_free: int = MIN_FREE,
        clock: Clock = SYSTEM_CLOCK,
        clock_synced: Callable[[], bool] = lambda: True,
    ) -> None:
        self._folder, self._keep_s, self._max_clips = folder, keep_days * _DAY_S, max_clips
        self._max_bytes, self._min_free = max_bytes, min_free
        self._clock, self._clock_synced = clock, clock_synced

    def begin(self, event_id: str) -> Path:
        """Where to write a clip; makes room on a disk that is nearly full. Raises StorageError where there is none."""
        if not safe_id(event_id):
            raise StorageError("an event's id holds letters, digits, _ - and single dots")
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if shutil.disk_usage(self._folder).free < self._min_free:
                self._make_room()
        except OSError as error:
            raise explain(error, self._folder) from error
        return self._folder / f"{event_id}{_SUFFIX}{_PART}"

    def finish(self, part: Path, event_ids: Iterable[str]) -> None:
        """Give the whole file `part` to these visits: one file on the disk, under each one's name."""
        ids = [one for one in event_ids if safe_id(one)]
        try:
            first = self.path(ids[0])
            install(part, first, mode=0o600)
            for other in ids[1:]:
                self._share(first, self.path(other))
            sync_folder(self._folder)
        except OSError as error:
            raise explain(error, part) from error

    def path(self, event_id: str) -> Path:
        return self._folder / f"{event_id}{_SUFFIX}"

    def find(self, event_id: str) -> Path | None:
        """The visit's clip; None where there is none, or the id is not one. Any text may come in."""
        return self.path(event_id) if self.has(event_id) else None

    def has(self, event_id: str) -> bool:
        return safe_id(event_id) and self.path(event_id).is_file()

    def delete(self, event_ids: Iterable[str]) -> None:
        """Remove these visits' clips; ones that are not there are no error. Raises StorageError after all others."""
        fault: StorageError | None = None
        for path in map(self.path, filter(safe_id, event_ids)):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                fault = explain(error, path)
        if fault is not None:
            raise fault

    def remove_parts(self) -> int:
        """Remove what an earlier process did not finish; how many files."""
        parts = list(self._folder.glob(f"*{_PART}*")) if self._folder.is_dir() else []
        for part in parts:
            with suppress(OSError):
                part.unlink(missing_ok=True)
        return len(parts)

    def prune(self) -> int:
        """Remove what is too old, too many or too large, the oldest first; how many clips went."""
        try:
            clips = self._all()
            gone = self._too_old(clips)
            kept = [clip for clip in clips if clip not in gone]
            total = sum({clip.inode: clip.bytes for clip in kept}.values())
            for clip in list(kept):
                if len(kept) <= self._max_clips and total <= self._max_bytes:
                    break
                kept.remove(clip)
                gone.append(clip)
                if all(clip.inode != other.inode for other in kept):
                    total -= clip.bytes
            for clip in gone:
                clip.path.unlink(missing_ok=True)
        except OSError as error:
            raise explain(error, self._folder) from error
        return len(gone)

    def usage(self) -> tuple[int, int]:
        """(clips, bytes) on the disk; zeros where the folder cannot be read."""
        try:
            clips = self._all()
        except OSError:
            return 0, 0
        return len(clips), sum({clip.inode: clip.bytes for clip in clips}.values())

    def _all(self) -> list[_Clip]:
        """The oldest first."""
        found = []
        for path in self._folder.glob(f"*{_SUFFIX}") if self._folder.is_dir() else ():
            with suppress(FileNotFoundError):
                stat = path.stat()
                inode = (stat.st_dev, stat.st_ino)
                found.append(_Clip(path=path, bytes=stat.st_size, written=stat.st_mtime, inode=inode))
        return sorted(found, key=lambda clip: (clip.written, clip.path.name))

    def _too_old(self, clips: list[_Clip]) -> list[_Clip]:
        if not self._clock_synced():
            return []
        now = self._clock.wall()
        for clip in clips:
            if clip.written < _SET_CLOCK <= now or clip.written > now + _DAY_S:
                os.utime(clip.path, (now, now))  # its clock was not set: its age counts from now
        return [clip for clip in clips if _SET_CLOCK <= clip.written < now - self._keep_s]

    def _make_room(self) -> None:
        for clip in self._all():
            clip.path.unlink(missing_ok=True)
            if shutil.disk_usage(self._folder).free >= self._min_free:
                return
        raise StorageError(
            f"the disk of {self._folder} is nearly full: free some space; clips leave {self._min_free >> 20} MB to alerts"
        )

    @staticmethod
    def _share(path: Path, other: Path) -> None:
        part = other.with_name(other.name + _PART)
        part.unlink(missing_ok=True)
        try:
            part.hardlink_to(path)
        except OSError:  # FAT knows no links
            shutil.copyfile(path, part)
        part.replace(other)
