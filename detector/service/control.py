"""What the API sees of the service: `api.control.Control`."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from detector import __version__
from detector.alerts.clips.folder import ClipFolder
from detector.api.control import Health, LatencyCounts, Ready, StaleConfigError
from detector.api.scene_documents import ZoneDraft
from detector.config import document as config_file
from detector.config import remote
from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.jpeg import Label, encode_jpeg
from detector.core.types import AlarmCommand

from .alarm_code import AlarmCode
from .arming import ArmingController
from .camera_switches import CameraSwitches
from .config_store import ConfigStore
from .figure_history import FigureHistory
from .frigate_config import frigate_config
from .health import HealthMonitor
from .latencies import Latencies
from .scene import scene_document
from .status import FindChannel, StatusReporter
from .suppressions import Suppressions
from .zone_preview import MOST_VISITS, preview_zones

log = logging.getLogger(__name__)

Document = dict[str, Any]
Apply = Callable[[config_file.Document], list[str]]
"""Validates a document, makes it the service's; returns the keys that need a restart."""


class VisitHistory(Protocol):
    """What is asked of the history; may wait for the disk."""

    def events(
        self,
        camera: str | None = None,
        after: float | str | None = None,
        limit: int = 50,
        *,
        before: float | str | None = None,
        zone: str | None = None,
        alerted: bool | None = None,
        whole: bool = False,
    ) -> list[Document]: ...

    def event(self, event_id: str) -> Document | None: ...

    def delete(self, event_id: str) -> bool: ...

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
        code: AlarmCode,
        switches: CameraSwitches,
        apply: Apply,
        clips: ClipFolder,
        suppressions: Suppressions,
        figures: FigureHistory,
        latencies: Latencies | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._clock, self._figures = clock, figures
        self._latencies = latencies or Latencies()
        self._suppressions = suppressions
        self._store, self._health, self._status, self._history = store, health, status, history
        self._channel, self._alarm, self._switches, self._apply = channel, alarm, switches, apply
        self._clips, self._code = clips, code

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

    def latencies(self) -> LatencyCounts:
        return self._latencies.counts()

    def figures(self, *, day: bool) -> Document:
        return self._figures.document(day=day)

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

    def events(
        self,
        camera: str | None,
        after: float | None,
        limit: int,
        *,
        before: float | str | None = None,
        zone: str | None = None,
        alerted: bool | None = None,
    ) -> list[Document]:
        return self._history.events(camera, after, limit, before=before, zone=zone, alerted=alerted)

    def delete_event(self, event_id: str) -> bool:
        deleted = self._history.delete(event_id)
        if deleted:
            log.info("visit %s was deleted by HTTP", event_id)
        return deleted

    def scene(self, camera: str) -> Document | None:
        channel, settings = self._channel(camera), self._store.config.cameras.get(camera)
        seen = channel.view.scene() if channel is not None else None
        return None if seen is None or settings is None else scene_document(seen, settings, self._clock.mono())

    def preview_zones(self, camera: str, draft: ZoneDraft) -> Document:
        visits = self._history.events(camera, draft.after, MOST_VISITS, whole=True)
        return preview_zones(visits, camera, self._store.config.cameras[camera].alert, draft)

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

    def frame_seq(self, camera: str) -> int | None:
        channel = self._channel(camera)
        scene = channel.view.scene() if channel is not None else None
        return None if scene is None else scene.frame.seq

    def frigate_config(self) -> Document | None:
        config = self._store.config
        return frigate_config(config, self._status.write()["cameras"]) if config.mqtt.speaks_frigate else None

    def camera_names(self) -> tuple[str, ...]:
        return tuple(self._store.config.cameras)

    def alarm_command(self, command: AlarmCommand, by: str, code: str | None) -> None:
        self._code.check(command, code, state=self._alarm.state)
        self._alarm.command(command, by=by)

    def alarm_audit(self) -> list[Document]:
        return self._alarm.audit.entries()[::-1]

    def detect_switch(self, camera: str, on: bool) -> None:
        self._switches.switch(camera, enabled=on)
        log.info("camera %s: detection %s by HTTP", camera, "ON" if on else "OFF")
