from __future__ import annotations

import mmap
from pathlib import Path

from detector.core.device_sensors import DeviceSensors
from detector.core.system_info import SystemProbe, rss_mb
from support.sysfs import thermal_zone, write_sysfs


def test_the_devices_figures_are_its_sensors(tmp_path: Path) -> None:
    cap = "class/thermal/cooling_device1"
    write_sysfs(tmp_path, thermal_zone(0, "cpu-thermal", 48_500) | thermal_zone(1, "gpu-thermal", 51_250))
    write_sysfs(tmp_path, {"class/hwmon/hwmon1/in1_input": 5000, "class/hwmon/hwmon1/curr1_input": 1400})
    write_sysfs(tmp_path, {f"{cap}/type": "cpu-throttle-alert", f"{cap}/cur_state": 0})
    probe = SystemProbe(sensors=DeviceSensors(root=tmp_path))
    figures = probe.read()
    assert (figures.temperature_c, figures.power_w, figures.throttled) == (51.25, 7.0, False)
    write_sysfs(tmp_path, {f"{cap}/cur_state": 1})
    assert probe.read().throttled is True


def test_a_silent_machine_gives_none_not_zero(tmp_path: Path) -> None:
    figures = SystemProbe(sensors=DeviceSensors(root=tmp_path)).read()
    assert (figures.temperature_c, figures.power_w, figures.throttled) == (None, None, None)


def test_memory_is_that_of_this_process() -> None:
    used = rss_mb()
    assert used is not None
    # Not the interpreter's memory: it may have that much to spare, and take it from there.
    with mmap.mmap(-1, 64 << 20) as block:
        for page in range(0, len(block), 4096):
            block[page] = 1
        grown = rss_mb()
    assert grown is not None
    assert grown - used > 50
