"""How hot the device is, what power it draws, and whether it slows itself down, as Linux's sysfs says.

Thermal zones and their trip points: Documentation/driver-api/thermal/sysfs-api. Throttle counts of x86:
/sys/devices/system/cpu/cpuN/thermal_throttle. Over-current counts of a Jetson: hwmon's ocN_event_cnt. Raspberry Pi:
get_throttled of the firmware, in hexadecimal (bit 0 under-voltage, 1 frequency capped, 2 throttled, 3 soft limit).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .power_sensor import SYSFS, PowerSensor
from .sysfs import read_number, read_text

_LEAST_LIMIT_C = 60.0  # trip points below are those of a skin or a battery, which the processor's load hardly moves
_PASSIVE_MARGIN_C, _CRITICAL_MARGIN_C = 5.0, 10.0  # below what makes the kernel slow down, or switch off
_RECENT_S = 5.0  # a count that rose within this time: it is throttled now
_PI_BITS = ("under-voltage", "frequency capped", "throttled", "soft temperature limit")
_SLOWING = ("cpu", "gpu", "throttl", "processor")  # kinds of cooling devices that cap a frequency
_CHIPS = ("coretemp", "k10temp", "zenpower")


@dataclass(frozen=True, slots=True, kw_only=True)
class TemperatureReading:
    """One sensor, deg C; `limit_c` is safely below where the kernel would act; None: it names no such point."""

    name: str
    temperature_c: float
    limit_c: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceReading:
    """What the sensors say now. `throttled_by` None: nothing would tell; empty: the device runs at full speed."""

    temperatures: tuple[TemperatureReading, ...] = ()
    power_w: float | None = None
    throttled_by: tuple[str, ...] | None = None

    @property
    def temperature_c(self) -> float | None:
        """The hottest sensor's."""
        return max((each.temperature_c for each in self.temperatures), default=None)


class DeviceSensors:
    """Reads sysfs under `root`, by default $DETECTOR_SYSFS, else /sys. Thread-safe."""

    def __init__(self, *, root: Path | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._root = Path(os.environ.get("DETECTOR_SYSFS") or SYSFS) if root is None else root
        self._clock, self._lock = clock, threading.Lock()
        self._power = PowerSensor(root=self._root, clock=clock)
        self._counts = self._read_counts()
        self._rose: dict[str, float] = {}

    @property
    def power_name(self) -> str | None:
        """The power sensor's kind; None without one."""
        return self._power.name

    def read(self) -> DeviceReading:
        with self._lock:
            return DeviceReading(
                temperatures=(*self._zones(), *self._chips()),
                power_w=self._power.read(),
                throttled_by=self._throttled_by(),
            )

    def _zones(self) -> Iterator[TemperatureReading]:
        for zone in sorted(self._root.glob("class/thermal/thermal_zone*")):
            milli = read_number(zone / "temp")
            # Zones that are switched off read as 0 or far below freezing.
            if milli is not None and milli > 0:
                name = read_text(zone / "type") or zone.name
                yield TemperatureReading(name=name, temperature_c=milli / 1000, limit_c=_zone_limit(zone))

    def _chips(self) -> Iterator[TemperatureReading]:
        """Processors whose driver makes no thermal zone, the hottest sensor of each."""
        for chip in sorted(self._root.glob("class/hwmon/hwmon*")):
            if (name := read_text(chip / "name")) not in _CHIPS:
                continue
            milli = [value for path in chip.glob("temp*_input") if (value := read_number(path)) is not None]
            critical = [value for path in chip.glob("temp*_crit") if (value := read_number(path)) is not None]
            limit = _usable(min(critical) / 1000 - _CRITICAL_MARGIN_C) if critical else None
            if milli and max(milli) > 0:
                yield TemperatureReading(name=str(name), temperature_c=max(milli) / 1000, limit_c=limit)

    def _throttled_by(self) -> tuple[str, ...] | None:
        active: list[str] = []
        known = False
        for name, on in (*self._cooling(), *self._firmware()):
            known = True
            active += [name] if on else []
        counts, now = self._read_counts(), self._clock()
        for name, count in counts.items():
            if count > self._counts.get(name, count):
                self._rose[name] = now
            if now - self._rose.get(name, -_RECENT_S) < _RECENT_S:
                active.append(name)
        self._counts = counts
        return tuple(dict.fromkeys(active)) if known or counts else None

    def _cooling(self) -> Iterator[tuple[str, bool]]:
        """Each cooling device that caps a frequency, and whether it does."""
        for device in sorted(self._root.glob("class/thermal/cooling_device*")):
            kind = (read_text(device / "type") or "").lower()
            if "fan" not in kind and any(word in kind for word in _SLOWING):
                yield kind, (read_number(device / "cur_state") or 0) > 0

    def _firmware(self) -> Iterator[tuple[str, bool]]:
        """A Raspberry Pi's own word."""
        for pattern in ("devices/platform/soc*/*firmware/get_throttled", "devices/platform/*firmware/get_throttled"):
            for path in self._root.glob(pattern):
                bits = _hexadecimal(read_text(path))
                if bits is not None:
                    yield from ((name, bool(bits >> bit & 1)) for bit, name in enumerate(_PI_BITS))
        for alarm in self._root.glob("class/hwmon/hwmon*/in0_lcrit_alarm"):
            if read_text(alarm.with_name("name")) == "rpi_volt":
                yield _PI_BITS[0], bool(read_number(alarm))

    def _read_counts(self) -> dict[str, float]:
        """Events so far by kind."""
        counts: dict[str, float] = {}
        for path in self._root.glob("devices/system/cpu/cpu*/thermal_throttle/*_throttle_count"):
            counts["processor hot"] = counts.get("processor hot", 0.0) + (read_number(path) or 0.0)
        for path in self._root.glob("class/hwmon/hwmon*/oc*_event_cnt"):
            counts["over-current"] = counts.get("over-current", 0.0) + (read_number(path) or 0.0)
        return counts


def _zone_limit(zone: Path) -> float | None:
    limits = []
    for path in zone.glob("trip_point_*_type"):
        kind, milli = read_text(path), read_number(path.with_name(path.name.replace("_type", "_temp")))
        if milli is None or kind not in ("passive", "hot", "critical"):
            continue  # active: a fan's
        limits.append(milli / 1000 - (_CRITICAL_MARGIN_C if kind == "critical" else _PASSIVE_MARGIN_C))
    return min((limit for limit in limits if _usable(limit) is not None), default=None)


def _usable(limit_c: float) -> float | None:
    return limit_c if limit_c >= _LEAST_LIMIT_C else None


def _hexadecimal(text: str | None) -> int | None:
    try:
        return int(text or "", 16)
    except ValueError:
        return None
