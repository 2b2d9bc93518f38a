"""A dispatcher with the real outbox, history and MQTT client, and what its subscribers heard."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detector.alerts.alert_pictures import EncodeSnapshot
from detector.alerts.dispatcher import Dispatcher
from detector.alerts.history import History
from detector.alerts.history_writer import HistoryWriter
from detector.alerts.outbox import Outbox
from detector.alerts.outbox_entries import Entry
from detector.alerts.topics import Topics
from detector.core.clock import SYSTEM_CLOCK
from detector.core.jpeg import Label, encode_jpeg
from detector.core.types import Box, Frame, Message
from detector.mqtt.client import MqttClient, MqttSettings
from support.messages import WILL, running
from support.mosquitto import DEADLINE, Heard
from support.outboxes import waiting

TOPICS = Topics("p")


def encode(frame: Frame, box: Box, _score: float, max_width: int | None) -> bytes:
    return encode_jpeg(frame.image, [Label(box=box, text="person")], max_width=max_width)


@dataclass
class RunningDispatcher:
    """A dispatcher on `folder`; its threads run inside `running_dispatcher`."""

    outbox: Outbox
    history: History
    link: MqttClient
    dispatcher: Dispatcher

    def pending(self) -> list[str]:
        """Keys of the alerts that the outbox owes, in order."""
        return [entry.key for entry in self.waiting() if entry.kind == "alert"]

    def waiting(self) -> list[Entry]:
        return waiting(self.outbox)


@contextlib.contextmanager
def running_dispatcher(
    folder: Path,
    port: int,
    *,
    encode_snapshot: EncodeSnapshot = encode,
    protocol: str = "auto",
    connect: bool = True,
    subscriptions: Sequence[str] = (),
    topics: Topics = TOPICS,
    will: Message = WILL,
    **options: Any,
) -> Iterator[RunningDispatcher]:
    settings = MqttSettings(host="127.0.0.1", port=port, client_id="detector-t", protocol=protocol)  # type: ignore[arg-type]
    link = MqttClient(settings=settings, will=will, max_delay_s=0.2)
    for topic_filter in subscriptions:
        link.subscribe(topic_filter, lambda _topic, _payload: None)
    with contextlib.ExitStack() as stack:
        outbox = Outbox(folder / "outbox.db")
        stack.callback(outbox.close)
        history = History(path=folder / "history.db", snapshot_dir=folder / "snapshots")
        stack.callback(history.close)
        writer = HistoryWriter(history)
        dispatcher = Dispatcher(
            outbox=outbox,
            history=writer,
            link=link,
            topics=topics,
            device="yard",
            encode_snapshot=encode_snapshot,
            **options,
        )
        stack.enter_context(running(outbox.run))
        stack.enter_context(running(writer.run))
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
