"""From the worker's findings to the post room: topics, payloads and retained values put on."""

from __future__ import annotations

from collections.abc import Mapping

from detector.core.types import AlarmState, Alert, EventChange, Message

from .dispatcher import Dispatcher
from .payloads import Topics, encode


class EventPublisher:
    """The worker's and the service's way out; every method returns at once."""

    def __init__(self, *, dispatcher: Dispatcher, topics: Topics) -> None:
        self._dispatcher, self._topics = dispatcher, topics

    def change(self, change: EventChange) -> None:
        self._dispatcher.submit(change)

    def alert(self, alert: Alert) -> None:
        self._dispatcher.submit(alert)

    def people(self, camera: str, count: int) -> None:
        self._publish(self._topics.person(camera), str(count), retain=True)

    def motion(self, camera: str, moving: bool) -> None:
        self._publish(self._topics.motion(camera), _on_off(moving))

    def camera_status(self, camera: str, status: str) -> None:
        self._publish(self._topics.camera_status(camera), status, qos=1, retain=True)

    def detect_state(self, camera: str, on: bool) -> None:
        self._publish(self._topics.detect_state(camera), _on_off(on), qos=1, retain=True)

    def alarm_state(self, state: AlarmState) -> None:
        self._publish(self._topics.alarm_state, state, qos=1, retain=True)

    def stats(self, document: Mapping[str, object]) -> None:
        self._dispatcher.submit(Message(topic=self._topics.stats, payload=encode(dict(document))))

    def forget_camera(self, camera: str) -> None:
        """Clear a removed camera's retained topics, so that nobody believes them for ever."""
        names = (self._topics.person, self._topics.camera_status, self._topics.detect_state, self._topics.snapshot)
        for name in names:
            self._dispatcher.submit(Message(topic=name(camera), payload=b"", qos=1, retain=True))

    def send(self, message: Message) -> None:
        self._dispatcher.submit(message)

    def _publish(self, topic: str, text: str, *, qos: int = 0, retain: bool = False) -> None:
        self._dispatcher.submit(Message(topic=topic, payload=text.encode(), qos=qos, retain=retain))


def _on_off(value: bool) -> str:
    return "ON" if value else "OFF"
