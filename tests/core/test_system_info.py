from __future__ import annotations

import mmap
from pathlib import Path

from detector.core.system_info import SystemProbe, rss_mb


def _write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="ascii")


def test_a_jetsons_sysfs_is_read(tmp_path: Path) -> None:
    _write(
        tmp_path,
        {
            "class/thermal/thermal_zone0/temp": "48500\n",
            "class/thermal/thermal_zone1/temp": "51250\n",
            "class/thermal/thermal_zone2/temp": "-256000\n",
            "class/hwmon/hwmon1/in1_input": "5000\n",
            "class/hwmon/hwmon1/curr1_input": "1400\n",
            "class/thermal/cooling_device0/type": "pwm-fan\n",
            "class/thermal/cooling_device0/cur_state": "3\n",
            "class/thermal/cooling_device1/type": "cpu-throttle-alert\n",
            "class/thermal/cooling_device1/cur_state": "0\n",
        },
    )
    figures = SystemProbe(root=tmp_path).read()
    assert (figures.temperature_c, figures.power_w, figures.throttled) == (51.25, 7.0, False)
    _write(tmp_path, {"class/thermal/cooling_device1/cur_state": "1\n"})
    assert SystemProbe(root=tmp_path).read().throttled is True


def test_a_silent_machine_gives_none_not_zero(tmp_path: Path) -> None:
    figures = SystemProbe(root=tmp_path).read()
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
