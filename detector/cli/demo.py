"""`detector demo`: the service on the sample clip with the embedded broker, and a subscriber that prints alerts.

`make run` runs it.
"""

from __future__ import annotations

import json
import logging
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detector.core.errors import RESTART_CODE, DetectorError

from .run import DurationOption, checked_duration, handling_signals

if TYPE_CHECKING:
    from rich.console import Console

    from detector.service.service import Service

CAMERA = "demo"
API_PORT, MQTT_PORT = 8080, 1883


def _free(port: int) -> int:
    """`port` if nothing listens on it, else 0: any free port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port


def _document(clip: Path, data: Path) -> dict[str, Any]:
    # A short cooldown, so that each repetition of the clip gives an alert.
    camera = {"source": str(clip), "loop": True, "alert": {"cooldown_s": 5}}
    return {
        "device": {"id": "demo", "name": "Demo"},
        "cameras": {CAMERA: camera},
        "mqtt": {"broker": "embedded", "embedded": {"port": _free(MQTT_PORT)}},
        "api": {"port": _free(API_PORT)},
        "data_dir": str(data),
    }


class Subscriber:
    """An ordinary MQTT client that prints each alert as it arrives."""

    def __init__(self, *, console: Console) -> None:
        self._console = console
        self.alerts = 0

    @contextmanager
    def listening(self, host: str, port: int) -> Iterator[None]:
        """Subscribed while the block runs."""
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        client = Client(CallbackAPIVersion.VERSION2)
        client.on_connect = lambda c, *_: c.subscribe("detector/alerts", qos=1)
        client.on_message = lambda _c, _u, message: self._print(bytes(message.payload))
        client.connect(host, port)
        client.loop_start()
        try:
            yield
        finally:
            client.disconnect()
            client.loop_stop()

    def _print(self, payload: bytes) -> None:
        from detector.alerts.payloads import parse_timestamp

        now = time.time()
        alert = json.loads(payload)
        self.alerts += 1
        taken = now - parse_timestamp(alert["captured_at"])
        self._console.print(
            f"[bold red]ALERT {alert['seq']}[/]  {alert['captured_at']}  person at {alert['camera']}  "
            f"score {alert['score']:.2f}  box {alert['box']}  latency {taken * 1000:.0f} ms from capture to subscriber",
            highlight=False,
            soft_wrap=True,
        )


def _welcome(console: Console, service: Service) -> None:
    host, port = service.broker_address or ("?", 0)
    console.print(f"watching the sample clip with {service.config.model.name}", highlight=False)
    console.print(f"  page         {service.page_url}", highlight=False, soft_wrap=True)
    console.print(f"  MQTT broker  {host}:{port}, topic detector/alerts", highlight=False)
    console.print("  to stop      Ctrl-C", highlight=False)


def demo(duration: DurationOption = None) -> int:
    """Run the service on the sample clip with the embedded broker; print each alert as a subscriber receives it."""
    from rich.console import Console

    from detector.core import logs
    from detector.models.registry import load_registry

    from .progress import progress

    seconds, console = checked_duration(duration), Console()
    logs.setup(logging.WARNING)
    with progress(download=True) as report, tempfile.TemporaryDirectory(prefix="detector-demo-") as folder:
        registry = load_registry()
        clip = registry.fetch_clip("bikes", report)
        registry.fetch("yolox-tiny-person", report)
        return _run(console, _document(clip, Path(folder)), seconds)


def _run(console: Console, document: dict[str, Any], seconds: float | None) -> int:
    from contextlib import ExitStack

    from detector.service.service import Service

    subscriber = Subscriber(console=console)
    with ExitStack() as stack:

        def running(service: Service) -> None:
            assert service.broker_address is not None
            stack.enter_context(subscriber.listening(*service.broker_address))
            _welcome(console, service)

        service = Service(document=document, on_running=running)
        with handling_signals(service.stop_event):
            code = service.run(duration_s=seconds)
    console.print(f"stopped after {subscriber.alerts} alert{'' if subscriber.alerts == 1 else 's'}", highlight=False)
    if code == RESTART_CODE:
        return code
    if code:
        raise DetectorError("the service ended by itself: see the log above")
    return 0
