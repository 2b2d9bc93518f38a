"""What a camera's picture shows and what zones make of it, for the OpenAPI document; all points and areas are shares."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from detector.config.value_types import Identifier, Polygon, Unit


class _SceneAnswer(BaseModel):
    model_config = ConfigDict(extra="allow")


class BoxDocument(_SceneAnswer):
    """A person in the newest frame, confirmed or not."""

    track: int
    box: list[float] = Field(description="x1, y1, x2, y2 as shares of the picture's width and height")
    score: float
    alerted: bool
    reason: str = Field(description="why it raises no alert at this moment", examples=["2 of 3 frames"])


class Scene(_SceneAnswer):
    """What the newest frame of a camera shows, and the zones that hold for it."""

    seq: int = Field(description="the frame's number, as in X-Frame-Seq of its picture")
    age_s: float
    width: int
    height: int
    moving: bool
    boxes: list[BoxDocument]
    zones: dict[str, list[tuple[float, float]]]
    masks: list[list[tuple[float, float]]]
    alert_zones: list[str] = Field(description="the zones in which alerts are raised; empty: everywhere")
    min_area: float = Field(description="smallest share of the picture that a person covers")
    max_area: float


class PreviewedVisit(_SceneAnswer):
    """A visit of the history and what other zones would have made of it; times in epoch seconds."""

    id: str
    start_time: float
    end_time: float | None
    top_score: float | None
    has_snapshot: bool
    alerted: bool = Field(description="whether it did alert")
    would_alert: bool
    reason: str


class ZonePreview(_SceneAnswer):
    """The visits since `after`, newest first, judged by a draft; the alarm's state and the cooldown are left out."""

    camera: str
    after: float
    alerted: int
    would_alert: int
    visits: list[PreviewedVisit]


class ZoneDraft(BaseModel):
    """Zones, masks and sizes that are not saved yet; points and areas are shares of the picture."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    zones: dict[Identifier, Polygon] = {}
    masks: tuple[Polygon, ...] = ()
    alert_zones: tuple[Identifier, ...] = Field(default=(), description="the zones that alert; empty: everywhere")
    min_area: Unit = 0.0
    max_area: Unit = 1.0
    after: float = Field(ge=0.0, allow_inf_nan=False, description="epoch seconds: visits that started later are judged")
