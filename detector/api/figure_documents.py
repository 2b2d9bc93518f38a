"""The figures of the last hour and day, for the OpenAPI document."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class FigureSeries(BaseModel):
    """Series of figures, one value for each of `times` (epoch seconds); null where nothing was measured."""

    model_config = ConfigDict(extra="allow")

    step_s: float
    times: list[float]
    series: dict[str, dict[str, list[float | None]]] = Field(
        description="by camera, the device itself under an empty name, then by figure"
    )
