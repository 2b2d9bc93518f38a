"""What subscribers ask of us over MQTT: arm, disarm, detection on and off, discovery again."""

from __future__ import annotations

import logging
from collections.abc import Callable

from detector.alerts.payloads import Topics

from .runtime import House

log = logging.getLogger(__name__)

_MAX_BYTES = 64


class Commands:
    """`handle` is called by the MQTT link with each message of a subscribed topic.

    The link exists before the house does: what comes before `attach` has no effect, and the log says so.
    """

    def __init__(self, *, topics: Topics, discovery_prefix: str | None) -> None:
        self._topics = topics
        self._birth = f"{discovery_prefix}/status" if discovery_prefix else None
        self._house: House | None = None
        self._announce: Callable[[], None] = lambda: None

    def attach(self, *, house: House, announce: Callable[[], None]) -> None:
        """From now on commands have an effect on `house`."""
        self._house, self._announce = house, announce

    def subscriptions(self) -> list[str]:
        """Topic filters."""
        return [self._topics.alarm_set, self._topics.detect_set("+"), *([self._birth] if self._birth else [])]

    def handle(self, topic: str, payload: bytes) -> None:
        """Act on one command; nonsense is named in the log and has no other effect."""
        word = payload[:_MAX_BYTES].decode("utf-8", "replace").strip()
        if self._house is None:
            log.warning("MQTT: %s came while starting and had no effect: send it again", topic)
            return
        try:
            self._act(self._house, topic, word)
        except ValueError:
            log.warning("MQTT: %s: %r is not a command that is known here", topic, word)

    def _act(self, house: House, topic: str, word: str) -> None:
        if topic == self._topics.alarm_set:
            house.desk.command(word.upper())
            log.info("alarm: %s by MQTT: now %s", word.upper(), house.desk.state)
        elif topic == self._birth:
            if word == "online":
                self._announce()
        else:
            self._switch(house, topic, word.upper())

    def _switch(self, house: House, topic: str, word: str) -> None:
        named = [name for name in house.config.cameras if topic == self._topics.detect_set(name)]
        if not named or word not in ("ON", "OFF"):
            raise ValueError(word)
        house.switch_detection(named[0], enabled=word == "ON")
        log.info("camera %s: detection %s by MQTT", named[0], word)
