"""What the API sees of the service: `api.control.Control`, answered from the house."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable
from typing import Any

from detector import __version__
from detector.api.control import Health, Ready, StaleConfigError
from detector.config import document as configfile
from detector.config import remote
from detector.core.jpeg import Label, encode_jpeg
from detector.core.types import AlarmCommand

from .health import HealthMonitor
from .runtime import House
from .status import StatusReporter

log = logging.getLogger(__name__)

Document = dict[str, Any]
Apply = Callable[[configfile.Document], list[str]]
"""Validates a document, makes it the service's; returns the keys that need a restart."""


class ServiceControl:
    """Thread-safe; every document is a copy without secrets."""

    def __init__(self, *, house: House, watch: HealthMonitor, report: StatusReporter, apply: Apply) -> None:
        self._house, self._watch, self._report, self._apply = house, watch, report, apply

    def version(self) -> Document:
        return {
            "version": __version__,
            "device": self._house.config.device.id,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "uptime_s": round(self._house.clock.mono() - self._house.started_mono, 1),
        }

    def status(self) -> Document:
        return self._report.write()

    def health(self) -> Health:
        return self._watch.health()

    def ready(self) -> Ready:
        return self._watch.ready()

    def config_document(self) -> tuple[Document, str]:
        with self._house.changing:
            return self._shown()

    def _shown(self) -> tuple[Document, str]:
        return configfile.masked(self._house.document), configfile.etag(self._house.document)

    def replace_config(self, document: Document, if_match: str | None) -> tuple[Document, str, list[str]]:
        with self._house.changing:
            current = self._house.document
            if if_match not in (None, "*", configfile.etag(current)):
                raise StaleConfigError
            restart = self._apply(remote.accepted(document, current))
            log.info("the configuration was replaced%s", f"; restart for {', '.join(restart)}" if restart else "")
            return (*self._shown(), restart)

    def events(self, camera: str | None, after: float | None, limit: int) -> list[Document]:
        return self._house.history.events(camera=camera, after=after, limit=limit)

    def event(self, event_id: str) -> Document | None:
        return self._house.history.event(event_id)

    def snapshot(self, event_id: str) -> bytes | None:
        return self._house.history.snapshot(event_id)

    def latest_jpeg(self, camera: str, *, boxes: bool, max_width: int | None) -> tuple[int, bytes] | None:
        room = self._house.worker.room(camera)
        scene = room.view.scene() if room is not None else None
        if scene is None:
            return None
        labels = [Label(box=p.box, text=f"person {p.score:.2f}") for p in scene.people] if boxes else []
        return scene.frame.seq, encode_jpeg(scene.frame.image, labels, max_width=max_width)

    def camera_names(self) -> tuple[str, ...]:
        return tuple(self._house.config.cameras)

    def alarm_command(self, command: AlarmCommand) -> None:
        self._house.desk.command(command)
        log.info("alarm: %s by HTTP: now %s", command, self._house.desk.state)

    def detect_switch(self, camera: str, on: bool) -> None:
        self._house.switch_detection(camera, enabled=on)
        log.info("camera %s: detection %s by HTTP", camera, "ON" if on else "OFF")
