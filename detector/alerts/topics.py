"""The MQTT topics that the service publishes to and listens on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topics:
    """The topic names under one prefix; a camera's name or the wildcard `+` goes into the methods."""

    prefix: str

    @property
    def available(self) -> str:
        return f"{self.prefix}/available"

    @property
    def events(self) -> str:
        return f"{self.prefix}/events"

    @property
    def alerts(self) -> str:
        return f"{self.prefix}/alerts"

    @property
    def tamper(self) -> str:
        return f"{self.prefix}/tamper"

    @property
    def clips(self) -> str:
        return f"{self.prefix}/clips"

    @property
    def stats(self) -> str:
        return f"{self.prefix}/stats"

    @property
    def alarm_set(self) -> str:
        return f"{self.prefix}/alarm/set"

    @property
    def alarm_state(self) -> str:
        return f"{self.prefix}/alarm/state"

    @property
    def restart_set(self) -> str:
        return f"{self.prefix}/restart/set"

    @property
    def alarm_attributes(self) -> str:
        return f"{self.prefix}/alarm/attributes"

    @property
    def slo(self) -> str:
        return f"{self.prefix}/slo"

    def person(self, camera: str) -> str:
        return f"{self.prefix}/{camera}/person"

    def motion(self, camera: str) -> str:
        return f"{self.prefix}/{camera}/motion"

    def snapshot(self, camera: str) -> str:
        return f"{self.prefix}/{camera}/person/snapshot"

    def camera_status(self, camera: str) -> str:
        return f"{self.prefix}/{camera}/status"

    def detect_set(self, camera: str) -> str:
        return f"{self.prefix}/{camera}/detect/set"

    def detect_state(self, camera: str) -> str:
        return f"{self.prefix}/{camera}/detect/state"

    def snooze_set(self, camera: str) -> str:
        return f"{self.prefix}/{camera}/snooze/set"

    def snooze_state(self, camera: str) -> str:
        return f"{self.prefix}/{camera}/snooze/state"

    def suppress_set(self, camera: str) -> str:
        return f"{self.prefix}/{camera}/suppress/set"

    def last_alert(self, camera: str) -> str:
        return f"{self.prefix}/{camera}/last_alert"

    @property
    def retained(self) -> list[str]:
        """The device's own topics that a broker keeps a value of."""
        return [self.available, self.alarm_state, self.alarm_attributes, self.slo]

    def retained_of(self, camera: str) -> list[str]:
        """The camera's topics that a broker keeps a value of."""
        return [
            self.person(camera),
            self.camera_status(camera),
            self.detect_state(camera),
            self.snapshot(camera),
            self.snooze_state(camera),
            self.last_alert(camera),
        ]
