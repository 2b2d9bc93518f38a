"""Which cameras detection is switched on for, kept over restarts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from detector.config.schema import Camera
from detector.core.types import JsonObject

DETECT_STATE = "detect"
"""The name under which the outbox keeps it: camera names, false where detection was switched off."""


class CameraChannels(Protocol):
    """The part of InferenceLoop that is needed here."""

    def add(self, name: str, settings: Camera, *, enabled: bool) -> None: ...

    def remove(self, name: str) -> None: ...

    def switch(self, name: str, *, enabled: bool) -> None: ...


class CameraSwitches:
    """`saved` is what was kept, `save` keeps a new one, `publish(camera, on)` announces it; both return at once."""

    def __init__(
        self,
        *,
        saved: Mapping[str, object] | None,
        channels: CameraChannels,
        save: Callable[[str, JsonObject], None],
        publish: Callable[[str, bool], None],
    ) -> None:
        self._switches = dict(saved or {})
        self._channels, self._save, self._publish = channels, save, publish

    def detect_enabled(self, camera: str) -> bool:
        """On unless it was switched off."""
        return self._switches.get(camera) is not False

    def open_channel(self, name: str, settings: Camera) -> None:
        """A channel for the camera in the inference loop, or none while it is disabled in the config."""
        if not settings.enabled:
            self._channels.remove(name)
            return
        enabled = self.detect_enabled(name)
        self._channels.add(name, settings, enabled=enabled)
        self._publish(name, enabled)

    def switch(self, camera: str, *, enabled: bool) -> None:
        """Turn a camera's detection on or off, publish and keep that; raises KeyError."""
        self._channels.switch(camera, enabled=enabled)
        self._switches = {**self._switches, camera: enabled}
        self._save(DETECT_STATE, self._switches)
        self._publish(camera, enabled)
