"""What Frigate's clients may ask over MQTT besides `detect/set`: a restart, and no notifications for some minutes.

Its other switches show what the configuration says. A command for one of them changes nothing, and is answered with the
state as it is, so that what was switched shows the truth again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from detector.config.schema import Config

from .frigate_switches import SETTINGS
from .frigate_topics import FrigateTopics
from .mqtt_commands import Handler
from .refused_commands import RefusedCommands
from .snooze import MAX_S, Snoozes

log = logging.getLogger(__name__)

_MAX_DIGITS = 5


class FrigateCommands:
    """`config()` is the configuration of now; nonsense is counted, and has no other effect."""

    def __init__(
        self,
        *,
        config: Callable[[], Config],
        topics: FrigateTopics,
        snoozes: Snoozes,
        restart: threading.Event,
        refused: RefusedCommands,
    ) -> None:
        self._config, self._topics, self._snoozes = config, topics, snoozes
        self._restart, self._refused = restart, refused

    def handlers(self) -> list[tuple[str, Handler]]:
        """(topic filter, handler): what to give the MQTT client before it starts."""
        prefix = self._config().mqtt.topic_prefix
        return [
            (f"{prefix}/restart", self._on_restart),
            (f"{prefix}/+/notifications/suspend", self._on_suspend),
            *((f"{prefix}/+/{setting}/set", self._on_setting) for setting in SETTINGS),
        ]

    def _on_restart(self, _topic: str, _payload: bytes) -> None:
        # Frigate's own has no certain payload.
        log.info("restart by MQTT")
        self._restart.set()

    def _on_suspend(self, topic: str, payload: bytes) -> None:
        camera, minutes = self._camera(topic), payload.strip()
        is_number = minutes.isascii() and minutes.isdigit() and len(minutes) <= _MAX_DIGITS
        if camera is None or not is_number or int(minutes) * 60 > MAX_S:
            known = f"minutes from 0 to {MAX_S // 60} of a camera that is there"
            self._refused.add(topic, f"not a command that is known here: {known}")
            return
        self._snoozes.set(camera, int(minutes) * 60)
        log.info("camera %s: no alerts for %d min by MQTT", camera, int(minutes))

    def _on_setting(self, topic: str, _payload: bytes) -> None:
        camera, setting = self._camera(topic), topic.split("/")[-2]
        if camera is None:
            self._refused.add(topic, "there is no such camera")
            return
        self._refused.add(topic, "not switched over MQTT: change the configuration")
        self._topics.state(camera, setting)

    def _camera(self, topic: str) -> str | None:
        """The camera in `topic`; None where the configuration has none of this name."""
        name = topic.removeprefix(f"{self._config().mqtt.topic_prefix}/").split("/", maxsplit=1)[0]
        return name if name in self._config().cameras else None
