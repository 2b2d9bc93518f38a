"""The embedded broker, for machines that have no other: amqtt in its own event loop.

It speaks MQTT 3.1.1 and keeps nothing over a restart; the link restores what it retained. The
listener is our own and hands accepted streams to amqtt: so port 0 works, connections are counted,
and at the end every one of them is closed. Passwords are compared in memory, by amqtt's plugin
interface, and never written to a file.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import socket
import threading
from dataclasses import dataclass
from typing import Any

from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter  # type: ignore[import-untyped]
from amqtt.broker import Broker  # type: ignore[import-untyped]
from amqtt.contexts import BaseContext  # type: ignore[import-untyped]
from amqtt.plugins.base import BaseAuthPlugin  # type: ignore[import-untyped]
from amqtt.session import Session  # type: ignore[import-untyped]
from pydantic import SecretStr

from detector.errors import BrokerError

log = logging.getLogger(__name__)

_MAX_CONNECTIONS = 100
_SHUTDOWN_S = 1.0
_LOOK_S = 0.25  # how long a stop may go unnoticed: waiting for it would take a thread of its own
_LISTENER = "default"


class CredentialsPlugin(BaseAuthPlugin):  # type: ignore[misc]
    """Lets in whoever gives the one user name and password; anybody where none is set."""

    @dataclass
    class Config:
        """What amqtt fills from the configuration that it is given."""

        username: str | None = None
        password: SecretStr | None = None

    def __init__(self, context: BaseContext) -> None:
        super().__init__(context)
        config: Any = context.config
        self._expected = None if config.username is None else self._pair(config.username, config.password)

    @staticmethod
    def _pair(username: str | None, password: SecretStr | None) -> bytes:
        secret = password.get_secret_value() if password is not None else ""
        return (username or "").encode() + b"\0" + secret.encode()

    async def authenticate(self, *, session: Session) -> bool:
        if self._expected is None:
            session.is_anonymous = True
            return True
        given = SecretStr(session.password) if session.password is not None else None
        # Constant time: the answer's delay must not spell the password out.
        return hmac.compare_digest(self._pair(session.username, given), self._expected)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class EmbeddedBroker:
    """`run` in a thread, `wait_started` from another. `port` 0: any free one, told by `port` once started.

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
        self._credentials = {"username": username, "password": password}
        self._error: BrokerError | None = None
        self._streams: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}

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
        logging.getLogger("amqtt").setLevel(logging.CRITICAL)  # it warns of every client's clumsiness
        logging.getLogger("transitions").setLevel(logging.WARNING)
        try:
            listener = self._bind()
        except BrokerError as error:
            self._error = error
            self.started.set()
            return
        with listener:
            asyncio.run(self._serve(listener, stop))

    def _bind(self) -> socket.socket:
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
        config = {
            "listeners": {_LISTENER: {"type": "external"}},
            "plugins": {f"{__name__}.{CredentialsPlugin.__name__}": self._credentials},
        }
        broker = Broker(config)
        await broker.start()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._accept(broker, reader, writer)

        server = await asyncio.start_server(accept, sock=listener)
        self._port = listener.getsockname()[1]
        log.info("the embedded broker listens on %s:%d", self._host, self._port)
        self.started.set()
        while not stop.is_set():  # noqa: ASYNC110 - it is a thread's event, not the loop's
            await asyncio.sleep(_LOOK_S)
        server.close()
        await self._close(broker)

    async def _accept(self, broker: Broker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._streams) >= _MAX_CONNECTIONS:
            writer.transport.abort()
            return
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._streams[task] = writer
        try:
            await broker.external_connected(StreamReaderAdapter(reader), StreamWriterAdapter(writer), _LISTENER)
        except (Exception, asyncio.CancelledError) as error:
            # A client that speaks nonsense or is gone: its own loss. Cancelled: only `_close` does that,
            # and asyncio before 3.12 would log the cancelled callback as an error.
            log.debug("embedded broker: a client failed: %s", type(error).__name__)
        finally:
            del self._streams[task]
            writer.close()

    async def _close(self, broker: Broker) -> None:
        try:
            await asyncio.wait_for(broker.shutdown(), _SHUTDOWN_S)
        except Exception as error:  # a client that does not read must not hold up the end
            log.debug("embedded broker: shut down the hard way: %s", type(error).__name__)
        for task, writer in list(self._streams.items()):
            writer.transport.abort()
            task.cancel()
        if self._streams:
            await asyncio.wait(list(self._streams), timeout=_SHUTDOWN_S)
