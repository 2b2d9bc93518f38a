"""A new configuration for a running service: checked whole, written, then applied to what changed."""

from __future__ import annotations

from collections.abc import Callable

from detector.config import document as configfile
from detector.config.schema import Config
from detector.core.errors import ConfigError, ModelError
from detector.models.autotune.choice import scenes_of
from detector.models.autotune.loader import AutotunedLoader
from detector.models.loading import resolve

from .health import HealthMonitor
from .runtime import House

RESTART = ("device", "mqtt", "api", "history", "data_dir")
"""Sections that take effect with the next start: their rooms hold sockets and files."""


class ConfigReloader:
    """`apply(document)`: raises ConfigError naming the key, and then nothing has changed."""

    def __init__(self, *, house: House, watch: HealthMonitor, announce: Callable[[], None]) -> None:
        self._house, self._watch, self._announce = house, watch, announce

    def apply(self, document: configfile.Document) -> list[str]:
        """Make `document` the configuration; returns the sections that wait for a restart."""
        house, new = self._house, configfile.validate(document)
        self._change_model(new, before_swap=lambda: self._write(document))
        old, house.config, house.document = house.config, new, document
        house.desk.reconfigure(new.alarm)
        self._change_cameras(old, new)
        return [key for key in RESTART if getattr(old, key) != getattr(new, key)]

    def _write(self, document: configfile.Document) -> None:
        if self._house.path is not None:
            configfile.write(self._house.path, document, copies=self._house.config.data_dir)

    def _change_model(self, new: Config, *, before_swap: Callable[[], None]) -> None:
        """Load another model beside the old one, so that no frame waits and a bad one changes nothing."""
        if new.model == self._house.config.model:
            before_swap()
            return
        try:
            scenes = tuple(scenes_of(new))
            load = AutotunedLoader(new.model, resolve(new.model), scenes=scenes, told=self._house.ledger.chose)
            detector = load()
        except ModelError as error:
            raise ConfigError(str(error), key="model") from None
        before_swap()
        self._house.ledger.chose(load.choice)
        self._house.worker.swap(detector, load)

    def _change_cameras(self, old: Config, new: Config) -> None:
        house = self._house
        house.cameras.apply(new.cameras)
        for name in old.cameras.keys() - new.cameras.keys():
            house.worker.remove(name)
            house.post.forget_camera(name)
            self._watch.forget(name)
        for name, settings in new.cameras.items():
            if old.cameras.get(name) != settings:
                house.open_room(name, settings)
        self._announce()
