"""From the outbox to the broker and, once acknowledged, out of the outbox.

Alerts overtake events; within a kind the outbox's order holds. What was handed over in one
session and not acknowledged in it is sent again in the next. Not thread-safe but for the
acknowledgements: the dispatcher's thread owns it.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Protocol

from detector.core.clock import Clock
from detector.core.errors import BrokerError
from detector.core.types import Message
from detector.mqtt.client import AckCallback

from .history_writer import HistoryWriter
from .outbox import Outbox
from .outbox_entries import KINDS, Entry, Kind
from .payloads import ClipExists, SnapshotUrl, stamp_published

log = logging.getLogger(__name__)

RETRY_S = 30.0  # how long a kind of message that the broker refused is left alone
_CUTS = 3  # sessions in a row that ended at a kind before it counts as refused: a broker may also just die


class MessageSink(Protocol):
    """What is needed of the MQTT client."""

    def publish(self, message: Message, on_ack: AckCallback | None = None) -> bool: ...

    def session(self) -> int | None: ...

    def flush(self) -> None: ...


class OutboxDelivery:
    """`work` sends what the outbox holds, as far as the link takes it; `wake` is called when an answer came.

    `before_alert(seq)` is called just before an alert goes out. `counts`, `refusals`: acknowledged entries and
    the broker's refusals since the start. `hold_s`: when to `work` again for an alert that waits for the disk.
    """

    def __init__(
        self,
        *,
        outbox: Outbox,
        history: HistoryWriter,
        link: MessageSink,
        clock: Clock,
        wake: Callable[[], None],
        before_alert: Callable[[int], None] = lambda _seq: None,
        snapshot_url: SnapshotUrl = lambda _path: None,
        clip_exists: ClipExists = lambda _path: False,
        retry_s: float = RETRY_S,
    ) -> None:
        self._outbox, self._history, self._link, self._clock = outbox, history, link, clock
        self._wake, self._before_alert, self._retry_s = wake, before_alert, retry_s
        self._snapshot_url, self._clip_exists = snapshot_url, clip_exists
        self._live: dict[int, int] = {}  # alerts put while connected: number -> that session
        self._flights: dict[int, tuple[Kind, int]] = {}  # number -> kind and session
        self._answers: deque[tuple[int, str | None]] = deque()
        self._paused: dict[Kind, float] = {}
        self._cuts: dict[Kind, int] = dict.fromkeys(KINDS, 0)
        self._cut_in: dict[Kind, int] = {}
        self._session: int | None = None
        self._all_out = True
        self._caught_up: int | None = None  # the session in which all that had waited is out
        self.counts: dict[Kind, int] = dict.fromkeys(KINDS, 0)
        self.refusals = 0
        self.hold_s: float | None = None

    @property
    def idle(self) -> bool:
        """Nothing is on its way, and nothing could be put on its way now."""
        if self._flights or self._answers:
            return False
        return self._link.session() is None or self._all_out

    def is_behind(self, session: int) -> bool:
        """Whether alerts or events still have to go out before anything else may in this session; from any thread."""
        return self._caught_up != session

    def added(self, entry: Entry) -> None:
        """An alert that was just put."""
        session = self._link.session()
        if session is not None:
            self._live[entry.seq] = session

    def work(self) -> None:
        """Take the answers that came, then send what may go."""
        self._take_answers()
        self.hold_s = None
        session = self._link.session()
        if session is None:
            return
        if session != self._session:
            self._session = session
            self._paused = {kind: until for kind, until in self._paused.items() if self._cuts[kind] >= _CUTS}
        self._all_out = all(self._send(kind, session) for kind in KINDS)
        if self._all_out and self._caught_up != session:
            self._caught_up = session
            self._link.flush()

    def _take_answers(self) -> None:
        acknowledged: dict[Kind, list[int]] = {kind: [] for kind in KINDS}
        while self._answers:
            seq, error = self._answers.popleft()
            kind, session = self._flights.pop(seq, (None, 0))
            if kind is None:
                continue
            if error is None:
                acknowledged[kind].append(seq)
                self._cuts[kind] = 0
            elif session == self._link.session():  # not the connection's end, the broker's own no
                self._pause(kind, error)
            else:
                self._note_cut(kind, session, error)
        self._settle(acknowledged)

    def _settle(self, acknowledged: dict[Kind, list[int]]) -> None:
        for kind, seqs in acknowledged.items():
            self.counts[kind] += len(seqs)
        if acknowledged["event"]:
            self._outbox.done(acknowledged["event"])
        if seqs := acknowledged["alert"]:
            # Off the disk once the history knows of them: after a crash in between it is told again.
            self._outbox.acknowledged(seqs)
            self._history.afterwards(partial(self._outbox.done, seqs))
            for seq in seqs:
                self._live.pop(seq, None)

    def _note_cut(self, kind: Kind, session: int, error: str) -> None:
        """A broker may end the connection at what it forbids: after a few times in a row, let the others go on."""
        if self._cut_in.get(kind) == session:
            return
        self._cut_in[kind] = session
        self._cuts[kind] += 1
        if self._cuts[kind] >= _CUTS:
            self._pause(kind, f"{error}, {self._cuts[kind]} times in a row at {kind}s: check the broker's access rules")

    def _pause(self, kind: Kind, error: str) -> None:
        self.refusals += 1
        self._paused[kind] = self._clock.mono() + self._retry_s
        log.warning("the broker takes no %ss, they wait and are tried again in %.0f s: %s", kind, self._retry_s, error)

    def _send(self, kind: Kind, session: int) -> bool:
        """False while there are some that have to go out first and cannot yet."""
        while self._clock.mono() >= self._paused.get(kind, 0.0):
            entry = self._outbox.first(kind, beside=self._flights)
            if entry is None:
                return not self._outbox.more(kind)
            if kind == "alert" and (hold := self._outbox.hold_s(entry)) > 0:
                self.hold_s = hold
                return False
            if self._on_trial(kind):
                return False
            if not self._hand_over(entry, session):
                return False
        return True

    def _on_trial(self, kind: Kind) -> bool:
        """Whether what is on its way may end the connection, and would take the next of `kind` with it.

        What ended it before goes alone, or the innocent is blamed with it, every time; an alert waits for alerts only.
        """
        flown = {flying for flying, _ in self._flights.values()}
        return any(self._cuts[flying] for flying in flown if kind != "alert" or flying == "alert")

    def _hand_over(self, entry: Entry, session: int) -> bool:
        payload = entry.payload
        try:
            if entry.kind == "alert":
                self._before_alert(entry.seq)
                payload = self._stamped(entry, session)
            # Noted first: the answer may come before `publish` returns.
            self._flights[entry.seq] = entry.kind, session
            taken = self._link.publish(
                Message(topic=entry.topic, payload=payload, qos=1), partial(self._answered, entry.seq)
            )
        except BrokerError as error:
            taken = False
            self._pause(entry.kind, str(error))
        except ValueError as error:
            log.error("entry %d of the outbox is not readable and is lost: %s", entry.seq, error)  # noqa: TRY400 - the stack says nothing
            self._outbox.done([entry.seq])
            return True
        if not taken:
            self._flights.pop(entry.seq, None)
        return taken or self._clock.mono() < self._paused.get(entry.kind, 0.0)

    def _stamped(self, entry: Entry, session: int) -> bytes:
        live = self._live.get(entry.seq)
        payload = stamp_published(
            entry.payload,
            wall=self._clock.wall(),
            replayed=live != session,
            snapshot_url=self._snapshot_url,
            clip_exists=self._clip_exists,
        )
        if live is None and not entry.put_mono:  # of an earlier process, which may not have come to note it
            self._history.mark_alerted(json.loads(payload))
        return payload

    def _answered(self, seq: int, error: str | None) -> None:
        """The link's answer for an entry; from any thread."""
        self._answers.append((seq, error))
        self._wake()
