from __future__ import annotations

from pathlib import Path

import pytest

from detector.core.device_sensors import DeviceSensors
from support.clocks import SetClock
from support.sysfs import thermal_zone, write_sysfs

CPU = "devices/system/cpu/cpu0/thermal_throttle"


def limits(root: Path) -> dict[str, float | None]:
    return {each.name: each.limit_c for each in DeviceSensors(root=root).read().temperatures}


def test_each_zones_limit_is_below_the_trip_point_at_which_the_kernel_acts(tmp_path: Path) -> None:
    write_sysfs(tmp_path, thermal_zone(0, "cpu-thermal", 48_500, active=50_000, passive=99_000, critical=104_500))
    write_sysfs(tmp_path, thermal_zone(1, "tj-thermal", 51_250, critical=105_000))
    write_sysfs(tmp_path, thermal_zone(2, "SEN1", 44_000, passive=43_000))
    write_sysfs(tmp_path, thermal_zone(3, "cv0-thermal", -256_000, passive=99_000))
    write_sysfs(tmp_path, thermal_zone(4, "x86_pkg_temp", 60_000, passive=-274_000))
    assert limits(tmp_path) == {"cpu-thermal": 94.0, "tj-thermal": 95.0, "SEN1": None, "x86_pkg_temp": None}
    assert DeviceSensors(root=tmp_path).read().temperature_c == 60.0


def test_a_processor_without_a_thermal_zone_is_read_from_its_driver(tmp_path: Path) -> None:
    chip = "class/hwmon/hwmon2"
    write_sysfs(tmp_path, {f"{chip}/name": "coretemp", f"{chip}/temp1_input": 71_000, f"{chip}/temp1_crit": 100_000})
    write_sysfs(tmp_path, {f"{chip}/temp2_input": 74_000, "class/hwmon/hwmon0/name": "nvme"})
    write_sysfs(tmp_path, {"class/hwmon/hwmon0/temp1_input": 85_000})
    (found,) = DeviceSensors(root=tmp_path).read().temperatures
    assert (found.name, found.temperature_c, found.limit_c) == ("coretemp", 74.0, 90.0)


def test_a_cooling_device_that_caps_a_frequency_throttles_and_a_fan_does_not(tmp_path: Path) -> None:
    fan, cap = "class/thermal/cooling_device0", "class/thermal/cooling_device1"
    write_sysfs(tmp_path, {f"{fan}/type": "pwm-fan", f"{fan}/cur_state": 3})
    sensors = DeviceSensors(root=tmp_path)
    assert sensors.read().throttled_by is None
    write_sysfs(tmp_path, {f"{cap}/type": "cpu-throttle-alert", f"{cap}/cur_state": 0})
    assert sensors.read().throttled_by == ()
    write_sysfs(tmp_path, {f"{cap}/cur_state": 1})
    assert sensors.read().throttled_by == ("cpu-throttle-alert",)


def test_throttle_counts_count_while_they_rise_and_not_for_the_past(tmp_path: Path) -> None:
    clock = SetClock(now=100.0)
    write_sysfs(tmp_path, {f"{CPU}/core_throttle_count": 7, f"{CPU}/package_throttle_count": 9})
    write_sysfs(tmp_path, {"class/hwmon/hwmon3/oc1_event_cnt": 0})
    sensors = DeviceSensors(root=tmp_path, clock=clock.mono)
    assert sensors.read().throttled_by == ()
    write_sysfs(tmp_path, {f"{CPU}/core_throttle_count": 8, "class/hwmon/hwmon3/oc1_event_cnt": 2})
    assert sensors.read().throttled_by == ("processor hot", "over-current")
    clock.now += 4.0
    assert sensors.read().throttled_by == ("processor hot", "over-current")
    clock.now += 2.0
    assert sensors.read().throttled_by == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", ()),
        ("0x50000", ()),  # it happened since the start, not now
        ("50005", ("under-voltage", "throttled")),
        ("8", ("soft temperature limit",)),
        ("what", None),
    ],
)
def test_a_raspberry_pi_says_it_in_bits(tmp_path: Path, text: str, expected: tuple[str, ...] | None) -> None:
    write_sysfs(tmp_path, {"devices/platform/soc/soc:firmware/get_throttled": text})
    assert DeviceSensors(root=tmp_path).read().throttled_by == expected


def test_under_voltage_of_a_kernel_without_the_bits(tmp_path: Path) -> None:
    write_sysfs(tmp_path, {"class/hwmon/hwmon1/name": "rpi_volt", "class/hwmon/hwmon1/in0_lcrit_alarm": 1})
    assert DeviceSensors(root=tmp_path).read().throttled_by == ("under-voltage",)


def test_a_machine_without_sensors_gives_none_not_zero(tmp_path: Path) -> None:
    sensors = DeviceSensors(root=tmp_path)
    found = sensors.read()
    assert (found.temperature_c, found.power_w, found.throttled_by) == (None, None, None)
    assert sensors.power_name is None


def test_another_place_of_sysfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sysfs(tmp_path, thermal_zone(0, "cpu-thermal", 48_500))
    monkeypatch.setenv("DETECTOR_SYSFS", str(tmp_path))
    assert DeviceSensors().read().temperature_c == 48.5
