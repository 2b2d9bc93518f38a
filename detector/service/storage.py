"""What the service keeps on the disk, opened."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from detector.alerts.clips.folder import ClipFolder
from detector.alerts.history import History
from detector.alerts.history_writer import HistoryWriter
from detector.alerts.outbox import Outbox
from detector.config.schema import Config
from detector.core.clock import Clock
from detector.core.clock_sync import ClockSync


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """What lies on the disk."""

    outbox: Outbox
    history: History
    history_writer: HistoryWriter
    clip_folder: ClipFolder


def open_storage(config: Config, clock: Clock, clock_sync: ClockSync, closing: ExitStack) -> Storage:
    """Open all of it; `closing` closes it again."""
    folder, keep = config.data_dir, config.history
    outbox = Outbox(folder / "outbox.db", clock=clock)
    closing.callback(outbox.close)
    clips = ClipFolder(
        folder / "clips",
        keep_days=keep.clips.keep_days,
        max_clips=keep.clips.max_clips,
        max_bytes=keep.clips.max_mb * 1e6,
        clock=clock,
        clock_synced=clock_sync.is_synced,
    )
    history = History(
        path=folder / "history.db",
        snapshot_dir=folder / "snapshots",
        keep_days=keep.keep_days,
        max_events=keep.max_events,
        clock=clock,
        clock_synced=clock_sync.is_synced,
        clips=clips,
    )
    closing.callback(history.close)
    return Storage(
        outbox=outbox, history=history, history_writer=HistoryWriter(history, clock=clock), clip_folder=clips
    )
