"""The link to the broker: connects, reconnects, restores the retained state, publishes.

Nothing waits here: `publish` takes a message only when it can go out now, so memory stays bounded
through any outage and the outbox is the one queue. Retained messages are the exception: of each
topic the last value is kept and goes out on every connect, so a broker that lost its retained
messages gets them back.
"""

from __future__ import annotations

import logging
import random
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urlsplit

from pydantic import SecretStr

from detector.config.schema import Config
from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.errors import BrokerError
from detector.core.redact import redact
from detector.core.types import Message

from .broker.topic_filter import matches
from .connection import (
    BrokerConnection,
    MqttSettings,
    ProtocolName,
    RefusedError,
    VersionError,
    check_message,
    dial,
    tls_context,
)

__all__ = ["AckCallback", "ClientStatus", "MqttClient", "MqttSettings", "probe", "settings_of"]

log = logging.getLogger(__name__)

AckCallback = Callable[[str | None], None]
"""Called once for each message taken: None when the broker acknowledged it, else why it did not."""
MessageHandler = Callable[[str, bytes], None]
ClientState = Literal["connecting", "connected", "refused", "offline"]
ONLINE = b"online"
WINDOW = 20  # unacknowledged QoS 1 messages
_MAX_BYTES = 8 * 1024 * 1024  # taken and not yet written or acknowledged
_STEP_S = 0.2  # how long a stop may go unnoticed; messages do not wait for it
_FIRST_DELAY_S, _MAX_DELAY_S = 0.5, 30.0
_STABLE_S = 5.0  # a connection that lasted this long starts the back-off anew


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientStatus:
    """`since_mono`: when `state` began; `error`: the last trouble, also while connected; `connects`: so far."""

    state: ClientState
    address: str
    protocol: ProtocolName | None
    error: str | None
    since_mono: float
    connects: int
    unacknowledged: int


@dataclass(frozen=True, slots=True)
class _Unacknowledged:
    message: Message
    on_ack: AckCallback | None

    @property
    def size(self) -> int:
        return len(self.message.payload) + len(self.message.topic)


def settings_of(config: Config, *, password: SecretStr | None, embedded_port: int | None = None) -> MqttSettings:
    """How to reach the configured broker; `embedded_port` is where the embedded one listens."""
    mqtt = config.mqtt
    common = MqttSettings(
        host=mqtt.embedded.host,
        port=mqtt.embedded.port if embedded_port is None else embedded_port,
        client_id=mqtt.client_id or f"detector-{config.device.id}",
        username=mqtt.username,
        password=password,
        keepalive_s=mqtt.keepalive_s,
        protocol="3.1.1",
    )
    if mqtt.broker == "embedded":
        any_address = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - to be reached, not bound
        # Whoever else may connect and names our client id ends our session: be unguessable.
        client_id = mqtt.client_id or f"{common.client_id}-{secrets.token_hex(4)}"
        return replace(common, host=any_address.get(common.host, common.host), client_id=client_id)
    url = urlsplit(mqtt.broker)
    tls = url.scheme == "mqtts"
    return replace(
        common,
        host=url.hostname or "",
        port=url.port or (8883 if tls else 1883),
        protocol="auto",
        tls=tls,
        ca_file=mqtt.ca_file,
        cert_file=mqtt.cert_file,
        key_file=mqtt.key_file,
    )


def probe(settings: MqttSettings, *, timeout: float = 5.0) -> None:
    """Connect once and leave again; raises BrokerError or ConfigError that says what is wrong."""
    # Another name: a broker would throw out a running service of the same one.
    settings = replace(settings, client_id=f"{settings.client_id}-check", connect_timeout_s=timeout)
    connection = dial(settings, protocols=settings.protocols, tls=tls_context(settings))
    connection.close(SYSTEM_CLOCK.mono() + 1.0)


