"""The governor over devices that heat up as real ones do: a heat sink's first-order model, with a die on top of it."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from detector.config.power_settings import PowerSettings
from detector.core.device_sensors import DeviceReading, TemperatureReading
from detector.service.governor import CLIMB_S, CONFIRM_S, LONGEST_CLIMB_S, SETTLE_S, Governor, Pressure
from detector.service.strain import BAND_C, StrainMeter

LIMIT = 85.0
COSTS = (1.0, 0.7, 0.5, 0.35, 0.25, 0.2, 0.11, 0.05)  # by level


@dataclass
class HeatedDevice:
    """dT/dt = (ambient + R * P - T) / tau for the heat sink; the die is `die_k` above it at full load, 3 s behind."""

    ambient: float
    full_k: float  # K that full detection heats the sink
    idle_k: float = 8.0
    tau_s: float = 120.0
    die_k: float = 5.0
    sink: float = math.nan
    die: float = 0.0

    def step(self, cost: float, seconds: float = 1.0) -> float:
        """The temperature that its sensor shows, to half a degree, after `seconds` at `cost`."""
        if math.isnan(self.sink):
            self.sink = self.ambient + self.idle_k
        target = self.ambient + self.idle_k + self.full_k * cost
        self.sink += (target - self.sink) * -math.expm1(-seconds / self.tau_s)
        self.die += (self.die_k * cost - self.die) * -math.expm1(-seconds / 3.0)
        return round((self.sink + self.die) * 2) / 2

    def settled(self, cost: float) -> float:
        return self.ambient + self.idle_k + (self.full_k + self.die_k) * cost


class GovernedDevice:
    """A device with sensor, meter and governor, looked at once a second."""

    def __init__(self, device: HeatedDevice, *, budget_w: float | None = None) -> None:
        self.device, self.governor, self.meter = device, Governor(levels=len(COSTS) - 1), StrainMeter()
        self.settings, self.now = PowerSettings(budget_w=budget_w), 1000.0
        self.temperatures: list[float] = []
        self.levels: list[int] = []

    def run(self, seconds: float) -> GovernedDevice:
        for _ in range(round(seconds)):
            self.now += 1.0
            cost = COSTS[self.governor.level]
            shown = self.device.step(cost)
            sensor = TemperatureReading(name="cpu-thermal", temperature_c=shown, limit_c=LIMIT)
            reading = DeviceReading(temperatures=(sensor,), power_w=4.0 + 10.0 * cost)
            self.levels.append(
                self.governor.update(self.now, self.meter.observe(self.now, reading, self.settings).pressure)
            )
            self.temperatures.append(shown)
        return self


@given(
    ambient=st.floats(-10.0, 45.0),
    full_k=st.floats(10.0, 90.0),
    tau_s=st.floats(5.0, 900.0),
    die_k=st.floats(0.0, 15.0),
)
@example(ambient=0.0, full_k=75.4, tau_s=6.0, die_k=13.2)  # hot within seconds of a climb
@settings(max_examples=15, deadline=None, phases=(Phase.explicit, Phase.generate))
def test_it_settles_below_the_limit_without_oscillating(
    ambient: float, full_k: float, tau_s: float, die_k: float
) -> None:
    device = HeatedDevice(ambient=ambient, full_k=full_k, tau_s=tau_s, die_k=die_k)
    governed = GovernedDevice(device).run(3 * 3600)
    late = governed.levels[-3600:]
    assert max(governed.temperatures[-3600:]) <= LIMIT + 4.0, "a climb that goes wrong is taken back at once"
    assert sum(governed.temperatures[-3600:]) / 3600 <= LIMIT
    assert sum(a != b for a, b in itertools.pairwise(late)) <= 12, "a few climbs are tried in an hour"
    assert governed.governor.changes <= 36
    if device.settled(COSTS[0]) < LIMIT - 1.0:
        assert governed.governor.changes == 0, "it never was too hot"
    usual = max(late, key=late.count)
    assert usual == 0 or device.settled(COSTS[usual - 1]) > LIMIT - 2 * BAND_C, "as much as the cooling allows"


def test_it_climbs_back_when_the_night_is_cool() -> None:
    governed = GovernedDevice(HeatedDevice(ambient=40.0, full_k=60.0)).run(2 * 3600)
    assert governed.governor.level > 1
    governed.device.ambient = 5.0
    governed.run(len(COSTS) * LONGEST_CLIMB_S)
    assert governed.governor.level == 0
    changes = governed.governor.changes
    governed.run(3600)
    assert governed.governor.changes == changes


def test_a_power_budget_is_kept_and_used() -> None:
    governed = GovernedDevice(HeatedDevice(ambient=0.0, full_k=5.0), budget_w=9.5).run(3600)
    assert COSTS[governed.governor.level] * 10.0 + 4.0 <= 9.5
    assert governed.governor.level == 2, "0.5 of the cost are 9 W"
    assert governed.governor.changes == 2, "within a tenth of the budget nothing is tried"


def feed(governor: Governor, start: float, seconds: float, pressure: Pressure) -> float:
    for second in range(round(seconds)):
        governor.update(start + second, pressure)
    return start + seconds


def test_a_spike_is_no_step_and_steps_keep_their_distance() -> None:
    governor = Governor(levels=5)
    now = feed(governor, 0.0, CONFIRM_S, "over")
    now = feed(governor, now, 1.0, "hold")
    assert governor.level == 0
    now = feed(governor, now, CONFIRM_S + 1, "over")
    assert governor.level == 1
    feed(governor, now, SETTLE_S - 2, "over")
    assert governor.level == 1
    feed(governor, now + SETTLE_S, CONFIRM_S + 1, "over")
    assert governor.level == 2


def test_each_climb_that_fails_doubles_the_wait_up_to_a_limit() -> None:
    governor = Governor(levels=3)
    now, waits = feed(governor, 0.0, CONFIRM_S + 1, "over"), []
    for _ in range(8):
        begun = now
        while governor.level:
            governor.update(now, "eased")
            now += 1.0
        waits.append(now - begun)
        while not governor.level:
            governor.update(now, "over")
            now += 1.0
    assert waits[:3] == [pytest.approx(CLIMB_S * factor, abs=3.0) for factor in (1, 2, 4)]
    assert waits[-1] == waits[-2] == pytest.approx(LONGEST_CLIMB_S, abs=3.0)


def test_after_a_long_calm_time_the_first_wait_holds_again() -> None:
    governor = Governor(levels=3)
    now = feed(governor, 0.0, CONFIRM_S + 1, "over")
    now = feed(governor, now, CLIMB_S + 2, "eased")
    now = feed(governor, now, CONFIRM_S + 1, "over")  # the climb was wrong
    now = feed(governor, now, 2 * CLIMB_S + 2, "eased")
    assert governor.level == 0
    now = feed(governor, now, 2 * LONGEST_CLIMB_S, "hold")
    now = feed(governor, now, CONFIRM_S + 1, "over")
    assert governor.level == 1
    feed(governor, now, CLIMB_S + 2, "eased")
    assert governor.level == 0


def test_other_numbers_of_levels_keep_what_still_exists() -> None:
    governor = Governor(levels=5)
    feed(governor, 0.0, 4 * (SETTLE_S + CONFIRM_S), "over")
    level = governor.level
    assert level >= 3
    governor.resize(9)
    assert governor.level == level
    governor.resize(1)
    assert governor.update(1e6, "hold") == 1
    governor.resize(0)
    assert governor.update(2e6, "over") == 0
