"""The notifications of a service."""

from __future__ import annotations

from contextlib import ExitStack

from detector.alerts.notify.notifications import Notifications, build_notifications
from detector.alerts.payloads import ClipExists, SnapshotUrl
from detector.config.schema import Config
from detector.core.clock import Clock
from detector.core.clock_sync import ClockSync

from .storage import Storage


def make_notifications(
    config: Config,
    storage: Storage,
    *,
    sign: SnapshotUrl,
    clip_exists: ClipExists,
    clock: Clock,
    clock_sync: ClockSync,
    closing: ExitStack,
) -> Notifications:
    """A sender for each target, with what a kill left between two files taken over; raises ConfigError."""
    made = build_notifications(
        config.notify,
        data_dir=config.data_dir,
        load_picture=storage.history.snapshot,
        snapshot_url=sign,
        clip_exists=clip_exists,
        clock=clock,
        clock_synced=clock_sync.is_synced,
        closing=closing,
    )
    made.recover(storage.outbox)
    return made
