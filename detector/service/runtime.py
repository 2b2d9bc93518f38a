"""The running service's rooms, for those who look through or tidy them: the watch and the window."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

from detector.alerts.dispatcher import Dispatcher
from detector.alerts.history import History
from detector.alerts.outbox import Outbox
from detector.alerts.payloads import Topics
from detector.capture.latest_frames import LatestFrames
from detector.capture.manager import Cameras
from detector.config import document as configfile
from detector.config.schema import Camera, Config
from detector.core.clock import Clock
from detector.core.threads import ServiceThread
from detector.models.autotune.status import AutotuneStatus
from detector.mqtt.client import MqttClient

from .alarm_controller import AlarmController
from .inference_loop import Worker

DETECT_STATE = "detect"  # the name under which the outbox keeps which cameras are switched off
ALARM_STATE = "alarm"


@dataclass(slots=True, kw_only=True)
class House:
    """One of each. `config` and `document` are replaced whole under `changing` when the config changes."""

    document: configfile.Document
    path: Path | None
    config: Config
    clock: Clock
    started_mono: float
    slots: LatestFrames
    outbox: Outbox
    history: History
    topics: Topics
    link: MqttClient
    dispatcher: Dispatcher
    desk: AlarmController
    worker: Worker
    cameras: Cameras
    ledger: AutotuneStatus = field(default_factory=AutotuneStatus)
    stages: list[ServiceThread] = field(default_factory=list)
    changing: threading.Lock = field(default_factory=threading.Lock)

    def detect_enabled(self, camera: str) -> bool:
        """Whether the camera's detection was left on; on unless switched off."""
        switches = self.outbox.get_state(DETECT_STATE) or {}
        return switches.get(camera) is not False

    def open_room(self, name: str, settings: Camera) -> None:
        """A place for the camera in the workshop, or none while it is disabled."""
        if not settings.enabled:
            self.worker.remove(name)
            return
        enabled = self.detect_enabled(name)
        self.worker.add(name, settings, enabled=enabled)
        self.dispatcher.detect_state(name, enabled)

    def switch_detection(self, camera: str, *, enabled: bool) -> None:
        """Turn a camera's detection on or off, tell so, and remember it; raises KeyError."""
        self.worker.switch(camera, enabled=enabled)
        self.dispatcher.save_state(DETECT_STATE, {**(self.outbox.get_state(DETECT_STATE) or {}), camera: enabled})
        self.dispatcher.detect_state(camera, enabled)
