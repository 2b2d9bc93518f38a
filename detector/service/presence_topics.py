"""What phones say over MQTT, as messages for the alarm: who is at home."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from detector.config.arming import Person
from detector.config.schema import Config
from detector.core.clock import SYSTEM_CLOCK, Clock

from .arming import ArmingController
from .presence import meaning

log = logging.getLogger(__name__)

_MAX_BYTES = 64
LINE_S = 60.0  # between two lines about nonsense
Handler = Callable[[str, bytes], None]


class PresenceTopics:
    """`handlers` is what to give the MQTT client before it starts; nonsense is logged once a minute and counted."""

    def __init__(self, *, config: Config, arming: ArmingController, clock: Clock = SYSTEM_CLOCK) -> None:
        self._people, self._arming, self._clock = dict(config.presence.topics), arming, clock
        self._next_line = 0.0
        self.refused = 0

    def handlers(self) -> list[tuple[str, Handler, Handler]]:
        """(topic, handler of live messages, handler of retained ones): one row a topic, of whichever people."""
        topics = dict.fromkeys(person.topic for person in self._people.values())
        return [(topic, partial(self._take, retained=False), partial(self._take, retained=True)) for topic in topics]

    def _take(self, topic: str, payload: bytes, *, retained: bool) -> None:
        text = payload.decode("utf-8", "replace") if len(payload) <= _MAX_BYTES * 4 else ""
        people = [(name, person) for name, person in self._people.items() if person.topic == topic]
        understood = [self._one(name, person, text, retained=retained) for name, person in people]
        if not any(understood):
            self._refuse(topic, text)

    def _one(self, name: str, person: Person, text: str, *, retained: bool) -> bool:
        where = meaning(person, text)
        if where is not None:
            self._arming.person(name, where, retained=retained)
        return where is not None

    def _refuse(self, topic: str, text: str) -> None:
        self.refused += 1
        now = self._clock.mono()
        if now >= self._next_line:
            self._next_line = now + LINE_S
            log.warning(
                "MQTT: %s: %r says neither home nor away, see presence.topics (%d so far, one line a minute)",
                topic,
                text[:_MAX_BYTES],
                self.refused,
            )
