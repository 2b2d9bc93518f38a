"""Home Assistant's discovery message, kept in step with the config."""

from __future__ import annotations

from collections.abc import Callable

from detector import __version__
from detector.config.schema import Config
from detector.core.types import Message

from .homeassistant import discovery_message
from .payloads import Topics


class Discovery:
    """`announce` sends the message of the cameras as they are; nothing where discovery is off."""

    def __init__(self, *, topics: Topics, send: Callable[[Message], None]) -> None:
        self._topics, self._send = topics, send
        self._known: set[str] = set()

    def announce(self, config: Config, *, page_url: str | None) -> None:
        if config.mqtt.discovery_prefix is None:
            return
        cameras = [name for name, camera in config.cameras.items() if camera.enabled]
        # Once gone, a camera is named for good: whoever was offline then must learn of it too.
        self._known |= set(cameras)
        self._send(
            discovery_message(
                device=config.device,
                cameras=cameras,
                removed=self._known - set(cameras),
                topics=self._topics,
                discovery_prefix=config.mqtt.discovery_prefix,
                version=__version__,
                configuration_url=page_url,
            )
        )
