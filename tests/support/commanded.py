"""The MQTT commands over real parts, given messages as the client would give them."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detector.alerts.topics import Topics
from detector.config.schema import Camera
from detector.mqtt.broker.topic_filter import matches
from detector.service.alarm_code import AlarmCode
from detector.service.camera_switches import CameraSwitches
from detector.service.mqtt_commands import MqttCommands
from detector.service.refused_commands import RefusedCommands
from detector.service.snooze import Snoozes
from support.service import make_arming, make_store
from support.suppressing import Suppressing
from support.visits import StillClock


@dataclass
class Commanded:
    """The commands over real parts; `send` gives a message as the client would."""

    folder: Path
    config: dict[str, Any] = field(default_factory=dict)
    switched: list[tuple[str, bool]] = field(default_factory=list)
    snoozed: list[tuple[str, bool]] = field(default_factory=list)
    announced: int = 0

    def __post_init__(self) -> None:
        self.clock, self.restart = StillClock(), threading.Event()
        self.refused = RefusedCommands(self.clock)
        self.suppressing = Suppressing(self.folder)
        store = make_store({"cameras": {"porch": {"source": "rtsp://10.0.0.4/live"}}, **self.config})
        self.alarm = make_arming(StillClock())
        self.commands = MqttCommands(
            topics=Topics(store.config.mqtt.topic_prefix),
            store=store,
            alarm=self.alarm,
            code=AlarmCode(code=lambda: store.config.alarm.code, clock=self.clock),
            switches=CameraSwitches(
                saved=None, channels=self, save=lambda _name, _document: None, publish=lambda _camera, _on: None
            ),
            snoozes=Snoozes(
                saved=None,
                save=lambda _name, _document: None,
                topics=Topics("p"),
                send=lambda message: self.snoozed.append((message.topic, json.loads(message.payload)["snoozed"])),
                clock=self.clock,
            ),
            restart=self.restart,
            announce=self._announce,
            suppressions=self.suppressing.suppressions,
            refused=self.refused,
            clock=self.clock,
        )

    def _announce(self) -> None:
        self.announced += 1

    def add(self, name: str, settings: Camera, *, enabled: bool) -> None: ...

    def remove(self, name: str) -> None: ...

    def switch(self, name: str, *, enabled: bool) -> None:
        self.switched.append((name, enabled))

    def send(self, topic: str, payload: bytes) -> None:
        for topic_filter, handler in self.commands.handlers():
            if matches(topic_filter, topic):
                handler(topic, payload)
