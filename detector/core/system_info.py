"""The machine's memory, CPU, temperature, power and throttling; None where it is unknown."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

from .device_sensors import DeviceSensors

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """Memory in MiB, CPU in % of one core since the last read, temperature in deg C (the hottest zone), power in W."""

    rss_mb: float | None
    cpu_percent: float | None
    temperature_c: float | None
    power_w: float | None
    throttled: bool | None


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
    """The figures of this process, and what `sensors` say of the device."""

    def __init__(self, *, sensors: DeviceSensors | None = None) -> None:
        self._sensors = sensors or DeviceSensors()
        self._cpu = (time.monotonic(), time.process_time())

    def read(self) -> System:
        device = self._sensors.read()
        return System(
            rss_mb=rss_mb(),
            cpu_percent=self._cpu_percent(),
            temperature_c=device.temperature_c,
            power_w=device.power_w,
            throttled=None if device.throttled_by is None else bool(device.throttled_by),
        )

    def _cpu_percent(self) -> float | None:
        now = (time.monotonic(), time.process_time())
        wall, used = now[0] - self._cpu[0], now[1] - self._cpu[1]
        if wall < 0.2:
            return None  # too short for a meaningful value
        self._cpu = now
        return 100.0 * used / wall
