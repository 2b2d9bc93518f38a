from __future__ import annotations

from typing import Any

import pytest

from detector.config.power_settings import PowerSettings
from detector.core.device_sensors import DeviceReading, TemperatureReading
from detector.service.strain import Strain, StrainMeter, hottest


def zone(celsius: float, limit: float | None = 90.0, name: str = "cpu") -> TemperatureReading:
    return TemperatureReading(name=name, temperature_c=celsius, limit_c=limit)


def after(seconds: int, *temperatures: TemperatureReading, meter: StrainMeter | None = None, **settings: Any) -> Strain:
    meter = meter or StrainMeter()
    for second in range(seconds):
        found = meter.observe(second, DeviceReading(temperatures=temperatures), PowerSettings(**settings))
    return found


@pytest.mark.parametrize(("celsius", "pressure"), [(85.9, "eased"), (86.5, "hold"), (90.0, "over")])
def test_heat_against_the_limit(celsius: float, pressure: str) -> None:
    assert after(5, zone(celsius)).pressure == pressure


def test_the_reason_names_the_sensor_that_is_nearest_to_its_limit() -> None:
    found = after(5, zone(80.0, 75.0, "tj"), zone(88.0, 90.0), zone(99.0, None, "skin"))
    assert found.reason == "heat: tj at 80 °C, limit 75 °C"
    assert after(5, zone(80.0, 75.0, "tj"), zone(99.0, None, "skin"), max_temperature_c=95).reason == (
        "heat: skin at 99 °C, limit 95 °C"
    )
    assert hottest((zone(99.0, None),), None) is None


def test_a_device_that_cools_down_already_gets_no_further_step() -> None:
    meter = StrainMeter()
    pressures = [
        meter.observe(t, DeviceReading(temperatures=(zone(96.0 - t * 0.05),)), PowerSettings()).pressure
        for t in range(60)
    ]
    assert pressures[0] == "over"
    assert set(pressures[20:]) == {"hold"}


def test_a_short_spike_of_a_processors_sensor_is_not_too_hot() -> None:
    meter = StrainMeter()
    for second in range(30):
        celsius = 95.0 if second % 10 == 0 else 75.0
        found = meter.observe(second, DeviceReading(temperatures=(zone(celsius),)), PowerSettings())
    assert found.pressure == "eased"


def test_power_is_judged_by_its_mean_and_only_against_a_budget() -> None:
    meter, settings = StrainMeter(), PowerSettings(budget_w=10.0)
    found = [
        meter.observe(t, DeviceReading(power_w=30.0 if t % 10 == 0 else 7.0), settings).pressure for t in range(30)
    ]
    assert found[-1] == "hold", "9.3 W in the mean"
    assert after(5).pressure == "eased"
    for t in range(30, 60):
        strain = meter.observe(t, DeviceReading(power_w=12.0), settings)
    assert strain == Strain(pressure="over", reason="power: 12.0 W, budget 10 W")
    assert meter.observe(60.0, DeviceReading(power_w=12.0), PowerSettings()).pressure == "eased"


def test_the_devices_own_throttling_comes_first_and_with_its_kind() -> None:
    reading = DeviceReading(temperatures=(zone(50.0),), throttled_by=("under-voltage", "frequency capped"))
    found = StrainMeter().observe(0.0, reading, PowerSettings())
    assert found.pressure == "over"
    assert found.reason == "the device slows itself down: under-voltage, frequency capped"
