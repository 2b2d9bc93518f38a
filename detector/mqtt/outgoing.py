"""What goes out in one connection, in which order, and what the broker said to it.

Alerts and events go first (`is_behind` says whether some wait), then subscriptions and small states, then what is
not needed: pictures and discovery. A broker that ends the connection at one of these does so twice, see `trials`.
A picture larger than any so far is read back: Mosquitto drops what is above its `message_size_limit` without a word.

Not thread-safe: the client's lock is held around every call.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from detector.core.clock import Clock
from detector.core.errors import BrokerError
from detector.core.types import Message

from .connection import Ack, BrokerConnection, Incoming
from .trials import Trial, Trials

log = logging.getLogger(__name__)

AckCallback = Callable[[str | None], None]
"""Called once for each message taken: None when the broker acknowledged it, else why it did not."""
_MAX_BYTES = 8 * 1024 * 1024  # taken and not yet written or acknowledged
_HEADER = 16  # bytes: more than a PUBLISH adds to topic and payload
_STATES_S = 5.0  # small states wait no longer for a backlog of alerts and events
_ANY_LIMIT = 16_384  # bytes: where not even so much comes back, the broker keeps nothing, and no limit is the reason
_FORBIDDEN = "allow it in the broker's access rules"


@dataclass(frozen=True, slots=True)
class Flight:
    """A message on its way; `order` counts the connection's packets."""

    message: Message
    on_ack: AckCallback | None
    order: int
    since_mono: float

    @property
    def size(self) -> int:
        return len(self.message.payload) + len(self.message.topic)


@dataclass(slots=True)
class _ReadBack:
    message: Message
    subscribed: int  # packet ids
    unsubscribed: int
    seen: bool = False


