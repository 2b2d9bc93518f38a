"""Cameras that raise no alerts for a while because somebody said so; visits are recorded all the same.

A snoozed camera is as one that the alarm is not armed for; that its view is taken away is still reported.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

from detector.alerts.payloads import encode
from detector.alerts.topics import Topics
from detector.core.clock import Clock
from detector.core.types import JsonObject, Message

log = logging.getLogger(__name__)

SNOOZE_STATE = "snooze"
"""The name under which the outbox keeps it: camera -> `until` (epoch s), `seconds` as asked for."""
MAX_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Snooze:
    """`until_wall` epoch s, `until_mono` monotonic s, `seconds` as asked for."""

    seconds: int
    until_wall: float
    until_mono: float

    def document(self) -> JsonObject:
        """What is published on `P/CAM/snooze/state`."""
        until = datetime.fromtimestamp(self.until_wall, tz=timezone.utc).isoformat(timespec="seconds")
        return {"snoozed": True, "seconds": self.seconds, "until": until.replace("+00:00", "Z")}


AWAKE: JsonObject = {"snoozed": False, "seconds": 0, "until": None}


class Snoozes:
    """Thread-safe. `saved` is what `save` kept, `send` publishes; both return at once.

    `listener(camera, until)` is told each state as it is published: epoch s, None for a camera that alerts.
    """

    def __init__(
        self,
        *,
        topics: Topics,
        saved: Mapping[str, object] | None,
        save: Callable[[str, JsonObject], None],
        send: Callable[[Message], None],
        clock: Clock,
        listener: Callable[[str, float | None], None] | None = None,
    ) -> None:
        self._topics, self._save, self._send, self._clock = topics, save, send, clock
        self._listener = listener
        self._lock = threading.Lock()
        self._snoozes = {name: found for name, entry in (saved or {}).items() if (found := self._restored(entry))}

    def set(self, camera: str, seconds: int) -> None:
        """No alerts of the camera for `seconds` from now, 0 ends that; raises ValueError outside 0..MAX_S."""
        if not 0 <= seconds <= MAX_S:
            raise ValueError(f"seconds must be between 0 and {MAX_S}")
        with self._lock:
            if seconds:
                wall, mono = self._clock.wall(), self._clock.mono()
                self._snoozes[camera] = Snooze(seconds=seconds, until_wall=wall + seconds, until_mono=mono + seconds)
            else:
                self._snoozes.pop(camera, None)
            self._keep()
            self._publish(camera)

    def is_snoozed(self, camera: str) -> bool:
        snooze = self._snoozes.get(camera)
        return snooze is not None and self._clock.mono() < snooze.until_mono

    def until(self, camera: str) -> str | None:
        """When the camera alerts again, RFC 3339; None while it does."""
        with self._lock:
            return str(self._document(camera)["until"]) if self.is_snoozed(camera) else None

    def tick(self) -> None:
        """End and announce what is over."""
        with self._lock:
            over = [name for name in self._snoozes if not self.is_snoozed(name)]
            for name in over:
                del self._snoozes[name]
                self._publish(name)
                log.info("camera %s: alerts again, its snooze is over", name)
            if over:
                self._keep()

    def announce(self, cameras: Iterable[str]) -> None:
        """Publish the state of `cameras` as it is."""
        with self._lock:
            for camera in cameras:
                self._publish(camera)

    def forget(self, camera: str) -> None:
        """The camera was removed."""
        with self._lock:
            if self._snoozes.pop(camera, None) is not None:
                self._keep()

    def _document(self, camera: str) -> JsonObject:
        snooze = self._snoozes.get(camera)
        return AWAKE if snooze is None else snooze.document()

    def _publish(self, camera: str) -> None:
        payload = encode(self._document(camera))
        self._send(Message(topic=self._topics.snooze_state(camera), payload=payload, qos=1, retain=True))
        if self._listener is not None:
            snooze = self._snoozes.get(camera)
            self._listener(camera, None if snooze is None else snooze.until_wall)

    def _keep(self) -> None:
        kept = {name: {"until": one.until_wall, "seconds": one.seconds} for name, one in self._snoozes.items()}
        self._save(SNOOZE_STATE, kept)

    def _restored(self, entry: object) -> Snooze | None:
        """What is left of a snooze after a restart; a wall clock that was set back makes it no longer than it was."""
        try:
            until, seconds = float(entry["until"]), float(entry["seconds"])  # type: ignore[index]  # a file may hold anything
        except (KeyError, TypeError, ValueError, OverflowError):
            return None
        left = min(until - self._clock.wall(), seconds, float(MAX_S))
        if not left > 0 or not math.isfinite(left):
            return None
        return Snooze(
            seconds=int(min(seconds, MAX_S)), until_wall=self._clock.wall() + left, until_mono=self._clock.mono() + left
        )
