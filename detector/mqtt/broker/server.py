"""The embedded broker, for machines that have no other: MQTT 3.1.1 in its own event loop.

It keeps nothing over a restart; the link restores what it retained. One packet is one turn of the loop, from a
client's socket to all others': an alert is no later than through a broker of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import logging
import socket
import threading

from pydantic import SecretStr

from detector.core.clock import SYSTEM_CLOCK
from detector.core.errors import BrokerError
from detector.core.peers import LogLimit

from .client import Client
from .connection_limits import ConnectionLimits
from .router import Router

log = logging.getLogger(__name__)

_SHUTDOWN_S = 1.0
_LOOK_S = 0.25  # how long a stop may go unnoticed: waiting for it would take a thread of its own


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class EmbeddedBroker:
    """`run` in a thread, `wait_started` from another. `port` 0: any free one, which `port` tells once it is bound.

    `bind` may be called before `run`, which else does it; who binds either runs or closes. `reserve` keeps a slot for
    the client of one id, however many others come.

    Raises BrokerError where it would let strangers in: no user name off the loopback.
    """

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, username: str | None = None, password: SecretStr | None = None
    ) -> None:
        if username is None and not _is_loopback(host):
            raise BrokerError(
                f"the embedded broker is open to all on {host}: set mqtt.username and mqtt.password, or use 127.0.0.1"
            )
        self.started = threading.Event()
        self._host, self._port = host, port
        self._secret = None if username is None else _pair(username, _revealed(password))
        self._error: BrokerError | None = None
        self._listener: socket.socket | None = None
        self.progress_mono = SYSTEM_CLOCK.mono()  # when its loop last turned
        self._clients: set[Client] = set()
        self._limits: ConnectionLimits[Client] = ConnectionLimits()
        self._service_id: bytes | None = None
        self._crowded = LogLimit()

    def reserve(self, client_id: str) -> None:
        """Keep a slot for the client that names itself so; before `run`. Others must not be able to guess the id."""
        self._service_id = client_id.encode()

    @property
    def port(self) -> int:
        return self._port

    def wait_started(self, timeout: float) -> None:
        """Returns once clients can connect; raises BrokerError that says why they cannot."""
        # `started` is set on failure too, so that nobody waits for what will not come.
        if not self.started.wait(timeout):
            raise BrokerError(f"the embedded broker did not start within {timeout:g} s")
        if self._error is not None:
            raise self._error

    def run(self, stop: threading.Event) -> None:
        """Serve until `stop`; a start that fails ends it at once and is told by `wait_started`."""
        try:
            listener = self.bind()
        except BrokerError as error:
            self._error = error
            self.started.set()
            return
        with listener:
            asyncio.run(self._serve(listener, stop))

    def bind(self) -> socket.socket:
        """Listen; harmless twice. Raises BrokerError that says what to change."""
        if self._listener is None:
            self._listener = self._listen()
            self._port = self._listener.getsockname()[1]
        return self._listener

    def close(self) -> None:
        """Stop listening where `run` never came."""
        if self._listener is not None:
            self._listener.close()

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            return socket.create_server((self._host, self._port), family=family)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            key = "port" if "in use" in reason or "permission" in reason else "host"
            raise BrokerError(
                f"the embedded broker cannot listen on {self._host}:{self._port}: {reason}; change mqtt.embedded.{key}"
            ) from None

    async def _serve(self, listener: socket.socket, stop: threading.Event) -> None:
        router, empty = Router(), asyncio.Event()

        def came(client: Client) -> None:
            self._clients.add(client)
            oldest = self._limits.arrived(client)
            if oldest is not None:
                self._log_crowd(oldest, "ends a connection that did not say CONNECT")
                oldest.abort()

        def gone(client: Client) -> None:
            self._clients.discard(client)
            self._limits.left(client)
            if not self._clients:
                empty.set()

        def connected() -> Client:
            return Client(router=router, admit=self._admits, came=came, gone=gone, has_room=self._has_room)

        server = await asyncio.get_running_loop().create_server(connected, sock=listener)
        log.info("the embedded broker listens on %s:%d", self._host, self._port)
        self.started.set()
        while not stop.is_set():
            self.progress_mono = SYSTEM_CLOCK.mono()
            await asyncio.sleep(_LOOK_S)
        server.close()
        await self._close(empty)

    def _admits(self, username: str | None, password: bytes | None) -> bool:
        # Constant time: the answer's delay must not spell the password out.
        return self._secret is None or hmac.compare_digest(self._secret, _pair(username, password))

    def _has_room(self, client: Client, client_id: str) -> bool:
        is_service = self._service_id is not None and hmac.compare_digest(client_id.encode(), self._service_id)
        accepted = self._limits.accept(client, is_service=is_service)
        if not accepted:
            self._log_crowd(client, "has no room for one more client")
        return accepted

    def _log_crowd(self, client: Client, what: str) -> None:
        if self._crowded.due():
            log.warning(
                "the embedded broker %s, from %s (%d so far, one line a minute)", what, client.peer, self._crowded.total
            )

    async def _close(self, empty: asyncio.Event) -> None:
        """Let clients have what was written for them, but not wait for those that do not read."""
        empty.clear()
        for end in (Client.close, Client.abort):
            if not self._clients:
                return
            for client in list(self._clients):
                end(client)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(empty.wait(), _SHUTDOWN_S)


def _pair(username: str | None, password: bytes | None) -> bytes:
    return (username or "").encode() + b"\0" + (password or b"")


def _revealed(secret: SecretStr | None) -> bytes:
    return b"" if secret is None else secret.get_secret_value().encode()