class Outgoing:
    """`window`: unacknowledged messages of QoS 1 at most; the broker may want fewer."""

    def __init__(self, *, clock: Clock, window: int) -> None:
        self._clock, self._max_window, self._window = clock, window, window
        self.is_behind: Callable[[int], bool] = lambda _session: False
        self.connection: BrokerConnection | None = None
        self.sessions = 0
        self.flights: dict[int, Flight] = {}
        self.trials = Trials()
        self._since = clock.mono()
        self._questions: dict[int, int] = {}  # what any broker answers: id -> order
        self._order = 0  # of the last packet
        self._retained: dict[str, Message] = {}
        self._stale: dict[str, None] = {}  # retained topics whose last value is not sent yet, in order
        self._hints: dict[str, str] = {}  # of those that are not needed: what to do where the broker forbids them
        self._shrinking: set[str] = set()
        self._rejected: dict[str, Message] = {}
        self._unsubscribed: list[str] = []
        self._read_back: _ReadBack | None = None
        self._kept_bytes: float = 0  # the largest picture that came back

    def attach(self, connection: BrokerConnection, *, alive: Message, filters: Iterable[str]) -> None:
        """A connection stands. `alive` is the state that goes last: who trusts it finds those before it true."""
        self.connection = connection
        self.sessions += 1
        self._since = self._clock.mono()
        self._window = min(self._max_window, connection.receive_maximum)
        self.trials.connected(self._since)
        self._unsubscribed = list(filters)
        self._retained.pop(alive.topic, None)
        self._retained[alive.topic] = alive
        self._stale = dict.fromkeys(self._retained)
        if not self.trials.careful:
            self._subscribe()

    def detach(self, *, wanted: bool) -> tuple[list[Flight], Trial | None]:
        """The connection is gone: what was on its way, and what is left out from now on, if anything."""
        self.connection = self._read_back = None
        flights, self.flights = list(self.flights.values()), {}
        self._questions.clear()
        guilty = None if wanted else self.trials.lost(self._clock.mono())
        if guilty is not None and guilty.shrinks and (message := self._retained.get(guilty.name)) is not None:
            self._reject(message)
        return flights, guilty

    def size_limit(self) -> int | None:
        """How many bytes of payload the broker is known to take at most; None while that is unknown."""
        told = self.connection.maximum_packet if self.connection is not None else None
        limits = [limit for limit in (told, self.trials.size_limit(self._clock.mono())) if limit is not None]
        return max(0, min(limits) - 256) if limits else None  # less a topic

    def take_rejected(self) -> list[Message]:
        """Pictures that were too large for the broker, since the last call."""
        rejected, self._rejected = list(self._rejected.values()), {}
        return rejected

    def send(self, message: Message, on_ack: AckCallback | None) -> bool:
        """Now or not at all: False where there is no connection or no room. Raises BrokerError for a too large one."""
        connection = self.connection
        if connection is None or not self._has_room(message):
            return False
        if size_of(message) > connection.maximum_packet:
            raise BrokerError(f"the message on {message.topic} is larger than the broker takes")
        message = connection.capabilities.granted(message)
        mid = connection.publish(message)
        if mid is None:
            return False
        self._order += 1
        self.flights[mid] = Flight(message, on_ack, self._order, self._clock.mono())
        return True

    def offer(self, message: Message, *, hint: str | None, shrinks: bool) -> bool:
        """See `MqttClient.offer`."""
        if not message.retain:
            return self._try(message)
        self._retained[message.topic] = message
        self._stale[message.topic] = None
        if hint is not None:
            self._hints[message.topic] = hint
        if shrinks:
            self._shrinking.add(message.topic)
        self.flush()
        return True

    def restate(self) -> None:
        """Send all retained messages again."""
        self._stale = dict.fromkeys(self._retained)
        self.flush()

    def flush(self) -> None:
        """Send what may go by now: subscriptions and small states, then what is not needed."""
        if self.connection is None:
            return
        behind = self.is_behind(self.sessions)
        if behind and self._clock.mono() - self._since < _STATES_S:
            return
        self._subscribe()
        self._flush_retained([topic for topic in self._stale if topic not in self._hints])
        if not behind and not any(topic not in self._hints for topic in self._stale) and not self._holds_up():
            self._flush_retained([topic for topic in self._stale if topic in self._hints])
        self._ask()

    def take_ack(self, ack: Ack) -> tuple[Flight | None, str | None]:
        """The message that `ack` is for, if any, and the topic that it has cleared."""
        if (order := self._questions.pop(ack.mid, None)) is not None:
            self.trials.proved(order)
            self._judge_read_back(ack)
        flight = self.flights.pop(ack.mid, None)
        if flight is None or flight.message.qos == 0:  # the socket's word, not the broker's
            return flight, None
        self.trials.proved(flight.order)
        message = flight.message
        if not message.retain or message.payload or self._retained.get(message.topic) is not message:
            return flight, None
        del self._retained[message.topic]  # an empty one has cleared its topic: nothing is left to restore
        return flight, message.topic if ack.error is None else None

    def take_echo(self, incoming: Incoming) -> None:
        """A retained message came: the picture that is read back, perhaps."""
        back = self._read_back
        if back is not None and incoming.topic == back.message.topic:
            known = (back.message, self._retained.get(incoming.topic))
            back.seen |= any(one is not None and one.payload == incoming.payload for one in known)

    # -- inside -------------------------------------------------------------------------------------

    def _trial(self, message: Message) -> Trial:
        topic = message.topic
        hint, shrinks = self._hints.get(topic, _FORBIDDEN), topic in self._shrinking
        return Trial(name=topic, size=size_of(message), hint=hint, shrinks=shrinks)

    def _try(self, message: Message) -> bool:
        """`send` as a trial; False also where it is left out, or something is on trial alone."""
        now, trial = self._clock.mono(), self._trial(message)
        if self.trials.is_left_out(trial, now) or not self.trials.may_begin() or not self.send(message, None):
            return False
        self.trials.begin(trial, self._order, now)
        unsure = trial.shrinks and trial.size > self._kept_bytes and self._read_back is None
        if unsure and not self.trials.careful and self.connection is not None and self.connection.capabilities.retains:
            self._begin_read_back(message)
        self._ask()
        return True

    def _ask(self) -> None:
        """Where no answer is to come to what is on trial, ask for one."""
        last = self.trials.last_order
        answers = [*self._questions.values(), *(f.order for f in self.flights.values() if f.message.qos > 0)]
        if not last or self.connection is None or self._questions or any(order >= last for order in answers):
            return
        self._note_question(self.connection.ask())

    def _note_question(self, mid: int | None) -> None:
        if mid is not None:
            self._order += 1
            self._questions[mid] = self._order

    def _begin_read_back(self, message: Message) -> None:
        assert self.connection is not None
        subscribed = self.connection.subscribe([message.topic])
        self._note_question(subscribed)
        unsubscribed = self.connection.ask(message.topic)
        self._note_question(unsubscribed)
        if subscribed is not None and unsubscribed is not None:
            self._read_back = _ReadBack(message, subscribed, unsubscribed)

    def _judge_read_back(self, ack: Ack) -> None:
        back = self._read_back
        if back is None or ack.mid not in (back.subscribed, back.unsubscribed):
            return
        size, trial = size_of(back.message), self._trial(back.message)
        if ack.mid == back.subscribed:
            if ack.error is not None:  # not allowed to look
                self._kept_bytes, self._read_back = float("inf"), None
            return
        self._read_back = None
        if back.seen:
            self._kept_bytes = max(self._kept_bytes, size)
        elif size <= _ANY_LIMIT or not back.message.payload:
            self._kept_bytes = float("inf")
        else:
            log.warning("MQTT: the broker drops what is on %s (%d bytes): %s", trial.name, size, trial.hint)
            self.trials.leave_out(trial, self._clock.mono())
            self._reject(self._retained.get(trial.name, back.message))

    def _subscribe(self) -> None:
        """All at once, or one at a time where something is under suspicion."""
        now = self._clock.mono()
        trials = [Trial(name=one, size=len(one), hint=_FORBIDDEN) for one in self._unsubscribed]
        trials = [trial for trial in trials if not self.trials.is_left_out(trial, now)]
        if self.trials.careful:
            trials = trials[:1]
        if not trials or self.connection is None or not self.trials.may_begin():
            return
        mid = self.connection.subscribe([trial.name for trial in trials])
        if mid is None:
            return
        self._note_question(mid)
        for trial in trials:
            self.trials.begin(trial, self._order, now)
            self._unsubscribed.remove(trial.name)

    def _has_room(self, message: Message) -> bool:
        flights = self.flights.values()
        unacknowledged = sum(flight.message.qos > 0 for flight in flights)
        size = len(message.payload) + sum(flight.size for flight in flights)
        return (message.qos == 0 or unacknowledged < self._window) and (not self.flights or size < _MAX_BYTES)

    def _holds_up(self) -> bool:
        """Where something is under suspicion, no alert or event may be on its way with it."""
        return self.trials.careful and any(flight.on_ack is not None for flight in self.flights.values())

    def _flush_retained(self, topics: list[str]) -> None:
        for topic in topics:
            message = self._retained[topic]
            if self._is_too_large(message):
                if topic in self._shrinking:
                    self._reject(message)
                else:
                    log.warning("MQTT: the message on %s is larger than the broker takes", topic)
            elif not self.trials.is_left_out(self._trial(message), self._clock.mono()) and not self._try(message):
                return
            self._stale.pop(topic, None)

    def _is_too_large(self, message: Message) -> bool:
        assert self.connection is not None
        size = size_of(message)
        limit = self.trials.size_limit(self._clock.mono()) if message.topic in self._shrinking else None
        return size > self.connection.maximum_packet or (limit is not None and size > limit)

    def _reject(self, message: Message) -> None:
        self._stale.pop(message.topic, None)
        self._retained.pop(message.topic, None)
        self._rejected[message.topic] = message

    def farewell(self, will: Message) -> None:
        """Say the last will ourselves, and take nothing any more: a clean goodbye keeps the broker from sending it."""
        connection, self.connection = self.connection, None
        mid = connection.publish(connection.capabilities.granted(will)) if connection is not None else None
        if mid is not None:
            self._order += 1
            self.flights[mid] = Flight(will, None, self._order, self._clock.mono())


def size_of(message: Message) -> int:
    """Bytes of the whole packet, at most."""
    return len(message.payload) + len(message.topic) + _HEADER
