"""Watts from sensors as Linux shows them, in a folder laid out like /sys."""

from __future__ import annotations

from pathlib import Path

import pytest

from detector.optimize.study.power import PowerMeter


class SteppedClock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def rapl(root: Path, energy: int, *, package: int = 0) -> Path:
    zone = root / "class" / "powercap" / f"intel-rapl:{package}"
    zone.mkdir(parents=True, exist_ok=True)
    (zone / "max_energy_range_uj").write_text("262143328850\n")
    (zone / "energy_uj").write_text(f"{energy}\n")
    return zone


def test_energy_over_time(tmp_path: Path) -> None:
    rapl(tmp_path, 1_000_000)
    rapl(tmp_path, 500, package=1)
    clock = SteppedClock()
    meter = PowerMeter(root=tmp_path, clock=clock)
    assert meter.sensor == "RAPL"
    meter.start()
    clock.now += 2.0
    rapl(tmp_path, 31_000_000)
    rapl(tmp_path, 10_000_500, package=1)
    assert meter.stop() == pytest.approx(20.0)


def test_a_counter_that_wraps(tmp_path: Path) -> None:
    rapl(tmp_path, 262_143_328_850 - 1_000_000)
    clock = SteppedClock()
    meter = PowerMeter(root=tmp_path, clock=clock)
    meter.start()
    clock.now += 1.0
    rapl(tmp_path, 4_000_000)
    assert meter.stop() == pytest.approx(5.0)


def test_a_boards_rails(tmp_path: Path) -> None:
    rail = tmp_path / "class" / "hwmon" / "hwmon1"
    rail.mkdir(parents=True)
    (rail / "in1_input").write_text("5000\n")
    (rail / "curr1_input").write_text("1400\n")
    meter = PowerMeter(root=tmp_path)
    meter.start()
    assert meter.sensor == "INA3221"
    assert meter.stop() == pytest.approx(7.0)


def test_no_sensor_is_no_number(tmp_path: Path) -> None:
    meter = PowerMeter(root=tmp_path)
    meter.start()
    assert (meter.sensor, meter.stop()) == (None, None)
