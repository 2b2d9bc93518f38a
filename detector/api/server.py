"""uvicorn with the port known before it runs, deadlines for slow clients, and a stop within two seconds."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
from collections.abc import Callable, Iterator, MutableSet
from typing import Any

import anyio.to_thread
import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from detector.core.clock import SYSTEM_CLOCK
from detector.core.errors import DetectorError

HEADER_S = 10.0  # from connecting, or from a request's first byte, to its headers' end
WRITE_S = 15.0  # a reader that lets the buffer stay full this long is gone
MAX_CONNECTIONS = 128
ACCEPTED_AT_ONCE = 32  # connections in one turn of the loop: what is being answered waits no longer, a flood is no heap
WAITING_CONNECTIONS = 4096  # that the kernel holds until then, so that a health check's is not among those it drops
TICK_S = 0.5  # how soon the end is noticed
WORKERS = 6  # threads for what may block: few, since the model needs the cores
_NOTSENT = 64 << 10  # bytes that the kernel holds back unsent: more would be stale pictures on a slow link


class GuardedConnection(H11Protocol):
    """uvicorn's connection with deadlines for slow headers and slow readers; the oldest idle one makes room for a new one.

    uvicorn itself waits for ever on both, and its limit on concurrency would answer 503 to the health
    check while another client holds connections open; here the one that is idle longest is closed.
    """

    _headers: asyncio.TimerHandle | None = None
    _write: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch_headers()
        if len(self.connections) > MAX_CONNECTIONS:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._headers, self._write):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._watch_headers()
        elif self._headers:
            self._headers.cancel()
            self._headers = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write = self.loop.call_later(WRITE_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write:
            self._write.cancel()
            self._write = None

    def _watch_headers(self) -> None:
        if self._headers is None:
            self._headers = self.loop.call_later(HEADER_S, self.transport.abort)

    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _make_room(self) -> None:
        others = (c for c in self.connections if isinstance(c, GuardedConnection) and c is not self)
        # Busy connections (live pictures) are closed only when no idle one is left.
        oldest = next((c for c in others if c._idle()), None) or next(iter(self.connections))  # noqa: SLF001 - its own kind
        self.connections.discard(oldest)  # closed in the loop's next turn: nothing else may choose it again until then
        oldest.transport.abort()


class ArrivalOrder(MutableSet[Any]):
    """A set that is iterated in the order of `add`: uvicorn's connections, the oldest first."""

    def __init__(self) -> None:
        self._items: dict[Any, None] = {}

    def __contains__(self, item: object) -> bool:
        return item in self._items

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def add(self, value: Any) -> None:
        self._items[value] = None

    def discard(self, value: Any) -> None:
        self._items.pop(value, None)


class _UvicornServer(uvicorn.Server):
    """Stops on a thread's event instead of a signal; overrides `main_loop` alone."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        stop: threading.Event,
        on_start: Callable[[], None],
        on_stop: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self.server_state.connections = ArrivalOrder()  # type: ignore[assignment]  # all that uvicorn needs of a set
        self._stop = stop
        self._on_start = on_start
        self._on_stop = on_stop
        self.progress_mono = SYSTEM_CLOCK.mono()

    async def main_loop(self) -> None:
        self._on_start()
        # uvicorn itself wakes ten times a second for its clock and its end: more than all else it does.
        while not self._stop.is_set() and not await self.on_tick(0):
            self.progress_mono = SYSTEM_CLOCK.mono()
            await asyncio.sleep(TICK_S)
        self._on_stop()


def _why(error: OSError, host: str, port: int) -> str:
    """What to do about a failed bind, in one line."""
    if error.errno == errno.EADDRINUSE:
        return f"api.port: {port} is in use on {host}: stop the other program or choose another port"
    if error.errno == errno.EACCES:
        return f"api.port: {port} needs more rights: choose one above 1023"
    if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
        return f"api.host: {host} is not an address of this machine"
    return f"api.host: cannot listen on {host} port {port}: {error.strerror or os.strerror(error.errno or 0)}"


def _listen(family: int, address: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # accepted connections inherit it
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NOTSENT)
        if family == socket.AF_INET6:
            # "::" means every address there is, IPv4's too.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address[0] != "::"))
        sock.bind(address)
        sock.listen(WAITING_CONNECTIONS)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind(host: str, port: int) -> socket.socket:
    """A listening socket; of a name with several addresses the first that can be bound, IPv4 before IPv6."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = min(found, key=lambda f: f[0] != socket.AF_INET)
        return _listen(family, address)
    except OSError as error:
        raise DetectorError(_why(error, host, port)) from None


class ApiServer:
    """Listens from the moment it is made; answers while `run` runs. `port` 0 takes any free one.

    Raises DetectorError naming api.port or api.host when it cannot listen. Whoever makes one either
    runs or closes it.
    """

    def __init__(self, *, app: FastAPI, host: str, port: int) -> None:
        self._app = app
        self._host = host
        self._socket = _bind(host, port)
        self._port: int = self._socket.getsockname()[1]
        self._started = threading.Event()
        self._server: _UvicornServer | None = None

    @property
    def progress_mono(self) -> float:
        """When the server's loop last turned, monotonic s; now until it runs."""
        return SYSTEM_CLOCK.mono() if self._server is None else self._server.progress_mono

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the page."""
        host = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(self._host, self._host)  # noqa: S104 - not a bind
        return f"http://[{host}]:{self._port}/" if ":" in host else f"http://{host}:{self._port}/"

    def run(self, stop: threading.Event) -> None:
        """Serve until `stop` is set; returns within about two seconds of it, open streams or not."""
        config = uvicorn.Config(
            self._app,
            http=GuardedConnection,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=1,
            h11_max_incomplete_event_size=16 << 10,
            backlog=ACCEPTED_AT_ONCE,
        )
        self._server = server = _UvicornServer(config, stop=stop, on_start=self._begin, on_stop=self._end_streams)
        with self._socket:
            asyncio.run(self._serve(server))

    def _begin(self) -> None:
        # asyncio takes one number for both: how many it accepts in a turn, and how many the kernel holds.
        self._socket.listen(WAITING_CONNECTIONS)
        self._started.set()

    def _end_streams(self) -> None:
        self._app.state.streams.close()
        self._app.state.pictures.close()

    async def _serve(self, server: _UvicornServer) -> None:
        anyio.to_thread.current_default_thread_limiter().total_tokens = WORKERS
        await server.serve([self._socket])
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # lets the aborted connections close their sockets

    def wait_started(self, timeout: float) -> bool:
        """Whether it answers, waiting at most `timeout` seconds for that."""
        return self._started.wait(timeout)

    def close(self) -> None:
        """Give the port back without having run."""
        self._socket.close()
