"""The way out for all that the service has to say: alerts, events, states and pictures.

An alert is numbered, encoded once and given to the outbox, whose thread writes it down; meanwhile its picture is
made here. Once it is on the disk (or the disk is late, see `Outbox`) it is handed to the MQTT client, its picture
just before it. Alerts are never dropped; where things do not keep up, events and other messages are, the oldest
first, and counted.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.errors import BrokerError
from detector.core.types import AlarmState, Alert, EventChange, JsonObject, Message, TamperAlert

from .alert_pictures import MAX_FIRSTS, NO_FRAME, SNAPSHOT_WIDTH, AlertPictures, EncodeSnapshot
from .delivery import RETRY_S, MessageSink, OnDelivered, OutboxDelivery
from .history_writer import HistoryWriter
from .outbox import Outbox
from .payloads import (
    ClipExists,
    SnapshotUrl,
    alert_payload,
    clip_path,
    clip_payload,
    encode,
    event_payload,
    record_document,
    tamper_payload,
)
from .topics import Topics

log = logging.getLogger(__name__)

MAX_WAITING = 1000
_LOOK_S = 0.25  # a stop may go unnoticed this long, and the heartbeat is this old while idle
_ON_OFF = ("OFF", "ON")


class PublishingLink(MessageSink, Protocol):
    """The MQTT client as the dispatcher uses it."""

    def listen(self, callback: Callable[[], None], is_behind: Callable[[int], bool]) -> None: ...

    def offer(self, message: Message, *, hint: str | None = None, shrinks: bool = False) -> bool: ...

    def size_limit(self) -> int | None: ...

    def take_rejected(self) -> list[Message]: ...

    def restate(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchStats:
    """`waiting`: submitted, not yet given on; the rest counts since the start.

    `dropped`: events and messages that found the queue full, or no broker (those without retain).
    """

    waiting: int
    dropped: int
    alerts_acknowledged: int
    events_acknowledged: int
    refusals: int


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Delivered at least once, as events are; `make` writes it when it is its turn."""

    key: str
    topic: str
    make: Callable[[], dict[str, Any]]


