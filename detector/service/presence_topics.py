"""What phones say over MQTT, as messages for the alarm: who is at home."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from detector.config.arming import Person
from detector.config.schema import Config
from detector.mqtt.client import MqttClient

from .arming import ArmingController
from .presence import meaning
from .refused_commands import RefusedCommands

_MAX_BYTES = 64
Handler = Callable[[str, bytes], None]


class PresenceTopics:
    """Nonsense is counted and named among the refused commands; it says nothing about anybody."""

    def __init__(self, *, config: Config, arming: ArmingController, refused: RefusedCommands) -> None:
        self._people, self._arming, self._refused = dict(config.presence.topics), arming, refused

    def subscribe(self, client: MqttClient) -> None:
        """Before the client starts."""
        for topic, handler, retained in self.handlers():
            client.subscribe(topic, handler)
            client.subscribe_retained(topic, retained)

    def handlers(self) -> list[tuple[str, Handler, Handler]]:
        """(topic, handler of live messages, handler of retained ones): one row a topic, of whichever people."""
        topics = dict.fromkeys(person.topic for person in self._people.values())
        return [(topic, partial(self._take, retained=False), partial(self._take, retained=True)) for topic in topics]

    def _take(self, topic: str, payload: bytes, *, retained: bool) -> None:
        text = payload.decode("utf-8", "replace") if len(payload) <= _MAX_BYTES * 4 else ""
        people = [(name, person) for name, person in self._people.items() if person.topic == topic]
        understood = [self._one(name, person, text, retained=retained) for name, person in people]
        if not any(understood):
            self._refused.add(topic, f"{text[:_MAX_BYTES]!r} says neither home nor away, see presence.topics")

    def _one(self, name: str, person: Person, text: str, *, retained: bool) -> bool:
        where = meaning(person, text)
        if where is not None:
            self._arming.person(name, where, retained=retained)
        return where is not None
