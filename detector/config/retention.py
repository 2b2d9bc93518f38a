"""How long visits and clips are kept, and how many."""

from __future__ import annotations

from pydantic import Field

from .section import ConfigSection


class ClipRetention(ConfigSection):
    keep_days: float = Field(default=14.0, gt=0.0, le=3650.0, description="days after which a clip goes")
    max_clips: int = Field(default=1000, ge=1, le=1_000_000, description="so many clips are kept, the newest ones")
    max_mb: float = Field(
        default=2048.0, gt=0.0, le=10_000_000.0, description="MB that all clips take; the oldest go first"
    )


class HistorySettings(ConfigSection):
    keep_days: float = Field(default=14.0, gt=0.0, le=3650.0)
    max_events: int = Field(default=10_000, ge=1, le=1_000_000)
    clips: ClipRetention = ClipRetention()
