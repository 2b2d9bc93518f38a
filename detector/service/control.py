"""What the API sees of the service: `api.control.Control`."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from detector import __version__
from detector.alerts.clips.folder import ClipFolder
from detector.api.control import Health, Ready, StaleConfigError
from detector.config import document as config_file
from detector.config import remote
from detector.core.jpeg import Label, encode_jpeg
from detector.core.types import AlarmCommand

from .arming import ArmingController
from .camera_switches import CameraSwitches
from .config_store import ConfigStore
from .health import HealthMonitor
from .status import FindChannel, StatusReporter
from .suppressions import Suppressions

log = logging.getLogger(__name__)

Document = dict[str, Any]
Apply = Callable[[config_file.Document], list[str]]
"""Validates a document, makes it the service's; returns the keys that need a restart."""


class VisitHistory(Protocol):
    """What is asked of the history; may wait for the disk."""

    def events(self, *, camera: str | None, after: float | None, limit: int) -> list[Document]: ...

    def event(self, event_id: str) -> Document | None: ...

    def snapshot(self, event_id: str) -> bytes | None: ...


class ServiceControl:
    """Thread-safe; every document is a copy without secrets."""

    def __init__(
        self,
        *,
        store: ConfigStore,
        health: HealthMonitor,
        status: StatusReporter,
        history: VisitHistory,
        channel: FindChannel,
        alarm: ArmingController,
        switches: CameraSwitches,
        apply: Apply,
        clips: ClipFolder,
        suppressions: Suppressions,
    ) -> None:
        self._suppressions = suppressions
        self._store, self._health, self._status, self._history = store, health, status, history
        self._channel, self._alarm, self._switches, self._apply = channel, alarm, switches, apply
        self._clips = clips

    def version(self) -> Document:
        return {
            "version": __version__,
            "device": self._store.config.device.id,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "uptime_s": self._status.uptime_s,
        }

    def status(self) -> Document:
        return self._status.write()

    def health(self) -> Health:
        return self._health.health()

    def ready(self) -> Ready:
        return self._health.ready()

    def config_document(self) -> tuple[Document, str]:
        document = self._store.current.document
        return config_file.masked(document), config_file.etag(document)

    def replace_config(self, document: Document, if_match: str | None) -> tuple[Document, str, list[str]]:
        with self._store.change() as current:
            if if_match not in (None, "*", config_file.etag(current.document)):
                raise StaleConfigError
            restart = self._apply(remote.accepted(document, current.document))
            log.info("the configuration was replaced%s", f"; restart for {', '.join(restart)}" if restart else "")
            return (*self.config_document(), restart)

    def events(self, camera: str | None, after: float | None, limit: int) -> list[Document]:
        return self._history.events(camera=camera, after=after, limit=limit)

    def event(self, event_id: str) -> Document | None:
        return self._history.event(event_id)

    def snapshot(self, event_id: str) -> bytes | None:
        return self._history.snapshot(event_id)

    def clip(self, event_id: str) -> Path | None:
        return self._clips.find(event_id)

    def suppress(self, event_id: str) -> Document:
        return self._suppressions.ask(event_id)

    def suppressions(self) -> list[Document]:
        return self._suppressions.list()

    def unsuppress(self, suppression_id: str) -> bool:
        return self._suppressions.undo(suppression_id)

    def suppression_picture(self, suppression_id: str) -> bytes | None:
        return self._suppressions.picture(suppression_id)

    def latest_jpeg(self, camera: str, *, boxes: bool, max_width: int | None) -> tuple[int, bytes] | None:
        channel = self._channel(camera)
        scene = channel.view.scene() if channel is not None else None
        if scene is None:
            return None
        labels = [Label(box=p.box, text=f"person {p.score:.2f}") for p in scene.people] if boxes else []
        return scene.frame.seq, encode_jpeg(scene.frame.image, labels, max_width=max_width)

    def camera_names(self) -> tuple[str, ...]:
        return tuple(self._store.config.cameras)

    def alarm_command(self, command: AlarmCommand, by: str) -> None:
        self._alarm.command(command, by=by)

    def alarm_audit(self) -> list[Document]:
        return self._alarm.audit.entries()[::-1]

    def detect_switch(self, camera: str, on: bool) -> None:
        self._switches.switch(camera, enabled=on)
        log.info("camera %s: detection %s by HTTP", camera, "ON" if on else "OFF")
