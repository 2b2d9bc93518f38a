from __future__ import annotations

import pytest

from detector.config import document
from detector.core.errors import ConfigError


def accepted(**self_test: object) -> object:
    return document.validate({"cameras": {"a": {"source": "x"}}, "self_test": self_test}).self_test


@pytest.mark.parametrize("at", ["00:00", "04:30", "23:59"])
def test_a_time_of_day(at: str) -> None:
    assert accepted(at=at)


@pytest.mark.parametrize("at", ["24:00", "4:30", "04:60", "04:30\n", "noon", "", 270, 16200, "04:30:00"])
def test_what_is_no_time_of_day_is_named(at: object) -> None:
    with pytest.raises(ConfigError, match=r'self_test\.at: write a time of day as "04:30", in quotes'):
        accepted(at=at)


@pytest.mark.parametrize("every_h", [0, -1, 0.05, 25, "nan", "inf"])
def test_an_interval_is_from_minutes_to_a_day(every_h: object) -> None:
    with pytest.raises(ConfigError, match=r"self_test\.every_h"):
        accepted(every_h=every_h)
