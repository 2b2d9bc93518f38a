"""One connection to a broker, from dialling to closing: the only place that knows paho.

A fresh paho client serves each connection. paho would otherwise keep unacknowledged messages
and send them again by itself after a reconnect, beside the outbox that does the same: two
ledgers for one debt. Here nothing outlives the connection, so whatever was not acknowledged is
unsent, and the outbox alone decides what is sent again.

paho's callbacks run under its locks, so they only note what happened; the owner takes the notes
after each `step`.

paho's own loop is not used, but its calls for a loop of one's own: `publish` then writes in the
caller's thread, which saves waking another one. All calls into paho are made under one lock, so
packets cannot interleave and a TLS socket never has two users; only the waiting is outside it.
What the socket does not take at once stays queued, and the loop is woken to write the rest.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from detector.core.errors import BrokerError
from detector.core.types import Message

from .capabilities import BrokerCapabilities
from .settings import MqttSettings, ProtocolName
from .tls import distrust, reason

_VERSIONS = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}
_HINTS = {
    "Bad user name or password": "check mqtt.username and mqtt.password",
    "Not authorized": "check mqtt.username, mqtt.password and the broker's access rules",
    "Client identifier not valid": "set mqtt.client_id to one that the broker allows",
    "Banned": "the broker has banned this client",
}
_PASSING = ("Server unavailable", "Server busy", "Quota exceeded", "Connection rate exceeded")
_WILL_REFUSED = ("Retain not supported", "QoS not supported")
_PATIENCE_S = 2.0
_LARGEST_PACKET = 268_435_455  # bytes: what MQTT's length field can say


class RefusedError(BrokerError):
    """The broker answered and said no: trying again soon will not help."""


class WillRefusedError(RefusedError):
    """The broker keeps no retained messages, or takes QoS 0 alone, and the last will asks for more."""


class VersionError(BrokerError):
    """The broker does not speak this version of MQTT, or went silent when addressed in it."""


@dataclass(frozen=True, slots=True)
class Ack:
    """What became of a packet: `error` is None when the broker (a message of QoS 0: the socket) took it."""

    mid: int
    error: str | None


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message received."""

    topic: str
    payload: bytes
    retained: bool


@lru_cache(maxsize=256)  # a device has few topics
def _may_be_published_to(topic: str) -> bool:
    return bool(topic) and topic[0] != "$" and not any(c in "+#" or ord(c) < 0x20 or ord(c) == 0x7F for c in topic)


def check_message(message: Message) -> None:
    """Refuse what no broker may take and paho would send; raises BrokerError."""
    topic = message.topic
    if not _may_be_published_to(topic):
        raise BrokerError(f"{topic!r} cannot be published to: wildcards, control characters and $ are not allowed")
    if len(topic.encode()) > 65_535 or len(message.payload) + len(topic) + 16 > _LARGEST_PACKET:
        raise BrokerError(f"the message on {topic[:64]!r} is larger than MQTT allows")


class _TidyClient(paho.Client):
    """Remembers its socket from the start: paho loses sight of it when TLS or WebSocket do not come about."""

    dialled: Any = None

    def _create_socket_connection(self) -> socket.socket:
        self.dialled = super()._create_socket_connection()
        made: socket.socket = self.dialled
        return made

    def _ssl_wrap_socket(self, tcp_sock: Any) -> ssl.SSLSocket:
        self.dialled = super()._ssl_wrap_socket(tcp_sock)
        made: ssl.SSLSocket = self.dialled
        return made


