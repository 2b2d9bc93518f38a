"""How long visits and clips are kept, and how many."""

from __future__ import annotations

from pydantic import Field

from .clip_settings import ClipRetention
from .section import ConfigSection


class HistorySettings(ConfigSection):
    keep_days: float = Field(default=14.0, gt=0.0, le=3650.0)
    max_events: int = Field(default=10_000, ge=1, le=1_000_000)
    clips: ClipRetention = ClipRetention()
