"""All targets together: made of the configuration, fed by the dispatcher, shown to an operator."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from detector.alerts.outbox import Outbox
from detector.alerts.payloads import ClipExists, SnapshotUrl
from detector.config.notify_settings import NotifyTarget
from detector.core.clock import SYSTEM_CLOCK, Clock

from .apprise_target import AppriseTarget
from .notice import Notice, NoticeTarget
from .sender import LoadPicture, NotifySender
from .webhook import WebhookTarget

FOLDER = "notify"
SAID_S = 86_400.0  # so long a loss stays among the problems


def make_target(settings: NotifyTarget, clock: Clock = SYSTEM_CLOCK) -> NoticeTarget:
    """Raises ConfigError where the Apprise library is missing or does not know the address."""
    if settings.url is not None:
        return AppriseTarget(name=settings.name, url=settings.url.get_secret_value().strip())
    assert settings.webhook is not None
    assert settings.secret is not None
    return WebhookTarget(
        url=settings.webhook.get_secret_value(), secret=settings.secret.get_secret_value(), clock=clock
    )


def check_targets(targets: Sequence[NotifyTarget]) -> None:
    """Whether all can be made; raises ConfigError. Sends nothing."""
    for settings in targets:
        make_target(settings)


def try_target(settings: NotifyTarget, *, device: str, now: str) -> None:
    """Send a message that says that it is a test; raises DetectorError."""
    document = {"id": f"test-{device}", "test": True, "device": device, "sent_at": now}
    notice = Notice(document=document, title=f"{device}: test", text="A test of detector check --notify.", picture=None)
    make_target(settings).send(notice)


class Notifications:
    """`alert` from the dispatcher's thread; each sender's threads are for the service to start."""

    def __init__(self, senders: Sequence[NotifySender]) -> None:
        self.senders = tuple(senders)

    def alert(self, document: dict[str, Any], picture: bytes | None) -> None:
        """An alert that is in the outbox."""
        for sender in self.senders:
            sender.alert(document, picture)

    def recover(self, outbox: Outbox) -> None:
        """Take what waits for the broker and no sender knows of: a kill came between the two writes."""
        seen: list[int] = []
        while self.senders and (entry := outbox.first("alert", beside=seen)) is not None:
            seen.append(entry.seq)
            document = json.loads(entry.payload)
            for sender in self.senders:
                last = sender.last_alert()
                if last is not None and document["seq"] > last:
                    sender.alert(document, None)

    def document(self) -> dict[str, Any]:
        """The status document's part."""
        return {sender.settings.name: dataclasses.asdict(sender.stats()) for sender in self.senders}

    def problems(self) -> Iterator[str]:
        for sender in self.senders:
            stats, name = sender.stats(), sender.settings.name
            if stats.error is not None:
                yield f"notify {name}: {stats.error}; {stats.waiting} alerts wait"
            if stats.dropped_s is not None and stats.dropped_s < SAID_S:
                yield f"notify {name}: {stats.dropped} alerts could not be delivered in time and were dropped"
            if (fault := sender.outbox.stats().fault) is not None:
                yield f"notify {name}: {fault}"


def build_notifications(
    targets: Sequence[NotifyTarget],
    *,
    data_dir: Path,
    load_picture: LoadPicture,
    snapshot_url: SnapshotUrl,
    clip_exists: ClipExists,
    clock: Clock,
    clock_synced: Callable[[], bool],
    closing: ExitStack,
) -> Notifications:
    """A sender for each of `targets`; raises ConfigError. `closing` closes their files."""
    made = [(settings, make_target(settings, clock)) for settings in targets]
    senders = []
    for settings, target in made:
        folder = data_dir / FOLDER
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        outbox = Outbox(folder / f"{settings.name}.db", clock=clock)
        closing.callback(outbox.close)
        senders.append(
            NotifySender(
                settings=settings,
                target=target,
                outbox=outbox,
                load_picture=load_picture,
                snapshot_url=snapshot_url,
                clip_exists=clip_exists,
                clock=clock,
                clock_synced=clock_synced,
            )
        )
    return Notifications(senders)
