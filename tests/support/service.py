"""Small parts of a service for tests of its pieces: a config store, capture figures, a broker's and outbox's state."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from detector.alerts.outbox_entries import OutboxStats
from detector.capture.camera import CaptureStats
from detector.capture.source import DecodeCounts
from detector.config import document as config_file
from detector.core.clock import Clock
from detector.core.types import CameraState
from detector.mqtt.client import ClientStatus
from detector.service.alarm_controller import AlarmController
from detector.service.arming import ArmingController
from detector.service.config_store import ConfigStore


def make_store(document: dict[str, Any] | None = None) -> ConfigStore:
    """A store of a config with one camera, `porch`, unless `document` says otherwise; it has no file."""
    document = document or {"cameras": {"porch": {"source": "rtsp://10.0.0.4/live"}}}
    return ConfigStore(document=document, path=None, config=config_file.validate(document))


def make_arming(
    clock: Clock, document: dict[str, Any] | None = None, *, alarm: AlarmController | None = None
) -> ArmingController:
    """Arming over an alarm of its own, or `alarm`; nothing is kept or published."""
    config = make_store(document).config
    alarm = alarm or AlarmController(
        settings=config.alarm, saved=None, clock=clock, send=lambda _alert: None, on_change=lambda _state, _kept: None
    )
    return ArmingController(alarm=alarm, config=config, saved=None, clock=clock)


def captured(
    state: CameraState = "online",
    *,
    frames: int = 1,
    last_frame_mono: float | None = 1000.0,
    progress_mono: float = 1000.0,
    error: str | None = None,
) -> CaptureStats:
    return CaptureStats(
        state=state,
        error=error,
        frames=frames,
        fps=10.0,
        width=640,
        height=480,
        reconnects=0,
        last_frame_mono=last_frame_mono,
        progress_mono=progress_mono,
        decode=DecodeCounts(),
    )


@dataclass
class CaptureFigures:
    """The cameras' figures as `Cameras.stats` gives them."""

    by_name: dict[str, CaptureStats] = field(default_factory=lambda: {"porch": captured()})

    def stats(self) -> dict[str, CaptureStats]:
        return dict(self.by_name)


CONNECTED = ClientStatus(
    state="connected",
    address="127.0.0.1:1883",
    protocol="5",
    error=None,
    since_mono=0.0,
    connects=1,
    unacknowledged=0,
)


@dataclass
class BrokerState:
    """A broker as the MQTT client reports it."""

    now: ClientStatus = CONNECTED

    def status(self) -> ClientStatus:
        return self.now

    def set(self, **changes: Any) -> None:
        self.now = replace(self.now, **changes)


@dataclass
class OutboxState:
    now: OutboxStats = field(default_factory=OutboxStats)

    def stats(self) -> OutboxStats:
        return self.now
