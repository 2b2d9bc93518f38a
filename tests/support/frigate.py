"""What Frigate's topics are told through."""

from __future__ import annotations

from detector.core.types import Alert, EventChange, Message, TamperAlert


class RecordingSink:
    """The dispatcher's place: what was passed on, and the last message of each topic."""

    def __init__(self) -> None:
        self.last: dict[str, str] = {}
        self.messages: list[Message] = []
        self.passed: list[object] = []

    def send(self, message: Message) -> None:
        self.messages.append(message)
        self.last[message.topic.removeprefix("frigate/")] = message.payload.decode()

    def change(self, change: EventChange) -> None:
        self.passed.append(change)

    def people(self, camera: str, count: int) -> None:
        self.passed.append((camera, count))

    def motion(self, camera: str, moving: bool) -> None:
        self.passed.append((camera, moving))

    def tamper(self, alert: TamperAlert) -> None:
        self.passed.append(alert)

    def alert(self, alert: Alert) -> None:
        self.passed.append(alert)