class MqttClient:
    """`run` in one thread, the rest from any. `will` is what the broker says when this end dies.

    `on_connect` is called on each connect, in the loop's thread. Raises ConfigError for unusable TLS files.
    """

    def __init__(
        self,
        *,
        settings: MqttSettings,
        will: Message,
        on_connect: Callable[[], None] = lambda: None,
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
        self._on_connect = on_connect
        self._handlers: dict[str, MessageHandler] = {}
        self._listeners: list[Callable[[], None]] = []
        self._max_window, self._max_delay_s, self._flush_s = window, max_delay_s, flush_s
        self._protocols = settings.protocols
        # Held around calls into paho, never the other way round: its callbacks take no lock of ours.
        self._lock = threading.Lock()
        self._connection: BrokerConnection | None = None
        self._window = window
        self._flights: dict[int, _Unacknowledged] = {}
        self._retained: dict[str, Message] = {}
        self._stale: dict[str, None] = {}  # retained topics whose last value is not sent yet, in order
        self._error: str | None = None
        self._state: ClientState = "connecting"
        self._since = clock.mono()
        self._connects = 0

    def subscribe(self, topic_filter: str, handler: MessageHandler) -> None:
        """Have `handler(topic, payload)` called, in the loop's thread, for what comes; before `run`.

        Retained messages are ignored: a command is for now, not for a connection in a year.
        """
        self._handlers[topic_filter] = handler

    def listen(self, callback: Callable[[], None]) -> None:
        """Have `callback` called, in the loop's thread, whenever `publish` may take messages again."""
        self._listeners.append(callback)

    def status(self) -> ClientStatus:
        with self._lock:
            return ClientStatus(
                state=self._state,
                address=self._settings.address,
                protocol=self._connection.protocol if self._connection else None,
                error=self._error,
                since_mono=self._since,
                connects=self._connects,
                unacknowledged=sum(f.message.qos > 0 for f in self._flights.values()),
            )

    def session(self) -> int | None:
        """Which connection stands, counted from 1; None while there is none."""
        with self._lock:
            return self._connects if self._connection is not None else None

    def publish(self, message: Message, on_ack: AckCallback | None = None) -> bool:
        """Hand over `message`; False: not now (no connection, or the window is full).

        Taken means `on_ack` will be called, once, in the loop's thread. A retained message is always
        taken: the last value of its topic goes out as soon as it can, so it has no `on_ack`.
        Raises BrokerError for a message that can never be sent, ValueError for `on_ack` with `retain`.
        """
        check_message(message)
        if message.retain and on_ack is not None:
            raise ValueError("a retained message has no single acknowledgement")
        with self._lock:
            if not message.retain:
                return self._send(message, on_ack)
            self._retained[message.topic] = message
            self._stale[message.topic] = None
            self._flush_retained()
            return True

    def restate(self) -> None:
        """Send all retained messages again, as after a connect."""
        with self._lock:
            self._stale = dict.fromkeys(self._retained)
            self._flush_retained()

    def run(self, stop: threading.Event) -> None:
        """Keep the link up until `stop`, then say `offline` and leave. A dial in progress ends first."""
        attempt = 0
        while not stop.is_set():
            try:
                connection = self._dial()
            except BrokerError as error:
                self._failed(error)
                slow = isinstance(error, RefusedError)
            else:
                began, slow = self._clock.mono(), False
                self._serve(connection, stop)
                attempt = 0 if self._clock.mono() - began >= _STABLE_S else attempt
            stop.wait(self._delay(attempt, slow=slow))
            attempt += 1
        self._set_state("offline", None)

    def _delay(self, attempt: int, *, slow: bool) -> float:
        # Full jitter: after a broker's restart its clients must not all come at once.
        bound = self._max_delay_s if slow else min(self._max_delay_s, _FIRST_DELAY_S * 2.0 ** min(attempt, 10))
        return random.uniform(bound / 2 if slow else 0.0, bound)  # noqa: S311 - no secret

    def _dial(self) -> BrokerConnection:
        try:
            connection = dial(self._settings, protocols=self._protocols, tls=self._tls, will=self._will)
        except VersionError:
            self._protocols = self._settings.protocols
            raise
        self._protocols = (connection.protocol,)  # no detour over the other version next time
        return connection

    def _failed(self, error: BrokerError) -> None:
        text = redact(str(error))
        level = logging.DEBUG if text == self._error else logging.WARNING
        log.log(level, "MQTT: %s", text)
        self._set_state("refused" if isinstance(error, RefusedError) else "offline", text)

    def _set_state(self, state: ClientState, error: str | None) -> None:
        with self._lock:
            if state != self._state:
                self._state, self._since = state, self._clock.mono()
            self._error = error

    def _serve(self, connection: BrokerConnection, stop: threading.Event) -> None:
        try:
            self._attach(connection)
            alive = True
            while alive and not stop.is_set():
                alive = connection.step(_STEP_S)
                self._settle(connection)
            if alive:
                self._farewell(connection)
        finally:
            self._detach(connection)

    def _attach(self, connection: BrokerConnection) -> None:
        connection.subscribe(tuple(self._handlers))
        with self._lock:
            self._connection = connection
            self._window = min(self._max_window, connection.receive_maximum)
            self._connects += 1
            self._state, self._since, self._error = "connected", self._clock.mono(), None
            # "online" goes last: who trusts it finds the states behind it already true.
            self._retained.pop(self._will.topic, None)
            self._retained[self._will.topic] = replace(self._will, payload=ONLINE)
            self._stale = dict.fromkeys(self._retained)
            self._flush_retained()
        log.info("MQTT: connected to %s, MQTT %s", self._settings.address, connection.protocol)
        self._call(self._on_connect)
        self._notify()

    def _detach(self, connection: BrokerConnection) -> None:
        with self._lock:
            self._connection = None
            flights, self._flights = list(self._flights.values()), {}
        connection.abandon()
        reason = connection.closed_because or "the connection was closed"
        for flight in flights:
            if flight.on_ack is not None:
                self._call(flight.on_ack, reason)
        log.info("MQTT: %s: %s", self._settings.address, reason)
        self._set_state("offline", reason)

    def _settle(self, connection: BrokerConnection) -> None:
        """Act on what the last step brought: acknowledgements, then commands."""
        acks = connection.take_acks()
        for ack in acks:
            if ack.error is not None:
                self._note_refusal(ack.mid, ack.error)
            with self._lock:
                flight = self._flights.pop(ack.mid, None)
                if flight is not None:
                    self._forget_cleared(flight.message)
            if flight is not None and flight.on_ack is not None:
                self._call(flight.on_ack, ack.error)
        if acks:
            with self._lock:
                self._flush_retained()
            self._notify()
        for incoming in connection.take_incoming():
            if incoming.retained:
                continue
            for topic_filter, handler in self._handlers.items():
                if matches(topic_filter, incoming.topic):
                    self._call(handler, incoming.topic, incoming.payload)

    def _note_refusal(self, mid: int, error: str) -> None:
        with self._lock:
            flight = self._flights.get(mid)
            text = f"the broker refuses {flight.message.topic}: {error}" if flight else error
            known, self._error = self._error == text, text
        log.log(logging.DEBUG if known else logging.WARNING, "MQTT: %s", text)

    def _forget_cleared(self, message: Message) -> None:
        """An empty retained message has cleared its topic: nothing is left to restore."""
        if message.retain and not message.payload and self._retained.get(message.topic) is message:
            del self._retained[message.topic]

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

    def _send(self, message: Message, on_ack: AckCallback | None) -> bool:
        connection = self._connection
        if connection is None or not self._has_room(message):
            return False
        if len(message.payload) + len(message.topic) + 16 > connection.maximum_packet:
            raise BrokerError(f"the message on {message.topic} is larger than the broker takes")
        mid = connection.publish(message)
        if mid is None:
            return False
        self._flights[mid] = _Unacknowledged(message, on_ack)
        return True

    def _has_room(self, message: Message) -> bool:
        flights = self._flights.values()
        unacknowledged = sum(f.message.qos > 0 for f in flights)
        size = len(message.payload) + sum(f.size for f in flights)
        return (message.qos == 0 or unacknowledged < self._window) and (not self._flights or size < _MAX_BYTES)

    def _flush_retained(self) -> None:
        for topic in list(self._stale):
            try:
                if not self._send(self._retained[topic], None):
                    return
            except BrokerError as error:
                log.warning("MQTT: %s", error)
            del self._stale[topic]

    def _farewell(self, connection: BrokerConnection) -> None:
        """Say `offline` ourselves: a clean goodbye keeps the broker from sending the will."""
        with self._lock:
            self._connection = None  # nothing new from here on
            mid = connection.publish(self._will)
            if mid is not None:
                self._flights[mid] = _Unacknowledged(self._will, None)
        deadline = self._clock.mono() + self._flush_s
        while self._flights and self._clock.mono() < deadline and connection.step(0.05):
            self._settle(connection)
        connection.close(self._clock.mono() + 0.5)
