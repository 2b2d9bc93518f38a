"""What Frigate publishes beside this project's own topics: counts of all, active and zones, reviews, switches' states.

It stands between the inference loop and the dispatcher, and passes everything on.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from detector.alerts.payloads import encode
from detector.alerts.reviews import ReviewTracker
from detector.config.schema import Config
from detector.core.types import Alert, Event, EventChange, Message, TamperAlert

from .frigate_switches import SETTINGS, states
from .inference_loop import FindingsSink

_COUNTS = ("all", "all/active", "person/active")
_SUSPENDED = "notifications/suspended"
_OF_CAMERA = (*(f"{name}/state" for name in SETTINGS), "review_status", _SUSPENDED, *_COUNTS)


def retained_topics(config: Config) -> set[str]:
    """What the broker keeps of `config` besides this project's own topics; nothing while Frigate's shapes are off."""
    if not config.mqtt.speaks_frigate:
        return set()
    zones = {zone for camera in config.cameras.values() for zone in camera.zones}
    names = {f"{camera}/{name}" for camera in config.cameras for name in _OF_CAMERA}
    names |= {f"{zone}/{name}" for zone in zones for name in (*_COUNTS, "person")}
    return {f"{config.mqtt.topic_prefix}/{name}" for name in names}


class FrigateSink(FindingsSink, Protocol):
    """The dispatcher, as far as it is needed here."""

    def alert(self, alert: Alert) -> None: ...

    def send(self, message: Message) -> None: ...


class FrigateTopics:
    """From any thread; everything returns at once. `config()` is the configuration of now."""

    def __init__(self, *, sink: FrigateSink, config: Callable[[], Config]) -> None:
        self._sink, self._config = sink, config
        self._lock = threading.Lock()
        self._reviews = ReviewTracker()
        self._visits: dict[str, Event] = {}
        self._counts: dict[str, int] = {}
        self._severities: dict[str, str] = {}

    def announce(self) -> None:
        """Say the states of the switches and of what is counted: at start, and after a change of the configuration."""
        config = self._config()
        for name, camera in config.cameras.items():
            for setting, text in states(camera).items():
                self._send(f"{name}/{setting}/state", text, retain=True)
        with self._lock:
            self._count()
            for name in config.cameras:
                self._say_severity(name)

    def forget(self, camera: str) -> None:
        """Clear what the broker keeps of a camera that was removed; its counts go with the next `announce`."""
        for name in set(_OF_CAMERA) - set(_COUNTS):
            self._send(f"{camera}/{name}", "", retain=True)
        with self._lock:
            self._severities.pop(camera, None)

    def state(self, camera: str, setting: str) -> None:
        """Say a setting's state again: to who asked for another one."""
        self._send(f"{camera}/{setting}/state", states(self._config().cameras[camera])[setting], retain=True)

    def snoozed(self, camera: str, until: float | None) -> None:
        """The camera raises no alerts until then (epoch s), which Frigate calls suspended notifications."""
        self._send(f"{camera}/{_SUSPENDED}", str(int(until or 0)), retain=True)

    # What the inference loop finds

    def people(self, camera: str, count: int) -> None:
        self._sink.people(camera, count)

    def motion(self, camera: str, moving: bool) -> None:
        self._sink.motion(camera, moving)

    def tamper(self, alert: TamperAlert) -> None:
        self._sink.tamper(alert)

    def change(self, change: EventChange) -> None:
        self._sink.change(change)
        with self._lock:
            if change.type == "end":
                self._visits.pop(change.after.id, None)
            else:
                self._visits[change.after.id] = change.after
            self._count()
            self._say_reviews(change.after.camera, self._reviews.change(change))

    def alert(self, alert: Alert) -> None:
        self._sink.alert(alert)
        with self._lock:
            self._say_reviews(alert.camera, self._reviews.alert(alert.camera))

    # -- inside, under the lock

    def _count(self) -> None:
        """People in each camera and zone, and those of them who move; only what has changed is sent."""
        config = self._config()
        places = [*config.cameras, *(zone for camera in config.cameras.values() for zone in camera.zones)]
        everybody, active = self._by_place(self._visits.values()), self._by_place(self._moving())
        counts: dict[str, int] = {}
        for place in places:
            counts |= {f"{place}/all": everybody[place], f"{place}/all/active": active[place]}
            counts[f"{place}/person/active"] = active[place]
            if place not in config.cameras:  # a camera's own number of people is its own topic already
                counts[f"{place}/person"] = everybody[place]
        for topic in self._counts.keys() - counts.keys():
            self._send(topic, "", retain=True)
        for topic, count in counts.items():
            if self._counts.get(topic) != count:
                self._send(topic, str(count), retain=True)
        self._counts = counts

    def _moving(self) -> Iterable[Event]:
        return (event for event in self._visits.values() if not event.stationary)

    @staticmethod
    def _by_place(events: Iterable[Event]) -> Counter[str]:
        return Counter(place for event in events for place in {event.camera, *event.current_zones})

    def _say_reviews(self, camera: str, messages: Iterable[dict[str, Any]]) -> None:
        for message in messages:
            topic = f"{self._config().mqtt.topic_prefix}/reviews"
            self._sink.send(Message(topic=topic, payload=encode(message), qos=1))
        self._say_severity(camera)

    def _say_severity(self, camera: str) -> None:
        severity = (self._reviews.severity(camera) or "none").upper()
        if self._severities.get(camera) != severity:
            self._severities[camera] = severity
            self._send(f"{camera}/review_status", severity, retain=True)

    def _send(self, topic: str, text: str, *, retain: bool = False) -> None:
        prefix = self._config().mqtt.topic_prefix
        self._sink.send(Message(topic=f"{prefix}/{topic}", payload=text.encode(), retain=retain))
