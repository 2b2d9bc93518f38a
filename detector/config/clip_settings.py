"""What a clip holds, and how long clips are kept."""

from __future__ import annotations

from pydantic import Field

from .section import ConfigSection


class ClipSettings(ConfigSection):
    enabled: bool = Field(default=True, description="whether each alert gets a clip out of the camera's own stream")
    pre_s: float = Field(default=5.0, ge=0.0, le=60.0, description="seconds of the clip before the alert")
    post_s: float = Field(default=10.0, ge=0.0, le=120.0, description="seconds of the clip after the alert")


class ClipRetention(ConfigSection):
    keep_days: float = Field(default=14.0, gt=0.0, le=3650.0, description="days after which a clip goes")
    max_clips: int = Field(default=1000, ge=1, le=1_000_000, description="so many clips are kept, the newest ones")
    max_mb: float = Field(
        default=2048.0, gt=0.0, le=10_000_000.0, description="MB that all clips take; the oldest go first"
    )
