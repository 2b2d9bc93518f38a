"""A post room with the real outbox, history and link, and what its subscribers heard."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detector.alerts.dispatcher import Dispatcher
from detector.alerts.history import History
from detector.alerts.outbox import ResilientOutbox
from detector.alerts.payloads import Topics
from detector.alerts.snapshot_encoder import EncodeSnapshot, SnapshotEncoder
from detector.core.clock import SYSTEM_CLOCK
from detector.core.jpeg import Label, encode_jpeg
from detector.core.types import Box, Frame
from detector.mqtt.client import MqttClient, MqttSettings
from support.messages import WILL, running
from support.mosquitto import DEADLINE, Heard

TOPICS = Topics("p")


def encode(frame: Frame, box: Box, _score: float, max_width: int | None) -> bytes:
    return encode_jpeg(frame.image, [Label(box=box, text="person")], max_width=max_width)


@dataclass
class RunningDispatcher:
    """A post room on `folder`; its threads run inside `running_dispatcher`."""

    outbox: ResilientOutbox
    history: History
    link: MqttClient
    dispatcher: Dispatcher

    def pending(self) -> list[str]:
        return [entry.key for entry in self.outbox.pending(100_000) if entry.kind == "alert"]


@contextlib.contextmanager
def running_dispatcher(
    folder: Path,
    port: int,
    *,
    encode_snapshot: EncodeSnapshot = encode,
    protocol: str = "auto",
    connect: bool = True,
    **options: Any,
) -> Iterator[RunningDispatcher]:
    settings = MqttSettings(host="127.0.0.1", port=port, client_id="detector-t", protocol=protocol)  # type: ignore[arg-type]
    link = MqttClient(settings=settings, will=WILL, max_delay_s=0.2)
    with contextlib.ExitStack() as stack:
        outbox = ResilientOutbox(folder / "outbox.db")
        stack.callback(outbox.close)
        history = History(path=folder / "history.db", snapshot_dir=folder / "snapshots")
        stack.callback(history.close)
        dispatcher = Dispatcher(
            outbox=outbox,
            history=history,
            link=link,
            topics=TOPICS,
            device="yard",
            darkroom=SnapshotEncoder(encode=encode_snapshot),
            **options,
        )
        if connect:
            stack.enter_context(running(link.run))
        stack.callback(lambda: dispatcher.drain(SYSTEM_CLOCK.mono() + DEADLINE))
        stack.enter_context(running(dispatcher.run))
        yield RunningDispatcher(outbox, history, link, dispatcher)


def alerts_in(heard: list[Heard]) -> list[dict[str, Any]]:
    return [json.loads(m.payload) for m in heard if m.topic == "p/alerts"]


def ids(heard: list[Heard]) -> list[str]:
    return [alert["id"] for alert in alerts_in(heard)]


def has(name: str) -> Callable[[list[Heard]], bool]:
    return lambda heard: name in ids(heard)


def has_all(count: int) -> Callable[[list[Heard]], bool]:
    return lambda heard: len(set(ids(heard))) == count
