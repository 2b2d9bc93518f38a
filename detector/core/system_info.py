"""The machine's memory, CPU, temperature, power and throttling; None where it is unknown."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """Memory in MiB, CPU in % of one core since the last read, temperature in deg C (the hottest zone), power in W."""

    rss_mb: float | None
    cpu_percent: float | None
    temperature_c: float | None
    power_w: float | None
    throttled: bool | None


def read_number(path: Path) -> float | None:
    """A file's first number; None where it cannot be read: some are root's."""
    try:
        return float(path.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return None


def cpu_info(path: Path = Path("/proc/cpuinfo")) -> dict[str, str]:
    """The first processor's lines of /proc/cpuinfo by name; empty where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n", 1)[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def machine() -> str:
    """The processor's name, and how many cores of it this process may use."""
    return f"{cpu_info().get('model name', platform.machine())}, {len(os.sched_getaffinity(0))} cores"


def rss_mb() -> float | None:
    """Resident memory of this process in MiB (Linux: /proc/self/statm)."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * _PAGE / 2**20


class SystemProbe:
    """Reads sysfs under `root`; Jetson's INA3221 power rails and Linux's thermal zones."""

    def __init__(self, *, root: Path = Path("/sys")) -> None:
        self._root = root
        self._cpu = (time.monotonic(), time.process_time())

    def read(self) -> System:
        return System(
            rss_mb=rss_mb(),
            cpu_percent=self._cpu_percent(),
            temperature_c=self._temperature(),
            power_w=self._power(),
            throttled=self._throttled(),
        )

    def _cpu_percent(self) -> float | None:
        now = (time.monotonic(), time.process_time())
        wall, used = now[0] - self._cpu[0], now[1] - self._cpu[1]
        if wall < 0.2:
            return None  # too short for a meaningful value
        self._cpu = now
        return 100.0 * used / wall

    def _temperature(self) -> float | None:
        zones = (read_number(path) for path in self._root.glob("class/thermal/thermal_zone*/temp"))
        # Zones that are switched off read as 0 or far below freezing.
        return max((v / 1000 for v in zones if v is not None and v > 0), default=None)

    def _power(self) -> float | None:
        """Board input power: INA3221 channel 1 (VDD_IN), mV times mA."""
        for volts in sorted(self._root.glob("class/hwmon/hwmon*/in1_input")):
            amps = read_number(volts.with_name("curr1_input"))
            millivolts = read_number(volts)
            if amps is not None and millivolts is not None:
                return millivolts * amps / 1e6
        return None

    def _throttled(self) -> bool | None:
        """True while a cooling device that caps a frequency is active."""
        found = False
        for state in self._root.glob("class/thermal/cooling_device*/cur_state"):
            try:
                kind = state.with_name("type").read_text(encoding="ascii").lower()
            except OSError:
                continue
            if "fan" in kind or not any(word in kind for word in ("cpu", "gpu", "throttl", "processor")):
                continue
            found = True
            if (read_number(state) or 0) > 0:
                return True
        return False if found else None
