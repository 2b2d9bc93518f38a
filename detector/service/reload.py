"""A new configuration for a running service: checked whole, written, then applied to what changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from detector.alerts.notify.notifications import check_targets
from detector.analytics.evidence_curves import EvidenceCurves
from detector.config import document as config_file
from detector.config.schema import Camera, Config
from detector.core.errors import ConfigError, ModelError
from detector.inference.multi_size import AnyDetector
from detector.models.autotune.choice import scenes_of
from detector.models.autotune.loader import AutotunedLoader
from detector.models.autotune.status import AutotuneStatus
from detector.models.loading import resolve

from .alarm_controller import AlarmController
from .arming import ArmingController
from .camera_status import CameraStatusPublisher
from .camera_switches import CameraSwitches
from .config_store import ConfigStore
from .model_host import ModelHost

RESTART = ("device", "mqtt", "presence", "api", "history", "notify", "log", "data_dir")
"""Sections that take effect with the next start: they decide about sockets and files that are open."""

NewModel = tuple[AnyDetector, AutotunedLoader]


class CaptureSet(Protocol):
    """The part of Cameras that is needed here."""

    def apply(self, wanted: Mapping[str, Camera]) -> None: ...


class ConfigReloader:
    """Raises ConfigError naming the key, and then nothing has changed. Call it inside `ConfigStore.change`."""

    def __init__(
        self,
        *,
        store: ConfigStore,
        model: ModelHost,
        autotune: AutotuneStatus,
        alarm: AlarmController,
        arming: ArmingController,
        cameras: CaptureSet,
        switches: CameraSwitches,
        status: CameraStatusPublisher,
        remove_camera: Callable[[str], None],
        announce: Callable[[], None],
        use_curves: Callable[[EvidenceCurves | None], None],
    ) -> None:
        self._use_curves = use_curves
        self._store, self._model, self._autotune, self._alarm = store, model, autotune, alarm
        self._arming = arming
        self._cameras, self._switches, self._status = cameras, switches, status
        self._remove_camera, self._announce = remove_camera, announce

    def apply(self, document: config_file.Document, *, write: bool = True) -> list[str]:
        """Make `document` the configuration, in the file too; returns the sections that wait for a restart."""
        old, new = self._store.config, config_file.validate(document)
        if new.notify != old.notify:
            check_targets(new.notify)
        # A new model is loaded beside the old one: no frame waits for it, and one that fails changes nothing.
        fresh, curves = self._load_model(new) if new.model != old.model else (None, None)
        if write:
            self._store.write(document)
        self._store.replace(document, new)
        if fresh is not None:
            self._autotune.chose(fresh[1].choice)
            self._model.swap(*fresh)
            self._use_curves(curves)
        self._alarm.use_settings(new.alarm)
        self._arming.use_config(new)
        self._change_cameras(old, new)
        return [key for key in RESTART if getattr(old, key) != getattr(new, key)]

    def _load_model(self, new: Config) -> tuple[NewModel, EvidenceCurves | None]:
        try:
            resolved = resolve(new.model)
            load = AutotunedLoader(new.model, resolved, scenes=tuple(scenes_of(new)), on_change=self._autotune.chose)
            return (load(), load), resolved.curves
        except ModelError as error:
            raise ConfigError(str(error), key="model") from None

    def _change_cameras(self, old: Config, new: Config) -> None:
        self._cameras.apply(new.cameras)
        for name in old.cameras.keys() - new.cameras.keys():
            self._remove_camera(name)
            self._status.forget(name)
        for name, settings in new.cameras.items():
            rescored = settings.alert.confirm == "evidence" and new.model != old.model
            if rescored or old.cameras.get(name) != settings:
                self._switches.open_channel(name, settings)
        self._announce()
