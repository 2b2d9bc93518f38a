"""Within what heat and power the service works."""

from __future__ import annotations

from pydantic import Field

from .section import ConfigSection


class PowerSettings(ConfigSection):
    adapt: bool = Field(
        default=True,
        description="less detection while the device is too hot, draws too much power, slows itself down, or does not "
        "keep up",
    )
    budget_w: float | None = Field(
        default=None, gt=0.0, le=10_000.0, description="power that the device may draw, in W; null: any"
    )
    max_temperature_c: float | None = Field(
        default=None,
        ge=30.0,
        le=150.0,
        description="deg C above which there is less detection; null: 5 below the kernel's trip point, "
        "10 below the critical one",
    )
    min_detect_fps: float = Field(
        default=2.0, gt=0.0, le=100.0, description="detections a second of each camera that always remain"
    )
