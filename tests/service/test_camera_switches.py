from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from detector.config.schema import Camera
from detector.core.types import JsonObject
from detector.service.camera_switches import DETECT_STATE, CameraSwitches

PORCH = Camera.model_validate({"source": "a.mp4"})


@dataclass
class RecordedSwitches:
    """The inference loop's channels, the store and the publisher, written down."""

    channels: dict[str, bool] = field(default_factory=dict)
    saved: list[tuple[str, JsonObject]] = field(default_factory=list)
    published: list[tuple[str, bool]] = field(default_factory=list)

    def add(self, name: str, _settings: Camera, *, enabled: bool) -> None:
        self.channels[name] = enabled

    def remove(self, name: str) -> None:
        self.channels.pop(name, None)

    def switch(self, name: str, *, enabled: bool) -> None:
        if name not in self.channels:
            raise KeyError(name)
        self.channels[name] = enabled

    def switches(self, saved: JsonObject | None = None) -> CameraSwitches:
        return CameraSwitches(
            saved=saved,
            channels=self,
            save=lambda name, document: self.saved.append((name, document)),
            publish=lambda camera, on: self.published.append((camera, on)),
        )


def test_detection_is_on_unless_it_was_switched_off() -> None:
    recorded = RecordedSwitches()
    switches = recorded.switches({"porch": False, "gate": True})
    for name in ("porch", "gate", "yard"):
        switches.open_channel(name, PORCH)
    assert recorded.channels == {"porch": False, "gate": True, "yard": True}
    assert recorded.published == [("porch", False), ("gate", True), ("yard", True)]


def test_a_disabled_camera_has_no_channel() -> None:
    recorded = RecordedSwitches()
    switches = recorded.switches()
    switches.open_channel("porch", PORCH)
    switches.open_channel("porch", Camera.model_validate({"source": "a.mp4", "enabled": False}))
    assert recorded.channels == {}


def test_a_switch_is_kept_and_published() -> None:
    recorded = RecordedSwitches()
    switches = recorded.switches({"gate": False})
    switches.open_channel("porch", PORCH)
    switches.switch("porch", enabled=False)
    assert recorded.saved == [(DETECT_STATE, {"gate": False, "porch": False})]
    assert recorded.published[-1] == ("porch", False)
    assert recorded.switches(recorded.saved[-1][1]).detect_enabled("porch") is False


def test_an_unknown_camera_changes_nothing() -> None:
    recorded = RecordedSwitches()
    with pytest.raises(KeyError):
        recorded.switches().switch("attic", enabled=False)
    assert (recorded.saved, recorded.published) == ([], [])
