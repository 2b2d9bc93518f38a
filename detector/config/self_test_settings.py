"""When cameras are tested for what they can see."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field

from .section import ConfigSection


def _time_of_day(value: object) -> object:
    # Without quotes YAML reads 04:30 as the number 270.
    if not isinstance(value, str) or not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        raise ValueError('write a time of day as "04:30", in quotes')
    return value


class SelfTestSettings(ConfigSection):
    enabled: bool = True
    at: Annotated[str, BeforeValidator(_time_of_day)] = Field(
        default="04:30", description="local time of the first test of a day"
    )
    every_h: float = Field(default=1.0, ge=0.1, le=24.0, description="hours from one test to the next")
