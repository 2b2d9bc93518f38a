"""One target's notifications: on the disk first, sent in order, tried again with growing pauses, dropped when stale.

Each target has an outbox and threads of its own, so that none waits for another.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from detector.alerts.outbox import Outbox
from detector.alerts.outbox_entries import Entry
from detector.alerts.payloads import ClipExists, SnapshotUrl, published
from detector.config.notify_settings import NotifyTarget
from detector.config.template import render
from detector.core.backoff import Backoff
from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.errors import DetectorError
from detector.core.redact import redact

from .notice import Notice, NoticeTarget, fields

log = logging.getLogger(__name__)
LAST_ALERT = "last_alert"
MAX_PICTURES = 4
_HOUR_S = 3600.0
_LOOK_S = 0.25
_PICTURE_TRIES = 3  # after so many it is tried without: some services refuse an attachment
_SET_CLOCK = 1_700_000_000.0  # epoch s, of 2023: a stamp before it is of a clock that was not set
_BASE_S, _CAP_S = 2.0, 300.0

LoadPicture = Callable[[str], "bytes | None"]
"""A visit's JPEG by its id; None where there is none. May raise DetectorError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyStats:
    """`waiting` alerts; since the start: `sent`, `failed` tries, `dropped` alerts that were too old,
    the last one `dropped_s` seconds ago. `error`: of the last try.
    """

    waiting: int
    sent: int
    failed: int
    dropped: int
    dropped_s: float | None
    error: str | None


class NotifySender:
    """`alert` from one thread, `run` in another; `outbox` has a third. `stats` from any."""

    def __init__(
        self,
        *,
        settings: NotifyTarget,
        target: NoticeTarget,
        outbox: Outbox,
        load_picture: LoadPicture,
        snapshot_url: SnapshotUrl = lambda _path: None,
        clip_exists: ClipExists = lambda _path: False,
        clock: Clock = SYSTEM_CLOCK,
        clock_synced: Callable[[], bool] = lambda: True,
        backoff: Backoff | None = None,
    ) -> None:
        self.settings, self.outbox = settings, outbox
        self._target, self._load_picture, self._clock, self._clock_synced = target, load_picture, clock, clock_synced
        self._snapshot_url, self._clip_exists = snapshot_url, clip_exists
        self._backoff = backoff or Backoff(base=_BASE_S, cap=_CAP_S)
        self._changed = threading.Condition()
        self._pictures: OrderedDict[str, bytes] = OrderedDict()
        self._began_mono, self._retry_mono = clock.mono(), clock.mono()
        self._tries = 0
        self._sent = self._failed = self._dropped = 0
        self._dropped_mono: float | None = None
        self._error: str | None = None
        outbox.listen(self._wake)

    def alert(self, document: dict[str, Any], picture: bytes | None) -> None:
        """An alert's document as the dispatcher numbered it; kept if this target wants it. Returns at once."""
        if self._wants(document):
            if picture is not None and self.settings.picture:
                with self._changed:
                    self._pictures[document["id"]] = picture
                    while len(self._pictures) > MAX_PICTURES:
                        self._pictures.popitem(last=False)
            self.outbox.put(
                kind="alert",
                key=document["id"],
                topic=self.settings.name,
                document={"alert": document},
                created_wall=self._clock.wall(),
            )
        self.outbox.save_state(LAST_ALERT, {"seq": document["seq"]})
        self._wake()

    def last_alert(self) -> int | None:
        """The number of the last alert that this target knows of; None where it has known of none."""
        seq = (self.outbox.get_state(LAST_ALERT) or {}).get("seq")
        return seq if isinstance(seq, int) else None

    def stats(self) -> NotifyStats:
        return NotifyStats(
            waiting=self.outbox.stats().pending_alerts,
            sent=self._sent,
            failed=self._failed,
            dropped=self._dropped,
            dropped_s=None if self._dropped_mono is None else round(self._clock.mono() - self._dropped_mono, 1),
            error=self._error,
        )

    def run(self, stop: threading.Event) -> None:
        """Until `stop`; what is left waits on the disk."""
        while not stop.is_set():
            try:
                worked = self.step()
            except Exception:
                log.exception("notify %s: unexpected error; it goes on", self.settings.name)
                worked = False
                stop.wait(_BASE_S)
            if not worked:
                with self._changed:
                    self._changed.wait(_LOOK_S)

    def step(self) -> bool:
        """Send the next one if it is due; whether there may be more at once. For the thread of `run`, or without one."""
        entry = self.outbox.first("alert")
        if entry is None or self.outbox.hold_s(entry) > 0.0:
            return False
        if self._age_s(entry) > self.settings.keep_h * _HOUR_S:
            self._drop(
                entry, f"not delivered within {self.settings.keep_h:g} h ({self._error or 'the detector was off'})"
            )
            return True
        if self._clock.mono() < self._retry_mono:
            return False
        try:
            notice = self._notice(entry)
        except (ValueError, KeyError, TypeError, AttributeError):
            self._drop(entry, "its stored alert is not readable")
            return True
        try:
            self._target.send(notice)
        except DetectorError as error:
            self._fail(redact(str(error)))
            return False
        self._deliver(entry)
        return True

    def _wants(self, document: dict[str, Any]) -> bool:
        cameras = self.settings.cameras
        return (not cameras or document["camera"] in cameras) and document["score"] >= self.settings.min_score

    def _notice(self, entry: Entry) -> Notice:
        stored = json.loads(entry.payload)["alert"]
        document = published(
            stored,
            wall=self._clock.wall(),
            replayed=self._tries > 0 or not entry.put_mono,
            snapshot_url=self._snapshot_url,
            clip_exists=self._clip_exists,
        )
        values = fields(document)
        title, text = render(self.settings.title, values), render(self.settings.text, values)
        return Notice(document=document, title=title, text=text.strip(), picture=self._picture(document))

    def _picture(self, document: dict[str, Any]) -> bytes | None:
        if not self.settings.picture or self.settings.webhook is not None or self._tries >= _PICTURE_TRIES:
            return None
        with self._changed:
            held = self._pictures.get(document["id"])
        if held is not None:
            return held
        try:
            return self._load_picture(document["event_id"])
        except DetectorError:
            return None  # the message goes without it

    def _age_s(self, entry: Entry) -> float:
        """How long it has waited, by what is certain of the clocks."""
        now = self._clock.mono()
        if entry.put_mono:
            return now - entry.put_mono
        here = now - self._began_mono
        if not self._clock_synced() or entry.created_wall < _SET_CLOCK:
            return here
        return max(here, self._clock.wall() - entry.created_wall)

    def _deliver(self, entry: Entry) -> None:
        self._sent += 1
        self._tries = 0
        if self._error is not None:
            log.info("notify %s: works again", self.settings.name)
        self._error = None
        self._backoff.reset()
        self._forget(entry)

    def _fail(self, why: str) -> None:
        self._tries += 1
        pause = max(_BASE_S / 2, self._backoff.next())
        self._retry_mono = self._clock.mono() + pause
        if why != self._error:
            log.warning("notify %s: %s; tried again for %g h", self.settings.name, why, self.settings.keep_h)
        self._error = why
        self._failed += 1

    def _drop(self, entry: Entry, why: str) -> None:
        self._dropped += 1
        self._dropped_mono = self._clock.mono()
        self._tries = 0
        log.error("notify %s: alert %s is dropped: %s", self.settings.name, entry.key, why)
        self._forget(entry)

    def _forget(self, entry: Entry) -> None:
        self.outbox.done([entry.seq])
        with self._changed:
            self._pictures.pop(entry.key, None)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify()
