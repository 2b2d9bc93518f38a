from __future__ import annotations

from typing import Any

import pytest

from detector.config import document
from detector.config.power_settings import PowerSettings
from detector.core.errors import ConfigError


def accepted(**power: Any) -> PowerSettings:
    return document.validate({"cameras": {"a": {"source": "x"}}, "power": power}).power


def test_defaults_adapt_without_a_budget() -> None:
    found = accepted()
    assert (found.adapt, found.budget_w, found.max_temperature_c, found.min_detect_fps) == (True, None, None, 2.0)
    assert accepted(budget_w=7.5, max_temperature_c=80).budget_w == 7.5


@pytest.mark.parametrize(("key", "value"), [("budget_w", 0), ("max_temperature_c", 20), ("min_detect_fps", 0)])
def test_a_value_that_makes_no_sense_is_named(key: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"power\.{key}"):
        accepted(**{key: value})
