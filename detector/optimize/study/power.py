"""Measures power in W from Linux's sensors: RAPL's energy counters or an INA3221's rails.

RAPL: Documentation/power/powercap, energy_uj in microjoules, wraps at max_energy_range_uj. INA3221 (Jetson):
hwmon's in1_input in mV and curr1_input in mA, channel 1 being the board's input, which tegrastats shows as VDD_IN.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from detector.core.system_info import SystemProbe, read_number


class PowerMeter:
    """Mean watts between `start` and `stop`; None where there is no sensor. Reads sysfs under `root`."""

    def __init__(self, *, root: Path = Path("/sys"), clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._zones = [
            zone for zone in sorted(root.glob("class/powercap/intel-rapl:?")) if read_number(zone / "energy_uj")
        ]
        self._board = SystemProbe(root=root)
        self._begun, self._energy = clock(), self._counters()
        self.sensor = "RAPL" if self._zones else "INA3221" if self._board.read().power_w is not None else None

    def start(self) -> None:
        self._begun, self._energy = self._clock(), self._counters()

    def stop(self) -> float | None:
        """An energy counter's mean since `start`; of a board's rails what they show now, at the end of the load."""
        if not self._zones:
            return self._board.read().power_w if self.sensor else None
        spent, now = self._clock() - self._begun, self._counters()
        joules = sum(self._joules(zone, self._energy[zone], now[zone]) for zone in self._zones)
        return joules / spent if spent > 0 else None

    def _counters(self) -> dict[Path, float]:
        return {zone: read_number(zone / "energy_uj") or 0.0 for zone in self._zones}

    def _joules(self, zone: Path, before: float, after: float) -> float:
        if after < before:  # the counter wrapped
            after += read_number(zone / "max_energy_range_uj") or 0.0
        return max(0.0, after - before) / 1e6
