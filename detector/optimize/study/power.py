"""Mean power in W over a stretch of work, from Linux's sensors."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from detector.core.power_sensor import SYSFS, PowerSensor


class PowerMeter:
    """Mean watts between `start` and `stop`; None where there is no sensor. Reads sysfs under `root`."""

    def __init__(self, *, root: Path = SYSFS, clock: Callable[[], float] = time.monotonic) -> None:
        self._sensor = PowerSensor(root=root, clock=clock)
        self.sensor = self._sensor.name

    def start(self) -> None:
        self._sensor.read()

    def stop(self) -> float | None:
        """An energy counter's mean since `start`; of a board's rails what they show now, at the end of the load."""
        return self._sensor.read()
