"""Tells Home Assistant what there is: at start, after a change, and when it comes back."""

from __future__ import annotations

from collections.abc import Callable

from detector.alerts.discovery import Discovery

from .config_store import ConfigStore


class Announcer:
    """`restate` sends every retained state again. `page_url` is known once the API listens."""

    def __init__(self, *, discovery: Discovery, restate: Callable[[], None], store: ConfigStore) -> None:
        self._discovery, self._restate, self._store = discovery, restate, store
        self.page_url: str | None = None

    def announce(self) -> None:
        """From any thread; returns at once."""
        self._discovery.announce(self._store.config, page_url=self.page_url)
        self._restate()
