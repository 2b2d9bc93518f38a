"""What the service level of alerts is, and how the log is written."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .section import ConfigSection


class SloSettings(ConfigSection):
    alert_goal_ms: float = Field(
        default=500.0,
        gt=0.0,
        le=3_600_000.0,
        description="from the capture of the picture until the alert is published; PREFIX/slo says how many kept it",
    )


class LogSettings(ConfigSection):
    format: Literal["text", "json"] = Field(
        default="text", description="of the log on stderr; json: one object a line, with time, level, logger, message"
    )
