"""One client's connection: reads its packets and acts on them, within the limits that keep others unharmed."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections.abc import Callable
from typing import Any, cast

from detector.core.peers import peer_key
from detector.core.types import Message

from . import packets
from .packets import Answer, LevelError, MalformedError, MqttPacket, PacketKind
from .router import Router
from .session import BrokerSession

log = logging.getLogger(__name__)

Admit = Callable[[str | None, bytes | None], bool]

_GREETING_S = 5.0  # from the connection to the end of its CONNECT
_GRACE = 1.5  # of the keep-alive, section 3.1.2.10
_MAX_GREETING = 128 * 1024  # bytes: a will may have 64 KiB
_MAX_PACKET = 32 * 1024 * 1024
_CLOGGED = 16 * 1024 * 1024  # bytes that wait for the client's socket: the retained pictures of many cameras


class Client(asyncio.Protocol):
    """`admit` judges user name and password, `has_room(client, client_id)` whether one more client may stay.

    `came` is called when the connection stands, `gone` when it has ended.
    """

    def __init__(
        self,
        *,
        router: Router,
        admit: Admit,
        has_room: Callable[[Client, str], bool],
        came: Callable[[Client], None],
        gone: Callable[[Client], None],
    ) -> None:
        self.clogged = False
        self.peer = ""
        self._router, self._admit, self._has_room, self._came, self._gone = router, admit, has_room, came, gone
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._buffer = bytearray()
        self._session: BrokerSession | None = None
        self._will: Message | None = None
        self._patience_s = _GREETING_S
        self._heard = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.peer = peer_key(str((transport.get_extra_info("peername") or ("",))[0]))
        self._came(self)
        sock: Any = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._transport.set_write_buffer_limits(high=_CLOGGED)
        self._watch()

    def connection_lost(self, _error: Exception | None) -> None:
        self._publish_will()
        if self._timer is not None:
            self._timer.cancel()
        if self._session is not None:
            self._router.close(self._session, self)
        self._gone(self)

    def pause_writing(self) -> None:
        self.clogged = True

    def resume_writing(self) -> None:
        self.clogged = False
        if self._session is not None:
            self._session.pump()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            self._read()
        except LevelError as error:
            self.write(error.answer)
            self.close()
        except MalformedError as error:
            self._end(str(error))
        except Exception:  # a fault of ours must not take the other clients along
            log.exception("the embedded broker stumbled over a client")
            self._end("a fault of the broker")

    def write(self, data: bytes) -> None:
        if self._is_open():
            self._transport.write(data)

    def evict(self, why: str) -> None:
        """End the connection; its will is said first, so that it cannot contradict who comes next."""
        self._publish_will()
        self._end(why)

    def close(self) -> None:
        """End the connection once what was written is out, without a will."""
        self._will = None
        if self._timer is not None:
            self._timer.cancel()
        if self._is_open():
            self._timer = self._loop.call_later(_GREETING_S, self.abort)  # it may never read that
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def _end(self, why: str) -> None:
        log.debug("the embedded broker ends a connection: %s", why)
        self._buffer.clear()
        self.abort()

    def _publish_will(self) -> None:
        will, self._will = self._will, None
        if will is not None:
            self._router.publish(will)

    def _watch(self) -> None:
        """Look again when the client may have been silent for too long."""
        left = self._heard + self._patience_s - self._loop.time()
        if left <= 0:
            self._end("it was silent for too long")
            return
        self._timer = self._loop.call_later(left, self._watch)

    def _read(self) -> None:
        limit = _MAX_GREETING if self._session is None else _MAX_PACKET
        while self._is_open() and (packet := packets.cut(self._buffer, limit)) is not None:
            if self._session is None:
                self._greet(packet)
                limit = _MAX_PACKET
            else:
                self._heard = self._loop.time()
                self._act(packet, self._session)

    def _is_open(self) -> bool:
        return not self._transport.is_closing()

    def _greet(self, packet: MqttPacket) -> None:
        if packet.kind is not PacketKind.CONNECT:
            raise MalformedError("the first packet is not CONNECT")
        connect = packets.connect_of(packet)
        if not connect.client_id and not connect.clean:
            self._refuse(Answer.CLIENT_ID)
        elif not self._admit(connect.username, connect.password):
            self._refuse(Answer.CREDENTIALS)
        elif not self._has_room(self, connect.client_id):
            self._refuse(Answer.BUSY)
        else:
            client_id = connect.client_id or f"auto-{secrets.token_hex(8)}"
            self._session, present = self._router.open(client_id, clean=connect.clean)
            self._will = connect.will
            self._keep_alive(connect.keepalive_s)
            self.write(packets.connack(Answer.ACCEPTED, session_present=present))
            self._session.attach(self)

    def _refuse(self, answer: Answer) -> None:
        self.write(packets.connack(answer))
        self.close()

    def _keep_alive(self, seconds: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._patience_s, self._heard = seconds * _GRACE, self._loop.time()
        if seconds:
            self._watch()

    def _act(self, packet: MqttPacket, session: BrokerSession) -> None:
        if packet.kind is PacketKind.PUBLISH:
            self._take(packet, session)
        elif packet.kind is PacketKind.PUBACK:
            session.acknowledged(packets.mid_of(packet))
        elif packet.kind is PacketKind.PUBREL:
            mid = packets.mid_of(packet)
            session.released(mid)
            self.write(packets.acknowledge(PacketKind.PUBCOMP, mid))
        elif packet.kind is PacketKind.SUBSCRIBE:
            self._router.subscribe(session, *packets.subscribe_of(packet))
        elif packet.kind is PacketKind.UNSUBSCRIBE:
            mid, patterns = packets.unsubscribe_of(packet)
            for pattern in patterns:
                session.unsubscribe(pattern)
            self.write(packets.acknowledge(PacketKind.UNSUBACK, mid))
        elif packet.kind is PacketKind.PINGREQ:
            self.write(packets.PONG)
        elif packet.kind is PacketKind.DISCONNECT:
            self.close()
        else:
            raise MalformedError(f"a client does not send {packet.kind.name} now")

    def _take(self, packet: MqttPacket, session: BrokerSession) -> None:
        """Passed on first, acknowledged then: what was acknowledged is in the hands of all who are here."""
        publish = packets.publish_of(packet)
        if publish.message.qos < 2 or session.is_first(publish.mid):
            self._router.publish(publish.message)
        if publish.message.qos:
            answer = PacketKind.PUBACK if publish.message.qos == 1 else PacketKind.PUBREC
            self.write(packets.acknowledge(answer, publish.mid))
