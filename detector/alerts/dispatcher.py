"""The post room's one clerk: takes what the worker found, writes it down, hands it to the link.

An alert is on the disk before anything of it is sent, and its picture is published just before the
alert that speaks of it. Every visit gets a picture in the history. Alerts are never dropped; when the disk is slow,
events and other messages are, the oldest first, and counted.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.errors import BrokerError
from detector.core.types import Alert, EventChange, JsonObject, Message

from .delivery import RETRY_S, MessageSink, OutboxDelivery
from .history import History
from .outbox import ResilientOutbox
from .outbox_entries import Entry, NewEntry
from .payloads import Topics, alert_payload, event_payload
from .snapshot_encoder import FrameJpegs, LazyJpeg, SnapshotEncoder

log = logging.getLogger(__name__)

MAX_WAITING = 1000
MAX_FIRSTS = 8  # visits whose first picture is still to be made: each holds a frame
_LOOK_S = 0.25  # a stop may go unnoticed this long, and the heartbeat is this old while idle


class PublishingLink(MessageSink, Protocol):
    """The link as the dispatcher uses it: it also tells when it can take more."""

    def listen(self, callback: Callable[[], None]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchStats:
    """`waiting`: submitted, not yet written; the rest counts since the start.

    `dropped`: events and messages that found the queue full, or no broker (those without retain).
    """

    waiting: int
    dropped: int
    alerts_acknowledged: int
    events_acknowledged: int
    refusals: int


class Dispatcher:
    """`submit` from any thread; `run` in one; `drain` after it. `device` is the device's id."""

    def __init__(
        self,
        *,
        outbox: ResilientOutbox,
        history: History,
        link: PublishingLink,
        topics: Topics,
        device: str,
        darkroom: SnapshotEncoder,
        clock: Clock = SYSTEM_CLOCK,
        max_waiting: int = MAX_WAITING,
        retry_s: float = RETRY_S,
    ) -> None:
        if max_waiting < 1:
            raise ValueError("max_waiting must be at least 1")
        self._outbox, self._history, self._link = outbox, history, link
        self._topics, self._device, self._clock = topics, device, clock
        self._darkroom, self._max_waiting = darkroom, max_waiting
        self._changed = threading.Condition()
        self._woken = False
        self._alerts: deque[tuple[Alert, FrameJpegs]] = deque()
        self._events: deque[NewEntry] = deque()
        self._firsts: deque[EventChange] = deque(maxlen=MAX_FIRSTS)
        self._messages: deque[Message] = deque()
        self._retained: dict[str, Message] = {}
        self._states: dict[str, JsonObject] = {}
        self._dropped = 0
        self._sender = OutboxDelivery(outbox=outbox, link=link, clock=clock, wake=self.wake, retry_s=retry_s)
        self.progress_mono = clock.mono()
        link.listen(self.wake)

    def submit(self, item: Alert | EventChange | Message) -> None:
        """Take over `item`; returns at once. Of many new visits at once only the latest get a first picture."""
        event = self._event(item) if isinstance(item, EventChange) else None
        picture = self._darkroom.begin(item.frame, item.box, item.score) if isinstance(item, Alert) else None
        with self._changed:
            if isinstance(item, EventChange) and event is not None:
                self._append(self._events, event)
                if item.type == "new":
                    self._firsts.append(item)
            elif isinstance(item, Alert) and picture is not None:
                self._alerts.append((item, picture))
            elif isinstance(item, Message) and item.retain:
                self._retained[item.topic] = item  # of a state only the last value matters
            elif isinstance(item, Message):
                self._append(self._messages, item)
            self._woken = True
            self._changed.notify()

    def save_state(self, name: str, document: JsonObject) -> None:
        """Keep `document` under `name` over restarts; returns at once. The last one counts.

        It is written before any alert that is submitted after it.
        """
        with self._changed:
            self._states[name] = document
            self._woken = True
            self._changed.notify()

    def wake(self) -> None:
        """Look again now: the link can take more, or an answer came."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._wait(_LOOK_S)
            self._round()

    def drain(self, deadline: float) -> bool:
        """After `run`: write down what was submitted, and send while the link takes it.

        Until `deadline`, monotonic s; True when nothing waits for an answer any more. What was not
        acknowledged stays on the disk.
        """
        self._round()
        while not (self._sender.idle and not self._waiting()):
            left = deadline - self._clock.mono()
            if left <= 0:
                return False
            self._wait(min(left, _LOOK_S))
            self._round()
        return True

    def stats(self) -> DispatchStats:
        sent = self._sender.stats
        return DispatchStats(
            waiting=self._waiting(),
            dropped=self._dropped,
            alerts_acknowledged=sent.alerts,
            events_acknowledged=sent.events,
            refusals=sent.refusals,
        )

    def _event(self, change: EventChange) -> NewEntry:
        return NewEntry(
            kind="event",
            key=change.after.id,
            topic=self._topics.events,
            payload=event_payload(change, device=self._device),
            created_wall=self._clock.wall(),
        )

    def _append(self, queue: deque[NewEntry] | deque[Message], item: NewEntry | Message) -> None:
        if len(queue) >= self._max_waiting:
            queue.popleft()
            self._dropped += 1
        queue.append(item)  # type: ignore[arg-type]  # each caller brings its own queue's kind

    def _waiting(self) -> int:
        return len(self._alerts) + len(self._events) + len(self._messages) + len(self._retained)

    def _wait(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._woken, seconds)
            self._woken = False

    def _round(self) -> None:
        self.progress_mono = self._clock.mono()
        try:
            self._write_states()
            alerted = self._write_alerts()
            self._hand_over_messages()
            self._write_events(pictured={str(entry.payload["event_id"]) for entry in alerted})
            for entry in alerted:  # after the events: the visit that it belongs to must be known
                self._history.mark_alerted(str(entry.payload["event_id"]), entry.payload)
            self._sender.work()
        except Exception:
            log.exception("the dispatcher stumbled and goes on")
        self.progress_mono = self._clock.mono()

    def _write_states(self) -> None:
        with self._changed:
            states, self._states = self._states, {}
        for name, document in states.items():
            self._outbox.set_state(name, document)

    def _write_alerts(self) -> list[Entry]:
        entries: list[Entry] = []
        while self._alerts:
            alert, picture = self._alerts[0]
            entry = self._outbox.put(
                kind="alert",
                key=alert.id,
                topic=self._topics.alerts,
                payload=alert_payload(alert, device=self._device, seq=0),  # the outbox numbers it
                created_wall=self._clock.wall(),
            )
            self._alerts.popleft()  # only now: it is on the disk
            self._sender.added(entry)
            jpeg = self._developed(alert.camera, picture.preview)
            if jpeg is not None:
                self._link.publish(Message(topic=self._topics.snapshot(alert.camera), payload=jpeg, retain=True))
            self._sender.work()
            if jpeg is not None:
                self._keep(alert.camera, alert.event_id, picture)  # after it was sent: this waits for the disk
            entries.append(entry)
        return entries

    def _developed(self, camera: str, print_: LazyJpeg) -> bytes | None:
        """Whatever happens to the picture, the alert goes out."""
        try:
            return print_.get()
        except Exception:
            log.exception("camera %s: a picture could not be made", camera)
            return None

    def _keep(self, camera: str, event_id: str, picture: FrameJpegs) -> None:
        jpeg = self._developed(camera, picture.full)
        if jpeg is not None:
            self._history.save_snapshot(event_id, jpeg)

    def _hand_over_messages(self) -> None:
        with self._changed:
            retained, self._retained = self._retained, {}
            messages, self._messages = self._messages, deque()
        for message in [*retained.values(), *messages]:
            try:
                taken = self._link.publish(message)
            except BrokerError as error:
                taken = False
                log.warning("%s", error)
            if not taken:
                with self._changed:
                    self._dropped += 1

    def _write_events(self, *, pictured: Collection[str]) -> None:
        with self._changed:
            events, self._events = list(self._events), deque()
            firsts = list(self._firsts)
            self._firsts.clear()
        for entry in self._outbox.put_many(events) if events else ():
            self._sender.added(entry)
            self._history.record(entry.payload["after"])
        for change in firsts:
            if change.after.id not in pictured:
                picture = self._darkroom.picture(change.frame, change.after.box, change.after.score)
                self._keep(change.after.camera, change.after.id, picture)
