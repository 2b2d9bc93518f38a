"""Takes up the config file again after SIGHUP (`systemctl reload`)."""

from __future__ import annotations

import logging
import threading

from detector.api.control import StaleConfigError
from detector.config import document as config_file
from detector.core.errors import ConfigError

from .config_store import ConfigStore
from .reload import ConfigReloader

log = logging.getLogger(__name__)

LOOK_S = 0.25


class FileReload:
    """A thread; `requested` is all that a signal handler need set."""

    def __init__(self, *, store: ConfigStore, reloader: ConfigReloader, requested: threading.Event) -> None:
        self._store, self._reloader, self._requested = store, reloader, requested

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            if self._requested.wait(LOOK_S):
                self._requested.clear()
                self._reload()

    def _reload(self) -> None:
        path = self._store.path
        if path is None:
            log.warning("SIGHUP: the configuration came from no file, so there is nothing to read again")
            return
        try:
            with self._store.change():
                restart = self._reloader.apply(config_file.read(path), write=False)
        except StaleConfigError:
            self._requested.set()  # another change is on its way: afterwards
        except ConfigError as error:
            log.error("SIGHUP: the old configuration stays: %s", error)  # noqa: TRY400 - the stack says nothing
        else:
            log.info("SIGHUP: %s was read again%s", path, f"; restart for {', '.join(restart)}" if restart else "")