class BrokerConnection:
    """A paho client for one connection. Only `publish` may be called from another thread."""

    def __init__(
        self,
        *,
        settings: MqttSettings,
        protocol: ProtocolName,
        tls: ssl.SSLContext | None = None,
        will: Message | None = None,
    ) -> None:
        self.protocol: ProtocolName = protocol
        self.receive_maximum = 65_535
        self.maximum_packet = _LARGEST_PACKET
        self.capabilities = BrokerCapabilities()
        self.closed_because = ""
        self.local_address: str | None = None  # this end's IP address
        self._settings = settings
        self._answer: ReasonCode | None = None
        self._acks: deque[Ack] = deque()
        self._incoming: deque[Incoming] = deque()
        self._guard = threading.Lock()  # around every call into paho once it is connected
        self._bell, self._pull = socket.socketpair()  # ends the wait in `step`
        self._bell.setblocking(False)
        self._pull.setblocking(False)
        self._client = _TidyClient(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id,
            protocol=_VERSIONS[protocol],
            transport="tcp" if settings.websocket_path is None else "websockets",
            reconnect_on_failure=False,
        )
        if settings.websocket_path is not None:
            self._client.ws_set_options(path=settings.websocket_path)
        self._client.connect_timeout = settings.connect_timeout_s
        self._client.max_inflight_messages = 0  # the link keeps the window, paho must not queue
        if settings.username is not None:
            secret = settings.password.get_secret_value() if settings.password else None
            self._client.username_pw_set(settings.username, secret)
        if tls is not None:
            self._client.tls_set_context(tls)
        if will is not None:
            self._client.will_set(will.topic, will.payload, will.qos, will.retain)
        self._listen()

    def _listen(self) -> None:
        client = self._client
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        client.on_unsubscribe = self._on_unsubscribe
        client.on_socket_open = self._on_socket_open
        client.on_socket_register_write = self._on_register_write

    def open(self, *, answer_within: float) -> None:
        """Connect and get the broker's yes within seconds; raises RefusedError, VersionError, BrokerError."""
        try:
            self._dial()
            self._await_answer(answer_within)
        except BaseException:
            self.abandon()
            raise

    def _dial(self) -> None:
        where = self._settings.address
        try:
            self._client.connect(self._settings.host, self._settings.port, self._settings.keepalive_s)
            self.local_address = str(self._client.dialled.getsockname()[0])
        except ssl.SSLCertVerificationError as error:
            raise RefusedError(distrust(error, self._settings)) from None
        except ssl.SSLError as error:
            raise RefusedError(f"{where} does not complete TLS: {reason(error)}; is it a TLS port?") from None
        except socket.gaierror:
            raise BrokerError(f"cannot find the host of {where}: check mqtt.broker and the DNS") from None
        except (OSError, ValueError) as error:
            raise BrokerError(f"cannot reach {where}: {reason(error)}; check mqtt.broker and that it runs") from None

    def _await_answer(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._answer is None and self.step(0.1) and time.monotonic() < deadline:
            pass
        where = self._settings.address
        if self._answer is None:
            raise VersionError(f"{where} gave no answer to MQTT {self.protocol}: is it an MQTT broker?")
        if not self._answer.is_failure:
            return
        answer = self._answer.getName()
        if answer in ("Unsupported protocol version", "Malformed packet", "Protocol error"):
            raise VersionError(f"{where} does not speak MQTT {self.protocol}: {answer}")
        if answer in _PASSING:
            raise BrokerError(f"{where} takes no connection now: {answer.lower()}")
        if answer in _WILL_REFUSED:
            raise WillRefusedError(f"{where} refuses the connection: {answer.lower()}")
        hint = _HINTS.get(answer, "see the broker's log")
        raise RefusedError(f"{where} refuses the connection: {answer.lower()}; {hint}")

    def step(self, timeout: float) -> bool:
        """Serve the socket for at most `timeout` s; False once the connection is gone."""
        try:
            readable = self._wait(timeout)
            with self._guard:
                return self._turn(readable=readable)
        except Exception as error:  # a broker's malformed packet raises whatever paho stumbles over
            self.closed_because = f"the broker sent what is not MQTT: {reason(error)}"
            return False

    def _wait(self, seconds: float) -> bool:
        """Until something is to be done, or `seconds` have passed: whether there is something to read."""
        with self._guard:
            sock: Any = self._client.socket()
            if sock is None:
                return False
            if (pending := getattr(sock, "pending", None)) is not None and pending():  # TLS: read, but not taken
                return True
            poll, fd = select.poll(), sock.fileno()  # select would fail from file 1024 on
            poll.register(fd, select.POLLIN | (select.POLLOUT if self._client.want_write() else 0))
        poll.register(self._bell, select.POLLIN)
        ready = dict(poll.poll(seconds * 1e3))
        if self._bell.fileno() in ready:
            self._bell.recv(4096)
        return bool(ready.get(fd, 0) & ~select.POLLOUT)  # an error is found by reading, too

    def _turn(self, *, readable: bool) -> bool:
        client, rc = self._client, MQTTErrorCode.MQTT_ERR_SUCCESS
        if readable:
            rc = client.loop_read()
        if rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
            rc = client.loop_misc()
        if rc == MQTTErrorCode.MQTT_ERR_SUCCESS and client.want_write():
            rc = client.loop_write()
        return rc == MQTTErrorCode.MQTT_ERR_SUCCESS and client.socket() is not None

    def publish(self, message: Message) -> int | None:
        """Write `message`, which the broker can take (`capabilities`), or queue what the socket does not take: its id for the `Ack` to come, None if not taken.

        Never waits for the socket. A connection that is found lost is noticed by the next `step`, at once.
        """
        with self._guard:
            info = self._client.publish(message.topic, message.payload, message.qos, message.retain)
            if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return None
            self._client.loop_write()
            settled = not self._acks and not self._client.want_write() and self._client.socket() is not None
        if not settled:
            self._ring()
        return info.mid

    def subscribe(self, filters: Sequence[str]) -> int | None:
        """In the loop's own thread: the id for the `Ack` to come, None if not taken."""
        with self._guard:
            rc, mid = self._client.subscribe([(one, 1) for one in filters])
        return mid if rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def ask(self, topic: str | None = None) -> int | None:
        """Send something that any broker answers: an UNSUBSCRIBE of `topic`, or of what never was subscribed.

        Returns the id for the `Ack` to come, None if not taken.
        """
        with self._guard:
            rc, mid = self._client.unsubscribe(topic or f"{self._settings.client_id}/nothing")
            self._client.loop_write()
        self._ring()
        return mid if rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full of rings that were not heard yet
            self._pull.send(b"!")

    def take_acks(self) -> list[Ack]:
        return [self._acks.popleft() for _ in range(len(self._acks))]

    def take_incoming(self) -> list[Incoming]:
        return [self._incoming.popleft() for _ in range(len(self._incoming))]

    def close(self, within_s: float) -> None:
        """Say goodbye, so that the last will is not sent; in so many seconds at the latest."""
        deadline = time.monotonic() + within_s
        self.closed_because = "closed at our end"
        with self._guard:
            self._client.disconnect()
        while self.step(0.05) and time.monotonic() < deadline:
            pass
        self.abandon()

    def abandon(self) -> None:
        """Drop the connection as it is."""
        for sock in (self._client.socket(), self._client.dialled):
            if sock is not None:
                sock.close()
        self._bell.close()
        self._pull.close()
        # The client refers to this object through its callbacks; without them it dies here
        # instead of waiting for the garbage collector.
        for name in ("connect", "disconnect", "publish", "message", "subscribe", "unsubscribe", "socket_open"):
            setattr(self._client, f"on_{name}", None)
        self._client.on_socket_register_write = None

    def _on_connect(
        self, _c: object, _u: object, _f: object, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self._answer = reason
        if reason.is_failure:
            return
        self.receive_maximum = int(getattr(properties, "ReceiveMaximum", self.receive_maximum))
        self.maximum_packet = int(getattr(properties, "MaximumPacketSize", self.maximum_packet))
        self.capabilities = BrokerCapabilities.told(properties)

    def _on_disconnect(self, _c: object, _u: object, flags: Any, reason: ReasonCode, _p: object) -> None:
        if self.closed_because:
            return
        says = f"the broker ended the connection: {reason.getName().lower()}"
        self.closed_because = says if flags.is_disconnect_packet_from_server else "the connection was lost"

    def _on_publish(self, _c: object, _u: object, mid: int, reason: ReasonCode, _p: object) -> None:
        self._acks.append(Ack(mid, reason.getName().lower() if reason.is_failure else None))

    def _on_message(self, _c: object, _u: object, message: paho.MQTTMessage) -> None:
        self._incoming.append(Incoming(message.topic, bytes(message.payload), bool(message.retain)))

    def _on_subscribe(self, _c: object, _u: object, mid: int, reasons: list[ReasonCode], _p: object) -> None:
        refused = [r.getName().lower() for r in reasons if r.is_failure]
        error = f"the broker refuses a subscription, commands will not arrive: {refused[0]}" if refused else None
        self._acks.append(Ack(mid, error))

    def _on_unsubscribe(self, _c: object, _u: object, mid: int, _reasons: object, _p: object) -> None:
        self._acks.append(Ack(mid, None))

    @staticmethod
    def _on_socket_open(_c: object, _u: object, sock: Any) -> None:
        # Nagle's algorithm against delayed acknowledgements costs 30 to 70 ms a message.
        with socket.socket(fileno=os.dup(sock.fileno())) as same:  # a WebSocket's wrapper knows no options
            same.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @staticmethod
    def _on_register_write(_c: object, _u: object, _sock: object) -> None:
        """Present so that paho leaves writing to `publish` and `step`."""


def dial(
    settings: MqttSettings,
    *,
    protocols: Sequence[ProtocolName],
    tls: ssl.SSLContext | None = None,
    will: Message | None = None,
) -> BrokerConnection:
    """An open connection in the first of `protocols` that the broker takes; raises BrokerError."""
    error: VersionError | None = None
    for protocol in protocols:
        # A 3.1.1 broker may misread an MQTT 5 greeting and wait for more of it: do not wait with it.
        patience = (
            min(_PATIENCE_S, settings.connect_timeout_s) if protocol != protocols[-1] else settings.connect_timeout_s
        )
        try:
            return _opened(settings, protocol, tls, will, patience)
        except VersionError as no:
            error = no
    raise error or BrokerError("no MQTT version to try")


def _opened(
    settings: MqttSettings, protocol: ProtocolName, tls: ssl.SSLContext | None, will: Message | None, patience: float
) -> BrokerConnection:
    """An open connection; a will that the broker cannot keep is given without what it refuses."""
    connection = BrokerConnection(settings=settings, protocol=protocol, tls=tls, will=will)
    try:
        connection.open(answer_within=patience)
    except WillRefusedError as no:
        plainer = replace(will, retain=False) if will is not None and "retain" in str(no) else will
        plainer = replace(will, qos=0) if will is not None and "qos" in str(no) else plainer
        if plainer == will:
            raise
        return _opened(settings, protocol, tls, plainer, patience)
    return connection
