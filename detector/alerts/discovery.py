"""Home Assistant's discovery message, kept in step with the config, and all that the broker retains of us.

What was announced is kept on the disk. What is no longer ours at the next start (a renamed or removed camera, another
device id or prefix, discovery turned off) is cleared at the broker, until the broker has said so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from detector import __version__
from detector.config.schema import Config
from detector.core.types import JsonObject, Message

from .homeassistant import Keypad, discovery_message, discovery_topic
from .topics import Topics

ANNOUNCED = "announced"
"""The name under which the outbox keeps it: `topics` that the broker retains, `discovery` topic, `cameras` in it."""
_HINT = "mqtt.discovery_prefix: null turns discovery off"
_MAX_GONE = 20  # removed cameras that are still named

Send = Callable[[Message, "str | None"], None]
Save = Callable[[str, JsonObject], None]


class Discovery:
    """From any thread, returns at once. `saved` is what `save` kept in an earlier start; see `Dispatcher.send`.

    `further`: what the broker retains of a configuration besides `Topics`.
    """

    def __init__(
        self,
        *,
        topics: Topics,
        send: Send,
        saved: JsonObject | None,
        save: Save,
        further: Callable[[Config], Iterable[str]] = lambda _config: (),
    ) -> None:
        self._topics, self._send, self._save, self._further = topics, send, save, further
        self._lock = threading.Lock()
        self._ours: set[str] = set()
        self._announced: dict[str, Any] = dict(saved or {})

    def announce(self, config: Config, *, page_url: str | None) -> None:
        """Say what there is, and clear what there no longer is."""
        with self._lock:
            prefix = config.mqtt.discovery_prefix
            topic = None if prefix is None else discovery_topic(config.device, prefix)
            self._ours = self._retained(config) | ({topic} if topic else set())
            stale = _texts(self._announced.get("topics")) - self._ours
            cameras = [name for name, camera in config.cameras.items() if camera.enabled]
            gone = self._gone(topic, cameras)
            for one in sorted(stale):
                self._send(Message(topic=one, payload=b"", qos=1, retain=True), _HINT if _is_config(one) else None)
            if prefix is not None:
                self._send(self._message(config, prefix, cameras, gone, page_url), _HINT)
            self._keep(topics=sorted(self._ours | stale), discovery=topic, cameras=[*cameras, *gone])

    def cleared(self, topic: str) -> None:
        """The broker has forgotten `topic`."""
        with self._lock:
            left = _texts(self._announced.get("topics"))
            if topic in left and topic not in self._ours:
                self._keep(topics=sorted(left - {topic}))

    def _message(
        self, config: Config, prefix: str, cameras: list[str], gone: list[str], page_url: str | None
    ) -> Message:
        return discovery_message(
            device=config.device,
            cameras=cameras,
            removed=gone,
            topics=self._topics,
            discovery_prefix=prefix,
            version=__version__,
            configuration_url=page_url,
            keypad=_keypad(config),
        )

    def _gone(self, topic: str | None, cameras: list[str]) -> list[str]:
        """Cameras that this device had: named again, so that a Home Assistant that was away lets go of them too."""
        if topic is None or self._announced.get("discovery") != topic:
            return []
        known = self._announced.get("cameras")
        names = [name for name in known if isinstance(name, str)] if isinstance(known, list) else []
        return [name for name in dict.fromkeys(names) if name not in cameras][-_MAX_GONE:]

    def _retained(self, config: Config) -> set[str]:
        topics = self._topics
        of_cameras = (topics.retained_of(name) for name in config.cameras)
        return set(topics.retained).union(*of_cameras, self._further(config))

    def _keep(self, **changes: object) -> None:
        self._announced = {**self._announced, **changes}
        self._save(ANNOUNCED, self._announced)


def _texts(value: object) -> set[str]:
    """What a file says cannot be trusted to be what was written."""
    return {one for one in value if isinstance(one, str)} if isinstance(value, list) else set()


def _keypad(config: Config) -> Keypad | None:
    code = config.alarm.code
    if code is None:
        return None
    text = code.get_secret_value()
    return "digits" if text.isascii() and text.isdigit() else "text"


def _is_config(topic: str) -> bool:
    return topic.endswith("/config")
