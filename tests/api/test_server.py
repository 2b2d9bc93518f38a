from __future__ import annotations

import socket
import threading
from contextlib import ExitStack
from importlib.metadata import version

import pytest
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from detector.api import server
from detector.api.app import create_app
from detector.api.server import MAX_CONNECTIONS, ApiServer
from detector.config.schema import Api
from detector.core.errors import DetectorError
from support.api import RunningApi, StartApi
from support.control import MemoryControl
from support.mosquitto import wait_until


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_app(MemoryControl(), settings=Api(), config_schema={})


def connect(opened: RunningApi) -> socket.socket:
    return socket.create_connection(opened.address, timeout=20)


def ended(sock: socket.socket) -> bool:
    """True once the server closed or reset the connection; a time-out when it does neither."""
    try:
        while sock.recv(4096):
            pass
    except ConnectionError:
        pass
    return True


def test_the_port_is_known_before_it_runs(app: FastAPI) -> None:
    api = ApiServer(app=app, host="127.0.0.1", port=0)
    assert api.port > 0
    assert api.url == f"http://127.0.0.1:{api.port}/"
    assert not api.wait_started(0)
    api.close()


def test_a_port_in_use_is_one_plain_line(app: FastAPI) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(DetectorError) as told:
        ApiServer(app=app, host="127.0.0.1", port=other.getsockname()[1])
    assert str(told.value).startswith("api.port: ")
    assert "in use" in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("host", ["192.0.2.7", "no-such-host.invalid"])
def test_an_address_of_another_machine_is_one_plain_line(app: FastAPI, host: str) -> None:
    with pytest.raises(DetectorError, match=f"^api.host: {host} is not an address of this machine"):
        ApiServer(app=app, host=host, port=0)


@pytest.mark.parametrize("host", ["::1", "::", "localhost", "0.0.0.0"])
def test_other_addresses(app: FastAPI, host: str) -> None:
    try:
        api = ApiServer(app=app, host=host, port=0)
    except DetectorError as error:
        pytest.skip(f"this machine has no {host}: {error}")
    stop = threading.Event()
    thread = threading.Thread(target=api.run, args=(stop,))
    thread.start()
    assert api.wait_started(20)
    with socket.create_connection(("::1" if host == "::1" else "127.0.0.1", api.port), timeout=20) as sock:
        sock.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert b"200 OK" in sock.recv(4096)
    stop.set()
    thread.join(20)
    assert not thread.is_alive()


def test_it_can_be_opened_again_at_once_on_the_same_port(window: StartApi, app: FastAPI) -> None:
    opened = window()
    assert opened.client.get("/healthz").status_code == 200
    opened.close()
    ApiServer(app=app, host="127.0.0.1", port=opened.server.port).close()


def test_slow_headers_are_cut_off(window: StartApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEADER_S", 0.3)
    opened = window()
    with connect(opened) as silent, connect(opened) as slow, connect(opened) as second:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: loc")
        second.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in second.recv(4096)
        second.sendall(b"GET /hea")
        for sock in (silent, slow, second):
            assert ended(sock)
    assert opened.client.get("/healthz").status_code == 200


def test_endless_headers_are_refused(window: StartApi) -> None:
    with connect(window()) as sock, ExitStack():
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X-Long: " + b"a" * (17 << 10))
        assert b"400 Bad Request" in sock.recv(4096)


def test_held_connections_make_room_the_oldest_first(window: StartApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEADER_S", 600)  # so that nothing but too many connections ends them
    opened = window()
    with ExitStack() as stack:
        held = [stack.enter_context(connect(opened)) for _ in range(MAX_CONNECTIONS)]
        for sock in held:
            sock.sendall(b"GET /healthz HTTP/1.1\r\n")
        for _ in range(3):
            with connect(opened) as fresh:
                fresh.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
                assert b"200 OK" in fresh.recv(4096)
        assert ended(held[0])
        held[-1].sendall(b"Host: localhost\r\n\r\n")
        assert b"200 OK" in held[-1].recv(4096), "a newer one had to go before an older one"


def test_night_13_idle_connections_leave_the_probes_alone(window: StartApi) -> None:
    opened = window()
    with ExitStack() as stack:
        for _ in range(6):
            for _ in range(100):
                stack.enter_context(connect(opened))
            assert opened.client.get("/healthz", headers={"Connection": "close"}).status_code == 200
        wait_until(lambda: len(opened.server._server.server_state.connections) <= MAX_CONNECTIONS)  # type: ignore[union-attr]


def test_garbage_is_a_400_and_no_harm(window: StartApi) -> None:
    opened = window()
    with connect(opened) as sock:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 TLS to a plain port\r\n\r\n")
        assert b"400 Bad Request" in sock.recv(4096)
    assert opened.client.get("/healthz").status_code == 200


def test_a_websocket_is_not_offered(window: StartApi) -> None:
    with connect(window()) as sock:
        sock.sendall(
            b"GET /api/status HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert b"HTTP/1.1 101" not in sock.recv(4096)


def test_the_installed_uvicorn_is_not_newer_than_the_one_that_was_read() -> None:
    """api/server.py overrides Server.main_loop and H11Protocol's callbacks, and uses attributes that are not documented.

    When this fails: read uvicorn/server.py and uvicorn/protocols/http/h11_impl.py for changes of `main_loop`,
    `on_tick`, `server_state.connections`, `conn`, `cycle.response_complete`, `connections`, `loop` and `transport`,
    run the tests of this file, then raise the number.
    """
    assert [int(part) for part in version("uvicorn").split(".")[:2]] <= [0, 54]


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (uvicorn.Server, {"main_loop", "on_tick", "serve"}),
        (
            H11Protocol,
            {"connection_made", "connection_lost", "data_received", "pause_writing", "resume_writing"},
        ),
    ],
)
def test_uvicorn_still_has_what_is_overridden(owner: type, names: set[str]) -> None:
    assert names <= set(vars(owner)), "an override that nothing calls"


def test_it_leaves_no_thread_of_its_own(window: StartApi) -> None:
    before = set(threading.enumerate())
    opened = window()
    assert opened.client.get("/api/status").status_code == 200
    assert opened.client.get("/api/cameras/porch/latest.jpg").status_code == 200
    opened.close()
    # A worker thread that was told to go needs a moment for it.
    wait_until(lambda: set(threading.enumerate()) <= before)
