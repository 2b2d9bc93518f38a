"""What the sensors' readings mean against the limits: too much, enough, or room for more. Pure."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from detector.config.power_settings import PowerSettings
from detector.core.device_sensors import DeviceReading, TemperatureReading

from .governor import Pressure

BAND_C = 4.0  # this far below the limit there is heat to spare
BAND_POWER = 0.9  # of the budget: below it there is power to spare
_FAR_OVER_C = 2.0  # so far above the limit nothing waits for the mean
_SMOOTH_S = 5.0  # time constant of the mean of a processor's sensor, which jumps with every burst
_TREND_S = 30.0
_FALLING_C = 0.25  # within that time: the last step works, so no further one yet
_POWER_S = 10.0  # power is judged by its mean: a burst heats nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Strain:
    """`reason` in plain words, while there is too much or just enough of something."""

    pressure: Pressure
    reason: str | None = None


class StrainMeter:
    """`observe` about once a second; not thread-safe."""

    def __init__(self) -> None:
        self._heat: deque[tuple[float, float]] = deque()
        self._power: deque[tuple[float, float]] = deque()

    def observe(self, now: float, reading: DeviceReading, settings: PowerSettings) -> Strain:
        """The worst of heat, power and the device's own throttling at monotonic time `now`."""
        found = [
            self._throttling(reading),
            self._of_heat(now, reading, settings.max_temperature_c),
            self._of_power(now, reading.power_w, settings.budget_w),
        ]
        for pressure in ("over", "hold"):
            reasons = [each.reason for each in found if each.pressure == pressure and each.reason]
            if reasons:
                return Strain(pressure=pressure, reason="; ".join(reasons))
        return Strain(pressure="eased")

    @staticmethod
    def _throttling(reading: DeviceReading) -> Strain:
        if not reading.throttled_by:
            return Strain(pressure="eased")
        return Strain(pressure="over", reason=f"the device slows itself down: {', '.join(reading.throttled_by)}")

    def _of_heat(self, now: float, reading: DeviceReading, most_c: float | None) -> Strain:
        worst = hottest(reading.temperatures, most_c)
        if worst is None:
            self._heat.clear()
            return Strain(pressure="eased")
        limit = most_c if most_c is not None else worst.limit_c
        assert limit is not None
        shown = worst.temperature_c - limit
        over = self._smoothed(now, shown)
        self._heat.append((now, over))
        while now - self._heat[0][0] > _TREND_S:
            self._heat.popleft()
        if shown >= _FAR_OVER_C:
            over = shown
        if over < -BAND_C:
            return Strain(pressure="eased")
        reason = f"heat: {worst.name} at {worst.temperature_c:.0f} °C, limit {limit:g} °C"
        falling = self._heat[0][1] - over >= _FALLING_C and now > self._heat[0][0]
        return Strain(pressure="over" if over >= 0.0 and not falling else "hold", reason=reason)

    def _smoothed(self, now: float, over: float) -> float:
        if not self._heat:
            return over
        then, before = self._heat[-1]
        return before + (over - before) * -math.expm1((then - now) / _SMOOTH_S)

    def _of_power(self, now: float, watts: float | None, budget_w: float | None) -> Strain:
        if watts is None or budget_w is None:
            self._power.clear()
            return Strain(pressure="eased")
        self._power.append((now, watts))
        while now - self._power[0][0] > _POWER_S:
            self._power.popleft()
        mean = sum(each for _, each in self._power) / len(self._power)
        if mean < budget_w * BAND_POWER:
            return Strain(pressure="eased")
        reason = f"power: {mean:.1f} W, budget {budget_w:g} W"
        return Strain(pressure="over" if mean > budget_w else "hold", reason=reason)


def hottest(temperatures: tuple[TemperatureReading, ...], most_c: float | None) -> TemperatureReading | None:
    """The sensor that is nearest to its limit, `most_c` for all if it is set; None where no limit is known."""
    if most_c is not None:
        return max(temperatures, key=lambda each: each.temperature_c, default=None)
    limited = [(each.temperature_c - each.limit_c, each) for each in temperatures if each.limit_c is not None]
    return max(limited, key=lambda pair: pair[0])[1] if limited else None
