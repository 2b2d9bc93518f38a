from __future__ import annotations

from pathlib import Path

import pytest

from detector.core.power_sensor import PowerSensor
from support.clocks import SetClock
from support.sysfs import write_sysfs

RAPL = "class/powercap/intel-rapl:0"


def test_an_energy_counter_is_the_mean_since_the_last_read_and_may_wrap(tmp_path: Path) -> None:
    write_sysfs(tmp_path, {f"{RAPL}/name": "package-0", f"{RAPL}/energy_uj": 262_142_328_850})
    write_sysfs(tmp_path, {f"{RAPL}/max_energy_range_uj": 262_143_328_850})
    clock = SetClock(now=10.0)
    sensor = PowerSensor(root=tmp_path, clock=clock.mono)
    assert (sensor.name, sensor.read()) == ("RAPL", None), "nothing is known of the time before"
    clock.now += 2.0
    write_sysfs(tmp_path, {f"{RAPL}/energy_uj": 29_000_000})
    assert sensor.read() == pytest.approx(15.0)
    clock.now += 0.01
    assert sensor.read() == pytest.approx(15.0), "two who ask at once get the same figure"


def test_the_whole_platforms_counter_does_not_count_the_packages_twice(tmp_path: Path) -> None:
    for number, name in enumerate(("psys", "package-0", "package-1")):
        zone = f"class/powercap/intel-rapl:{number}"
        write_sysfs(tmp_path, {f"{zone}/name": name, f"{zone}/energy_uj": 1})
    clock = SetClock()
    sensor = PowerSensor(root=tmp_path, clock=clock.mono)
    clock.now += 1.0
    for number in range(3):
        write_sysfs(tmp_path, {f"class/powercap/intel-rapl:{number}/energy_uj": 10_000_001})
    assert sensor.read() == pytest.approx(20.0)


def test_a_counter_that_is_roots_alone_is_no_sensor(tmp_path: Path) -> None:
    write_sysfs(tmp_path, {f"{RAPL}/name": "package-0"})
    sensor = PowerSensor(root=tmp_path)
    assert (sensor.name, sensor.read()) == (None, None)


@pytest.mark.parametrize(
    ("rails", "watts"),
    [
        ({"VDD_IN": (5000, 1400), "VDD_CPU_GPU_CV": (5000, 400), "VDD_SOC": (5000, 300)}, 7.0),  # Orin Nano
        ({"VDD_GPU_SOC": (19000, 200), "VDD_CPU_CV": (19000, 100), "NC": (900, 900)}, 5.7),
        ({"VDD_GPU_SOC": (19000, 200), "VIN_SYS_5V0": (5000, 3000)}, 15.0),  # AGX Orin
    ],
)
def test_a_boards_rails_are_its_input_or_their_sum(
    tmp_path: Path, rails: dict[str, tuple[int, int]], watts: float
) -> None:
    monitor = "class/hwmon/hwmon1"
    write_sysfs(tmp_path, {f"{monitor}/name": "ina3221"})
    for number, (label, (millivolts, milliamps)) in enumerate(rails.items(), start=1):
        write_sysfs(
            tmp_path,
            {
                f"{monitor}/in{number}_label": label,
                f"{monitor}/in{number}_input": millivolts,
                f"{monitor}/curr{number}_input": milliamps,
            },
        )
    sensor = PowerSensor(root=tmp_path)
    assert sensor.name == "INA3221"
    assert sensor.read() == pytest.approx(watts)


def test_the_rails_of_an_older_jetson(tmp_path: Path) -> None:
    monitor = "bus/i2c/drivers/ina3221x/6-0040/iio:device0"
    write_sysfs(tmp_path, {f"{monitor}/rail_name_0": "POM_5V_IN", f"{monitor}/in_power0_input": 3210})
    write_sysfs(tmp_path, {f"{monitor}/rail_name_1": "POM_5V_GPU", f"{monitor}/in_power1_input": 900})
    assert PowerSensor(root=tmp_path).read() == pytest.approx(3.21)


def test_a_mainboards_voltages_are_no_power(tmp_path: Path) -> None:
    monitor = "class/hwmon/hwmon0"
    write_sysfs(tmp_path, {f"{monitor}/name": "nct6775", f"{monitor}/in1_input": 1000, f"{monitor}/curr1_input": 900})
    assert PowerSensor(root=tmp_path).name is None
