"""What subscribers may ask over MQTT: arm, disarm, detection on and off, "nobody is here", discovery again."""

from __future__ import annotations

import logging
from collections.abc import Callable

from detector.alerts.payloads import Topics
from detector.alerts.snapshot_files import safe_id
from detector.core.clock import SYSTEM_CLOCK, Clock

from .arming import ArmingController
from .camera_switches import CameraSwitches
from .config_store import ConfigStore
from .suppressions import Suppressions

log = logging.getLogger(__name__)

_MAX_BYTES = 64
LINE_S = 60.0  # between two lines about nonsense
Handler = Callable[[str, bytes], None]


class MqttCommands:
    """Each handler acts on one message; nonsense is named in the log and has no other effect."""

    def __init__(
        self,
        *,
        topics: Topics,
        store: ConfigStore,
        alarm: ArmingController,
        switches: CameraSwitches,
        announce: Callable[[], None],
        suppressions: Suppressions,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._topics, self._store, self._alarm = topics, store, alarm
        self._switches, self._announce = switches, announce
        self._clock, self._suppressions = clock, suppressions
        self._next_line = 0.0
        self.refused = 0  # commands that made no sense, since the start

    def handlers(self) -> list[tuple[str, Handler]]:
        """(topic filter, handler): what to give the MQTT client before it starts."""
        prefix = self._store.config.mqtt.discovery_prefix
        birth = [(f"{prefix}/status", self._on_birth)] if prefix else []
        return [
            (self._topics.alarm_set, self._on_alarm),
            (self._topics.detect_set("+"), self._on_detect),
            (self._topics.suppress_set("+"), self._on_suppress),
            *birth,
        ]

    def _on_alarm(self, topic: str, payload: bytes) -> None:
        word = _word(payload).upper()
        try:
            self._alarm.command(word, by="MQTT")
        except ValueError:
            self._refuse(topic, word)

    def on_retained_alarm(self, _topic: str, payload: bytes) -> None:
        """A retained command was given to nobody in particular, perhaps long ago: it is written down, nothing else."""
        self._alarm.ignored(_word(payload).upper())

    def _on_detect(self, topic: str, payload: bytes) -> None:
        word = _word(payload).upper()
        camera = next((name for name in self._store.config.cameras if topic == self._topics.detect_set(name)), None)
        if camera is None or word not in ("ON", "OFF"):
            self._refuse(topic, word)
            return
        try:
            self._switches.switch(camera, enabled=word == "ON")
        except KeyError:  # disabled in the config
            self._refuse(topic, word)
            return
        log.info("camera %s: detection %s by MQTT", camera, word)

    def _on_suppress(self, topic: str, payload: bytes) -> None:
        word = _word(payload)
        camera = next((name for name in self._store.config.cameras if topic == self._topics.suppress_set(name)), None)
        if camera is None or not safe_id(word):
            self._refuse(topic, word)
            return
        self._suppressions.ask_soon(camera, word, refused=lambda _why: self._refuse(topic, word))

    def _on_birth(self, _topic: str, payload: bytes) -> None:
        if _word(payload) == "online":
            self._announce()

    def _refuse(self, topic: str, word: str) -> None:
        """One line a minute at most: who can send one nonsense can send thousands."""
        self.refused += 1
        now = self._clock.mono()
        if now >= self._next_line:
            self._next_line = now + LINE_S
            log.warning(
                "MQTT: %s: %r is not a command that is known here, or not one that can be followed now "
                "(%d so far, one line a minute)",
                topic,
                word,
                self.refused,
            )


def _word(payload: bytes) -> str:
    return payload[:_MAX_BYTES].decode("utf-8", "replace").strip()
