"""What each camera's pipeline keeps over restarts: known still places, and who was held back by the cooldown."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any

from detector.core.types import JsonObject

MEMORY_STATE = "memory"
"""The name under which the outbox keeps it: camera names, `CameraPipeline.dump` of each."""


class CameraMemory:
    """`saved` is what was kept, of which only that of `cameras` is used; `save` keeps a new one and returns at once.

    Thread-safe.
    """

    def __init__(
        self,
        *,
        saved: Mapping[str, Any] | None = None,
        cameras: Collection[str] = (),
        save: Callable[[str, JsonObject], None] | None = None,
    ) -> None:
        self._lock = threading.Lock()
        self._documents: dict[str, Any] = {name: saved[name] for name in cameras if saved and name in saved}
        self._save = save

    def of(self, camera: str) -> Mapping[str, Any] | None:
        """What was kept of the camera; None if nothing was."""
        with self._lock:
            document: Mapping[str, Any] | None = self._documents.get(camera)
            return document

    def keep(self, camera: str, document: Mapping[str, Any]) -> None:
        """Keep the camera's document over a restart."""
        with self._lock:
            self._documents = {**self._documents, camera: document}
            if self._save is not None:
                self._save(MEMORY_STATE, self._documents)
