"""The link to the broker: connects, reconnects, restores the retained state, publishes.

Nothing waits here: `publish` takes a message only when it can go out now, so memory stays bounded
through any outage and the outbox is the one queue. Retained messages are the exception: of each
topic the last value is kept and goes out on every connect, so a broker that lost its retained
messages gets them back.

What goes out when is `outgoing`'s: alerts and events first, what is not needed last.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from detector.core.backoff import Backoff
from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.errors import BrokerError
from detector.core.redact import redact
from detector.core.types import Message

from .broker.topic_filter import matches
from .connection import Ack, BrokerConnection, Incoming, RefusedError, VersionError, check_message, dial
from .outgoing import AckCallback, Outgoing
from .settings import MqttSettings, ProtocolName, settings_of
from .tls import tls_context

__all__ = ["AckCallback", "ClientStatus", "MqttClient", "MqttSettings", "probe", "settings_of"]

log = logging.getLogger(__name__)

MessageHandler = Callable[[str, bytes], None]
ClientState = Literal["connecting", "connected", "refused", "offline"]
ONLINE = b"online"
DIAL_S = 20.0  # a look-up of the name, and two time-outs of the connection
WINDOW = 20  # unacknowledged QoS 1 messages
_STEP_S = 0.2  # how long a stop may go unnoticed; messages do not wait for it
_MAX_DELAY_S = 30.0
_STABLE_S = 5.0  # a connection that lasted this long starts the back-off again


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientStatus:
    """`since_mono`: when `state` began; `error`: the last trouble, also while connected; `connects`: so far.

    `unacknowledged` messages wait for the broker's word, the oldest for `unacknowledged_s`: None while none does.
    `local_address`: this machine's IP address in the connection. `left_out`: one line on each thing that the broker
    ended the connection at, or said that it cannot do.
    """

    state: ClientState
    address: str
    protocol: ProtocolName | None
    error: str | None
    since_mono: float
    connects: int
    unacknowledged: int
    unacknowledged_s: float | None = None
    local_address: str | None = None
    left_out: tuple[str, ...] = ()


def probe(settings: MqttSettings, *, timeout: float = 5.0) -> None:
    """Connect once and leave again; raises BrokerError or ConfigError that says what is wrong."""
    # Another name: a broker would throw out a running service of the same one.
    settings = replace(settings, client_id=f"{settings.client_id}-check", connect_timeout_s=timeout)
    connection = dial(settings, protocols=settings.protocols, tls=tls_context(settings))
    connection.close(1.0)


class MqttClient:
    """`run` in one thread, the rest from any. `will` is what the broker says when this end dies.

    Raises ConfigError for unusable TLS files.
    """

    def __init__(
        self,
        *,
        settings: MqttSettings,
        will: Message,
        clock: Clock = SYSTEM_CLOCK,
        window: int = WINDOW,
        max_delay_s: float = _MAX_DELAY_S,
        flush_s: float = 2.0,
    ) -> None:
        check_message(will)
        if not will.retain or window < 1 or max_delay_s <= 0:
            raise ValueError("the will must be retained, the window at least 1, the delay above 0")
        self._settings, self._clock, self._will = settings, clock, will
        self._tls = tls_context(settings)
        self._handlers: dict[str, MessageHandler] = {}
        self._retained_handlers: dict[str, MessageHandler] = {}
        self._listeners: list[Callable[[], None]] = []
        self._on_cleared: list[Callable[[str], None]] = []
        self._on_connected: list[Callable[[], None]] = []
        self._flush_s = flush_s
        self._backoff = Backoff(base=min(0.5, max_delay_s), cap=max_delay_s)
        self._protocols = settings.protocols
        # Held around calls into paho, never the other way round: its callbacks take no lock of ours.
        self._lock = threading.Lock()
        self._out = Outgoing(clock=clock, window=window)
        self._error: str | None = None
        self._state: ClientState = "connecting"
        self._since = clock.mono()
        self._progress_mono = clock.mono()
        self._dialling_since: float | None = None

    def subscribe(self, topic_filter: str, handler: MessageHandler) -> None:
        """Have `handler(topic, payload)` called, in the loop's thread, for what comes; before `run`.

        Retained messages are ignored: a command is for now, not for a connection in a year.
        """
        self._handlers[topic_filter] = handler

    def subscribe_retained(self, topic_filter: str, handler: MessageHandler) -> None:
        """Have `handler` called for the retained messages of a filter that is subscribed to; before `run`."""
        self._retained_handlers[topic_filter] = handler

    def listen(self, callback: Callable[[], None], is_behind: Callable[[int], bool] | None = None) -> None:
        """Have `callback` called, in the loop's thread, whenever `publish` may take messages again.

        States and all that is not needed wait while `is_behind(session)`: it must not call back here, nor wait.
        """
        self._listeners.append(callback)
        if is_behind is not None:
            self._out.is_behind = is_behind

    def listen_cleared(self, callback: Callable[[str], None]) -> None:
        """Have `callback(topic)` called, in the loop's thread, when the broker has cleared a retained topic."""
        self._on_cleared.append(callback)

    def listen_connected(self, callback: Callable[[], None]) -> None:
        """Have `callback` called, in the loop's thread, on each connect."""
        self._on_connected.append(callback)

    def status(self) -> ClientStatus:
        with self._lock:
            now = self._clock.mono()
            out = self._out
            waiting = [flight.since_mono for flight in out.flights.values() if flight.message.qos > 0]
            return ClientStatus(
                state=self._state,
                address=self._settings.address,
                protocol=out.connection.protocol if out.connection else None,
                error=self._error,
                since_mono=self._since,
                connects=out.sessions,
                unacknowledged=len(waiting),
                unacknowledged_s=now - min(waiting) if waiting else None,
                local_address=out.connection.local_address if out.connection else None,
                left_out=(*out.trials.left_out(now), *(out.connection.capabilities.notes() if out.connection else ())),
            )

    def session(self) -> int | None:
        """Which connection stands, counted from 1; None while there is none."""
        with self._lock:
            return self._out.sessions if self._out.connection is not None else None

    def size_limit(self) -> int | None:
        """How many bytes of payload the broker is known to take at most; None while that is unknown."""
        with self._lock:
            return self._out.size_limit()

    def take_rejected(self) -> list[Message]:
        """Retained messages that were too large for the broker since the last call: their topics wait for smaller ones."""
        with self._lock:
            return self._out.take_rejected()

    def publish(self, message: Message, on_ack: AckCallback | None = None) -> bool:
        """Hand over a message that must arrive; False: not now (no connection, or the window is full).

        Taken means `on_ack` will be called, once, in the loop's thread; without it this is `offer`. Raises BrokerError
        for a message that can never be sent, ValueError for a retained one with `on_ack`: only its last value counts.
        """
        if on_ack is None:
            return self.offer(message)
        check_message(message)
        if message.retain:
            raise ValueError("a retained message has no single acknowledgement")
        with self._lock:
            return self._out.send(message, on_ack)

    def offer(self, message: Message, *, hint: str | None = None, shrinks: bool = False) -> bool:
        """Hand over a state, or what is good for the moment only; False: not now, or left out.

        A retained message is always taken: the last value of its topic goes out as soon as it can. With `hint` (what
        to do where the broker forbids it) it is one that is not needed and goes last; one that `shrinks` comes back
        by `take_rejected` where the broker finds it too large. Raises BrokerError for one that can never be sent.
        """
        check_message(message)
        with self._lock:
            return self._out.offer(message, hint=hint, shrinks=shrinks)

    def restate(self) -> None:
        """Send all retained messages again, as after a connect."""
        with self._lock:
            self._out.restate()

    def flush(self) -> None:
        """Send what waited for alerts and events, if it may go now."""
        with self._lock:
            self._out.flush()

    @property
    def progress_mono(self) -> float:
        """When the loop last turned, monotonic s; a dial counts as a turn for as long as it may take, DIAL_S."""
        since = self._dialling_since
        return self._progress_mono if since is None else min(self._clock.mono(), since + DIAL_S)

    def run(self, stop: threading.Event) -> None:
        """Keep the link up until `stop`, then say `offline` and leave. A dial in progress ends first."""
        while not stop.is_set():
            self._progress_mono = self._clock.mono()
            refused = False
            try:
                connection = self._dial()
            except BrokerError as error:
                self._failed(error)
                refused = isinstance(error, RefusedError)
            else:
                began = self._clock.mono()
                self._serve(connection, stop)
                if self._clock.mono() - began >= _STABLE_S:
                    self._backoff.reset()
            self._pause(self._backoff.long() if refused else self._backoff.next(), stop)
        self._set_state("offline", None)

    def _pause(self, seconds: float, stop: threading.Event) -> None:
        until = self._clock.mono() + seconds
        while (left := until - self._clock.mono()) > 0 and not stop.wait(min(left, 1.0)):
            self._progress_mono = self._clock.mono()

    def _dial(self) -> BrokerConnection:
        self._dialling_since = self._clock.mono()
        try:
            connection = dial(self._settings, protocols=self._protocols, tls=self._tls, will=self._will)
        except VersionError:
            self._protocols = self._settings.protocols
            raise
        finally:
            self._progress_mono, self._dialling_since = self._clock.mono(), None
        self._protocols = (connection.protocol,)  # no detour over the other version next time
        return connection

    def _failed(self, error: BrokerError) -> None:
        text = redact(str(error))
        level = logging.DEBUG if text == self._error else logging.WARNING
        log.log(level, "MQTT: %s", text)
        with self._lock:
            self._out.trials.forgive()
        self._set_state("refused" if isinstance(error, RefusedError) else "offline", text)

    def _set_state(self, state: ClientState, error: str | None) -> None:
        with self._lock:
            if state != self._state:
                self._state, self._since = state, self._clock.mono()
            self._error = error

    # One connection

    def _serve(self, connection: BrokerConnection, stop: threading.Event) -> None:
        try:
            self._attach(connection)
            alive = True
            while alive and not stop.is_set():
                self._progress_mono = self._clock.mono()
                alive = connection.step(_STEP_S)
                self._settle(connection)
            if alive:
                self._farewell(connection)
        finally:
            self._detach(connection, wanted=stop.is_set())

    def _attach(self, connection: BrokerConnection) -> None:
        with self._lock:
            self._state, self._since, self._error = "connected", self._clock.mono(), None
            self._out.attach(connection, alive=replace(self._will, payload=ONLINE), filters=self._handlers)
        log.info("MQTT: connected to %s, MQTT %s", self._settings.address, connection.protocol)
        for note in connection.capabilities.notes():
            log.log(logging.WARNING if self._out.sessions == 1 else logging.DEBUG, "MQTT: %s", note)
        for callback in self._on_connected:
            self._call(callback)
        self._notify()
        self.flush()

    def _detach(self, connection: BrokerConnection, *, wanted: bool) -> None:
        with self._lock:
            flights, guilty = self._out.detach(wanted=wanted)
        connection.abandon()
        reason = connection.closed_because or "the connection was closed"
        for flight in flights:
            if flight.on_ack is not None:
                self._call(flight.on_ack, reason)
        log.info("MQTT: %s: %s", self._settings.address, reason)
        if guilty is not None:
            log.warning("MQTT: %s", guilty.verdict())
        self._set_state("offline", reason)

    def _settle(self, connection: BrokerConnection) -> None:
        """Act on what the last step brought: acknowledgements, then messages."""
        arrived = connection.take_incoming()
        with self._lock:
            for incoming in arrived:
                if incoming.retained:
                    self._out.take_echo(incoming)
        acks = connection.take_acks()
        for ack in acks:
            self._take_ack(ack)
        with self._lock:
            self._out.trials.pass_time(self._clock.mono())
            self._out.flush()
        if acks:
            self._notify()
        for incoming in arrived:
            self._hand_over(incoming)

    def _hand_over(self, incoming: Incoming) -> None:
        handlers = self._retained_handlers if incoming.retained else self._handlers
        for topic_filter, handler in handlers.items():
            if matches(topic_filter, incoming.topic):
                self._call(handler, incoming.topic, incoming.payload)

    def _take_ack(self, ack: Ack) -> None:
        if ack.error is not None:
            self._note_refusal(ack.mid, ack.error)
        with self._lock:
            flight, cleared = self._out.take_ack(ack)
        if flight is not None and flight.on_ack is not None:
            self._call(flight.on_ack, ack.error)
        if cleared is not None:
            for callback in self._on_cleared:
                self._call(callback, cleared)

    def _note_refusal(self, mid: int, error: str) -> None:
        with self._lock:
            flight = self._out.flights.get(mid)
            text = f"the broker refuses {flight.message.topic}: {error}" if flight else error
            known, self._error = self._error == text, text
        log.log(logging.DEBUG if known else logging.WARNING, "MQTT: %s", text)

    def _notify(self) -> None:
        for listener in self._listeners:
            self._call(listener)

    @staticmethod
    def _call(callback: Callable[..., None], *args: object) -> None:
        """A listener's fault must not cost the connection."""
        try:
            callback(*args)
        except Exception:
            log.exception("MQTT: a listener failed")

    def _farewell(self, connection: BrokerConnection) -> None:
        with self._lock:
            self._out.farewell(self._will)
        deadline = self._clock.mono() + self._flush_s
        while self._out.flights and self._clock.mono() < deadline and connection.step(0.05):
            self._settle(connection)
        connection.close(0.5)
