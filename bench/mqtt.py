"""One hop: from the link's `publish` to a subscriber in another process, over loopback.

    python -m bench.mqtt [--messages N] [--rate PER_S] [--json FILE]

The service's own link publishes alerts' worth of bytes at QoS 1, through the embedded broker (in the publisher's
process, as in the service) and through Mosquitto where it is installed, which writes no debugging log then. Target:
p99 of at most 1 ms. `tcp` is what cannot be gone below: as many bytes, as often, between two processes, each blocked
in one call, with no broker between them. All take turns, so what else the machine does meets them all.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))  # Mosquitto is started as the tests start it

from detector.core.types import Message
from detector.mqtt.broker.server import EmbeddedBroker
from detector.mqtt.client import MqttClient
from detector.mqtt.settings import MqttSettings
from detector.service.process import gc_frozen
from support.mosquitto import Mosquitto, free_port

ROOT = Path(__file__).resolve().parents[1]
__all__ = ["brokers", "free_port", "listen", "measure"]

TARGET_MS = 1.0
ROUNDS = 5
FLOOR = "tcp"
TOPIC = "bench/alerts"
_SIZE = 900  # bytes: an alert's JSON
_START_S = 10.0
Figures = dict[str, float]
Opener = Callable[[], AbstractContextManager[int]]
OnMessage = Callable[[paho.Client, Any, paho.MQTTMessage], None]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--messages", type=int, default=500)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--subscribe", type=int, metavar="PORT", help=argparse.SUPPRESS)
    parser.add_argument("--receive", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.subscribe or chosen.receive:
        with gc_frozen():
            _receive(chosen.messages) if chosen.receive else _subscribe(chosen.subscribe, chosen.messages)
        return 0
    figures = measure(messages=chosen.messages, rate=chosen.rate)
    for name, values in figures.items():
        quiet = values["p99_quietest_round"]
        floors = values["p50_over_floor"]
        print(
            f"{name}: p50 {values['p50']:.2f} ms, p99 {values['p99']:.2f} ms, of the quietest round {quiet:.2f} ms; "
            f"p50 is {floors:.1f} times the floor's"
        )
    print(f"load average {os.getloadavg()[0]:.1f}; target: p99 of at most {TARGET_MS:g} ms")
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0 if all(values["p99"] <= TARGET_MS for values in figures.values()) else 1


def measure(*, messages: int, rate: float) -> dict[str, Figures]:
    """Milliseconds per broker and of the floor; they take turns."""
    found = brokers()
    rounds: dict[str, list[list[float]]] = {name: [] for name in (FLOOR, *found)}
    with gc_frozen():  # as the service runs
        for _ in range(ROUNDS):
            rounds[FLOOR].append(_tcp(messages // ROUNDS, rate))
            for name, opened in found.items():
                with opened() as port:
                    rounds[name].append(_hop(port, messages // ROUNDS, rate))
    return {name: _figures(delays, rounds[FLOOR]) for name, delays in rounds.items()}


def brokers() -> dict[str, Opener]:
    """Those that can run here, best first."""
    if shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin"):
        return {"mosquitto": mosquitto, "embedded": embedded}
    print("mosquitto is not installed: left out", file=sys.stderr)
    return {"embedded": embedded}


def _figures(rounds: list[list[float]], floor: list[list[float]]) -> Figures:
    delays = [delay for one in rounds for delay in one]
    values = {
        "p50": np.percentile(delays, 50),
        "p99": np.percentile(delays, 99),
        "max": max(delays),
        "p99_quietest_round": min(np.percentile(one, 99) for one in rounds),
        # Of the same round each: a busy machine slows both.
        "p50_over_floor": np.median([np.median(one) / np.median(low) for one, low in zip(rounds, floor, strict=True)]),
    }
    return {key: round(float(value), 3) for key, value in values.items()}


@contextmanager
def embedded() -> Iterator[int]:
    """The port of a running embedded broker."""
    broker = EmbeddedBroker()
    with _running(broker.run):
        broker.wait_started(_START_S)
        yield broker.port


@contextmanager
def mosquitto() -> Iterator[int]:
    """The port of a running Mosquitto."""
    with tempfile.TemporaryDirectory() as folder:
        broker = Mosquitto(Path(folder), verbose=False)
        broker.start()
        try:
            yield broker.port
        finally:
            broker.kill()


@contextmanager
def _running(run: Callable[[threading.Event], None]) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _hop(port: int, messages: int, rate: float) -> list[float]:
    will = Message(topic="bench/available", payload=b"offline", qos=1, retain=True)
    link = MqttClient(
        settings=MqttSettings(host="127.0.0.1", port=port, client_id="bench", protocol="3.1.1"), will=will
    )
    command = [sys.executable, "-m", "bench.mqtt", "--subscribe", str(port), "--messages", str(messages)]
    with _running(link.run), subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as subscriber:
        assert subscriber.stdout is not None
        assert subscriber.stdout.readline() == "ready\n"
        while link.session() is None:
            time.sleep(0.01)
        _send_stamps(partial(_publish, link), messages, rate)
        delays: list[float] = json.loads(subscriber.stdout.readline())
        return delays


def _publish(link: MqttClient, payload: bytes) -> None:
    while not link.publish(Message(topic=TOPIC, payload=payload, qos=1)):
        time.sleep(0.001)


def _send_stamps(send: Callable[[bytes], None], messages: int, rate: float) -> None:
    for _ in range(messages):
        send(str(time.monotonic_ns()).encode().ljust(_SIZE))
        time.sleep(1.0 / rate)


def _tcp(messages: int, rate: float) -> list[float]:
    command = [sys.executable, "-m", "bench.mqtt", "--receive", "--messages", str(messages)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as receiver:
        assert receiver.stdout is not None
        address = ("127.0.0.1", int(receiver.stdout.readline()))
        with socket.create_connection(address) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _send_stamps(sock.sendall, messages, rate)
            delays: list[float] = json.loads(receiver.stdout.readline())
        return delays


def _receive(messages: int) -> None:
    """The floor's other process: one line with its port, one with all delays in ms."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        sock, _ = listener.accept()
    with sock:
        delays = [_age_ms(sock.recv(_SIZE, socket.MSG_WAITALL)) for _ in range(messages)]
        print(json.dumps(delays), flush=True)


def _age_ms(stamp: bytes | bytearray) -> float:
    return (time.monotonic_ns() - int(stamp)) / 1e6


def listen(port: int, topic: str, received: OnMessage) -> paho.Client:
    """A client, subscribed once this returns, whose loop the caller runs."""
    client = paho.Client(CallbackAPIVersion.VERSION2)
    subscribed = threading.Event()

    def opened(_client: object, _data: object, sock: Any) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connected(*_: Any) -> None:
        client.subscribe(topic, 1)

    def granted(*_: Any) -> None:
        subscribed.set()

    client.on_socket_open, client.on_connect, client.on_subscribe = opened, connected, granted
    client.on_message = received
    client.connect("127.0.0.1", port)
    while not subscribed.is_set():
        client.loop(1.0)
    return client


def _subscribe(port: int, messages: int) -> None:
    """The other process: one line when subscribed, one with all delays in ms."""
    delays: list[float] = []

    def received(_client: object, _data: object, message: paho.MQTTMessage) -> None:
        delays.append(_age_ms(message.payload))

    client = listen(port, TOPIC, received)
    print("ready", flush=True)
    while len(delays) < messages:
        client.loop(1.0)
    print(json.dumps(delays), flush=True)
    client.disconnect()


if __name__ == "__main__":
    raise SystemExit(main())
