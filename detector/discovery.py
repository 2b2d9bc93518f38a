"""Home Assistant's discovery message, kept in step with the config."""

from __future__ import annotations

from collections.abc import Callable

from . import __version__
from .alerts.homeassistant import discovery_message
from .alerts.payloads import Topics
from .config import Config
from .types import Message


class Discovery:
    """`announce` sends the message of the cameras as they are; nothing where discovery is off."""

    def __init__(self, *, topics: Topics, send: Callable[[Message], None]) -> None:
        self._topics, self._send = topics, send

    def announce(self, config: Config, *, page_url: str | None) -> None:
        if config.mqtt.discovery_prefix is None:
            return
        self._send(
            discovery_message(
                device=config.device,
                cameras=tuple(name for name, camera in config.cameras.items() if camera.enabled),
                topics=self._topics,
                discovery_prefix=config.mqtt.discovery_prefix,
                version=__version__,
                configuration_url=page_url,
            )
        )
