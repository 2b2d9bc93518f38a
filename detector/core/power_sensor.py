"""Power in W from Linux's sensors: RAPL's energy counters, or the rails of a board's power monitors.

RAPL (Intel, AMD): Documentation/power/powercap; energy_uj in microjoules wraps at max_energy_range_uj, and is root's
alone on most machines. INA3221 (Jetson): hwmon's inN_input in mV and currN_input in mA; on JetPack 4 the same as
in_powerN_input in mW of an IIO device.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .sysfs import read_number, read_text

SYSFS = Path("/sys")
_WHOLE_BOARD = ("VDD_IN", "POM_5V_IN", "VIN_SYS_5V0")
"""Rails that feed the others: what tegrastats shows first. Where there is none the rails are added up."""
_LEAST_S = 0.1  # an energy counter moves about once a millisecond


class PowerSensor:
    """Reads sysfs under `root`; not thread-safe. `name` is None where there is no sensor that can be read."""

    def __init__(self, *, root: Path = SYSFS, clock: Callable[[], float] = time.monotonic) -> None:
        self._root, self._clock = root, clock
        zones = sorted(root.glob("class/powercap/intel-rapl:?"))
        # The whole platform, where it is counted, holds the packages once more.
        self._zones = [zone for zone in zones if read_text(zone / "name") != "psys" and read_number(zone / "energy_uj")]
        self._at, self._energy = clock(), self._counters()
        self._watts: float | None = None
        self.name = "RAPL" if self._zones else "INA3221" if self._rails() else None

    def read(self) -> float | None:
        """W: the mean since the last read of an energy counter, of rails what they show now; None: not known."""
        if not self._zones:
            rails = self._rails()
            return sum(rails.values()) if rails else None
        now = self._clock()
        if now - self._at >= _LEAST_S:
            counters = self._counters()
            joules = sum(self._joules(zone, self._energy[zone], counters[zone]) for zone in self._zones)
            self._watts = joules / (now - self._at)
            self._at, self._energy = now, counters
        return self._watts

    def _counters(self) -> dict[Path, float]:
        return {zone: read_number(zone / "energy_uj") or 0.0 for zone in self._zones}

    def _joules(self, zone: Path, before: float, after: float) -> float:
        if after < before:  # the counter wrapped
            after += read_number(zone / "max_energy_range_uj") or 0.0
        return max(0.0, after - before) / 1e6

    def _rails(self) -> dict[str, float]:
        """W by rail: the one that feeds the board alone, if there is one."""
        rails = dict(self._hwmon_rails()) or dict(self._iio_rails())
        whole = next((name for name in _WHOLE_BOARD if name in rails), None)
        return rails if whole is None else {whole: rails[whole]}

    def _hwmon_rails(self) -> Iterator[tuple[str, float]]:
        for monitor in sorted(self._root.glob("class/hwmon/hwmon*")):
            if not (read_text(monitor / "name") or "ina").startswith("ina"):
                continue  # a mainboard's or battery's voltages
            for volts in sorted(monitor.glob("in?_input")):
                amps = read_number(monitor / f"curr{volts.name[2]}_input")
                millivolts = read_number(volts)
                label = read_text(monitor / f"in{volts.name[2]}_label") or f"{monitor.name} {volts.name[2]}"
                if amps is not None and millivolts is not None and label != "NC":
                    yield label, millivolts * amps / 1e6

    def _iio_rails(self) -> Iterator[tuple[str, float]]:
        for rail in sorted(self._root.glob("bus/i2c/drivers/ina3221x/*/iio:device*/in_power?_input")):
            milliwatts = read_number(rail)
            label = read_text(rail.with_name(f"rail_name_{rail.name[8]}")) or f"{rail.parent.name} {rail.name[8]}"
            if milliwatts is not None:
                yield label, milliwatts / 1e3
