"""Each camera's last alert, as a broker keeps it for whoever comes later: `P/CAM/last_alert`."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from detector.core.types import JsonObject, Message

from .payloads import encode
from .topics import Topics

LAST_ALERTS = "last_alerts"
"""The name under which the outbox keeps them: camera -> document."""
_KEPT = ("id", "event_id", "captured_at", "score", "zones", "repeat", "replayed")


class LastAlerts:
    """Thread-safe. `saved` is what `save` kept, `send` publishes; both return at once."""

    def __init__(
        self,
        *,
        topics: Topics,
        saved: Mapping[str, object] | None,
        save: Callable[[str, JsonObject], None],
        send: Callable[[Message], None],
    ) -> None:
        self._topics, self._save, self._send = topics, save, send
        self._lock = threading.Lock()
        self._last: dict[str, Any] = {name: one for name, one in (saved or {}).items() if isinstance(one, Mapping)}

    def note(self, payload: bytes) -> None:
        """An alert went out; `payload` is its JSON."""
        alert = json.loads(payload)
        camera = str(alert["camera"])
        with self._lock:
            self._last[camera] = {key: alert[key] for key in _KEPT} | {"latency_ms": alert["latency_ms"]["total"]}
            self._save(LAST_ALERTS, self._last)
            self._publish(camera)

    def announce(self, cameras: Iterable[str]) -> None:
        """Publish what is known of `cameras` again; a broker may have forgotten it."""
        with self._lock:
            for camera in cameras:
                if camera in self._last:
                    self._publish(camera)

    def forget(self, camera: str) -> None:
        """The camera was removed."""
        with self._lock:
            if self._last.pop(camera, None) is not None:
                self._save(LAST_ALERTS, self._last)

    def _publish(self, camera: str) -> None:
        payload = encode(self._last[camera])
        self._send(Message(topic=self._topics.last_alert(camera), payload=payload, qos=1, retain=True))