class Dispatcher:
    """Every method but `run` and `drain` may be called from any thread and returns at once; those two from one thread.

    `device` is the device's id, `snapshot_width` px (0: as wide as the frame). `outbox` and `history` have threads
    of their own.
    """

    def __init__(
        self,
        *,
        outbox: Outbox,
        history: HistoryWriter,
        link: PublishingLink,
        topics: Topics,
        device: str,
        encode_snapshot: EncodeSnapshot,
        snapshot_url: SnapshotUrl = lambda _path: None,
        snapshot_width: int = SNAPSHOT_WIDTH,
        request_clip: Callable[[Alert], bool] = lambda _alert: False,
        clip_exists: ClipExists = lambda _path: False,
        notify: Callable[[dict[str, Any], bytes | None], None] = lambda _document, _picture: None,
        clock: Clock = SYSTEM_CLOCK,
        clock_synced: Callable[[], bool] = lambda: True,
        on_delivered: OnDelivered = lambda _latency_ms, _acknowledged_s: None,
        max_waiting: int = MAX_WAITING,
        retry_s: float = RETRY_S,
    ) -> None:
        if max_waiting < 1:
            raise ValueError("max_waiting must be at least 1")
        self._outbox, self._history, self._link = outbox, history, link
        self._topics, self._device, self._clock, self._clock_synced = topics, device, clock, clock_synced
        self._notify = notify
        self._request_clip, self._clip_exists, self._snapshot_url = request_clip, clip_exists, snapshot_url
        self._max_waiting = max_waiting
        self._changed = threading.Condition()  # never held over disk, network or an encoder
        self._woken = False
        self._alerts: deque[Alert] = deque()
        self._events: deque[EventChange] = deque()
        self._firsts: deque[EventChange] = deque(maxlen=MAX_FIRSTS)
        self._messages: deque[Message] = deque()
        self._documents: deque[_Waiting] = deque(maxlen=max_waiting)
        self._retained: dict[str, tuple[Message, str | None]] = {}
        self._repeated: dict[str, Message] = {}  # states that are not retained: the last of each topic
        self._dropped = 0
        self._pictures = AlertPictures(
            encode=encode_snapshot,
            history=history,
            link=link,
            give=self._give,
            topic=topics.snapshot,
            width=snapshot_width,
        )
        self._delivery = OutboxDelivery(
            outbox=outbox,
            history=history,
            link=link,
            clock=clock,
            wake=self.wake,
            before_alert=self._pictures.publish,
            snapshot_url=snapshot_url,
            on_delivered=on_delivered,
            clip_exists=clip_exists,
            retry_s=retry_s,
        )
        self.progress_mono = clock.mono()
        link.listen(self.wake, self._delivery.is_behind)
        outbox.listen(self.wake)

    # What there is to say

    def alert(self, alert: Alert) -> None:
        """Never dropped."""
        self._take(lambda: self._alerts.append(alert))

    def change(self, change: EventChange) -> None:
        """An event's step. Of many new visits at once only the latest get a first picture."""

        def take() -> None:
            self._append(self._events, replace(change, frame=NO_FRAME))  # a queue of frames would be a queue of MBs
            if change.type == "new":
                self._firsts.append(change)

        self._take(take)

    def tamper(self, alert: TamperAlert) -> None:
        """A camera's view was taken away: delivered at least once, as events are."""
        make = partial(tamper_payload, alert, device=self._device)
        self._put_later(_Waiting(alert.id, self._topics.tamper, lambda: make(clock_synced=self._clock_synced())))

    def clip(self, event_id: str, camera: str, duration_s: float) -> None:
        """A visit's clip is there: delivered at least once, as events are."""
        make = partial(clip_payload, event_id, device=self._device, camera=camera, duration_s=duration_s)
        self._put_later(_Waiting(event_id, self._topics.clips, lambda: make(snapshot_url=self._snapshot_url)))

    def people(self, camera: str, count: int) -> None:
        self._publish(self._topics.person(camera), str(count), retain=True)

    def motion(self, camera: str, moving: bool) -> None:
        self._repeat(Message(topic=self._topics.motion(camera), payload=_ON_OFF[moving].encode()))

    def camera_status(self, camera: str, status: str) -> None:
        self._publish(self._topics.camera_status(camera), status, qos=1, retain=True)

    def detect_state(self, camera: str, on: bool) -> None:
        self._publish(self._topics.detect_state(camera), _ON_OFF[on], qos=1, retain=True)

    def alarm_state(self, state: AlarmState) -> None:
        self._publish(self._topics.alarm_state, state, qos=1, retain=True)

    def retain(self, topic: str, document: JsonObject) -> None:
        self.send(Message(topic=topic, payload=encode(document), qos=1, retain=True))

    def status(self, document: JsonObject) -> None:
        """The status document, for `P/stats`."""
        self._repeat(Message(topic=self._topics.stats, payload=encode(document)))

    def forget_camera(self, camera: str) -> None:
        """Clear a removed camera's retained topics, so that nothing shows its last state for ever."""
        self._repeated.pop(self._topics.motion(camera), None)
        for topic in self._topics.retained_of(camera):
            self.send(Message(topic=topic, payload=b"", qos=1, retain=True))

    def send(self, message: Message, hint: str | None = None) -> None:
        """Of a retained topic only the last value matters; others are dropped when there are too many.

        With `hint`, what to do where the broker forbids it, the message is not needed and goes last.
        """

        def take() -> None:
            if message.retain:
                self._retained[message.topic] = message, hint
            else:
                self._append(self._messages, message)

        self._take(take)

    def restate(self) -> None:
        """Say every state again, motion and status too: a subscriber has come that may have missed them."""
        for message in list(self._repeated.values()):
            self.send(message)
        self._link.restate()

    def save_state(self, name: str, document: JsonObject) -> None:
        """Keep a small document over restarts: the last value wins, and is on the disk before any alert that follows."""
        self._outbox.save_state(name, document)

    def listen_alerts(self, callback: Callable[[bytes], None]) -> None:
        """Have `callback(payload)` called, in the dispatcher's thread, after each alert that was handed to the broker; before `run`."""
        self._delivery.after_alert = callback

    def wake(self) -> None:
        """Look again now: the link can take more, the disk has it, or an answer came."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def stats(self) -> DispatchStats:
        return DispatchStats(
            waiting=self._waiting(),
            dropped=self._dropped,
            alerts_acknowledged=self._delivery.counts["alert"],
            events_acknowledged=self._delivery.counts["event"],
            refusals=self._delivery.refusals,
        )

    # The thread

    def run(self, stop: threading.Event) -> None:
        self._pictures.warm_up()
        while not stop.is_set():
            self._wait(_LOOK_S)
            self._round()

    def drain(self, deadline: float) -> bool:
        """After `run`: give on what was submitted, and send while the link takes it.

        Until `deadline`, monotonic s; True when nothing waits for an answer any more. What was not
        acknowledged stays in the outbox.
        """
        self._round()
        while not (self._delivery.idle and not self._waiting()):
            left = deadline - self._clock.mono()
            if left <= 0:
                return False
            self._wait(min(left, _LOOK_S))
            self._round()
        return True

    def _take(self, take: Callable[[], None]) -> None:
        with self._changed:
            take()
            self._woken = True
            self._changed.notify()

    def _put_later(self, document: _Waiting) -> None:
        self._take(lambda: self._documents.append(document))

    def _repeat(self, message: Message) -> None:
        self._repeated[message.topic] = message
        self.send(message)

    def _publish(self, topic: str, text: str, *, qos: int = 0, retain: bool = False) -> None:
        self.send(Message(topic=topic, payload=text.encode(), qos=qos, retain=retain))

    def _append(self, queue: deque[EventChange] | deque[Message], item: EventChange | Message) -> None:
        if len(queue) >= self._max_waiting:
            queue.popleft()
            self._dropped += 1
        queue.append(item)  # type: ignore[arg-type]  # each caller brings its own queue's kind

    def _waiting(self) -> int:
        return len(self._alerts) + len(self._documents) + len(self._events) + len(self._messages) + len(self._retained)

    def _wait(self, seconds: float) -> None:
        hold = self._delivery.hold_s
        with self._changed:
            self._changed.wait_for(lambda: self._woken, seconds if hold is None else min(seconds, hold))
            self._woken = False

    def _round(self) -> None:
        self.progress_mono = self._clock.mono()
        # Answers first: what waited must be known to be out before a new alert's picture may go.
        for step in (
            self._delivery.work,
            self._put_alerts,
            self._put_documents,
            self._hand_over_messages,
            self._put_events,
            self._send,
        ):
            try:
                step()
            except Exception:
                log.exception("the dispatcher stumbled and goes on")
        self.progress_mono = self._clock.mono()

    def _send(self) -> None:
        self._delivery.work()
        self._pictures.shrink_rejected()
        # Without a broker nobody waits for the order of picture and alert; what waits for long must not pile up.
        keep = 0 if self._link.session() is None else MAX_FIRSTS
        self._pictures.publish_oldest(keep=keep)

    def _put_alerts(self) -> None:
        while self._alerts:
            alert = self._alerts[0]
            # The outbox numbers it.
            document = alert_payload(
                alert,
                device=self._device,
                seq=0,
                clock_synced=self._clock_synced(),
                with_clip=self._request_clip(alert),
            )
            entry = self._outbox.put(
                kind="alert",
                key=alert.id,
                topic=self._topics.alerts,
                document=document,
                created_wall=self._clock.wall(),
            )
            self._delivery.added(entry)
            self._alerts.popleft()
            picture = self._pictures.take(alert, entry.seq)  # while the disk writes
            self._delivery.work()
            self._history.mark_alerted(document)
            self._notify(document, picture)

    def _hand_over_messages(self) -> None:
        with self._changed:
            retained, self._retained = self._retained, {}
            messages, self._messages = self._messages, deque()
        for message, hint in [*retained.values(), *((message, None) for message in messages)]:
            self._give(message, hint=hint)

    def _give(self, message: Message, *, hint: str | None = None, shrinks: bool = False) -> None:
        try:
            taken = self._link.offer(message, hint=hint, shrinks=shrinks)
        except BrokerError as error:
            taken = False
            log.warning("%s", error)
        if not taken:
            with self._changed:
                self._dropped += 1

    def _put_documents(self) -> None:
        while self._documents:
            waiting = self._documents.popleft()
            self._outbox.put(
                kind="event",
                key=waiting.key,
                topic=waiting.topic,
                document=waiting.make(),
                created_wall=self._clock.wall(),
            )

    def _put_events(self) -> None:
        with self._changed:
            events, self._events = list(self._events), deque()
            firsts = list(self._firsts)
            self._firsts.clear()
        for change in events:
            has_clip = self._clip_exists(clip_path(change.after.id))
            document = event_payload(change, device=self._device, has_clip=has_clip)
            self._outbox.put(
                kind="event",
                key=change.after.id,
                topic=self._topics.events,
                document=document,
                created_wall=self._clock.wall(),
                droppable=change.type == "update",
            )
            self._history.record(document["after"] | record_document(change.after))
        for change in firsts:
            self._pictures.take_first(change)
