"""Tells Home Assistant what there is: at start, after a change, when it comes back, when the page's address changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from detector.alerts.discovery import Discovery
from detector.config.schema import Api

from .config_store import ConfigStore
from .page_address import page_address


class Announcer:
    """`restate` sends every retained state again, `towards_broker` gives this machine's address there.

    `states` are called with the cameras at each announcement, to publish what is not the dispatcher's. `api` is what the API was started with. From any thread; everything returns at once.
    """

    def __init__(
        self,
        *,
        discovery: Discovery,
        restate: Callable[[], None],
        states: Iterable[Callable[[Iterable[str]], None]] = (),
        store: ConfigStore,
        api: Api,
        towards_broker: Callable[[], str | None],
    ) -> None:
        self._discovery, self._restate, self._store = discovery, restate, store
        self._states = tuple(states)
        self._api, self._towards_broker = api, towards_broker
        self._announced: str | None = None
        self._is_announced = False
        self.api_port: int | None = None
        """Where the API listens; None until it does."""

    def announce(self) -> None:
        self._announced, self._is_announced = self._page_address(), True
        self._discovery.announce(self._store.config, page_url=self._announced)
        for state in self._states:
            state(self._store.config.cameras)
        self._restate()

    def connected(self) -> None:
        """A connection to the broker was made: this machine may have another address now."""
        if self._is_announced and self._page_address() != self._announced:
            self.announce()

    def _page_address(self) -> str | None:
        if self.api_port is None:
            return None
        return page_address(self._api, port=self.api_port, towards_broker=self._towards_broker())
