"""What arms and disarms by itself: who is at home, and at which times; the place that sunrise and sunset are of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from detector.core.time_zone import nearest_zone, zone

from .section import ConfigSection
from .value_types import Identifier, Seconds, Text, Topic

ArmedState = Literal["armed_away", "armed_home"]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Anchor = Literal["midnight", "sunrise", "sunset"]

_TIME = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)")
_SUN = re.compile(r"(sunrise|sunset)(?:\s*([+-])\s*(\d{1,2}):([0-5]\d))?")
_MAX_OFFSET = 12 * 60  # minutes: farther from sunset than this is nearer to sunrise
_WRITE = "write a time (06:30), sunrise or sunset, with an offset if wanted (sunset-00:30)"


@dataclass(frozen=True, slots=True)
class TimeOfDay:
    """`minutes` after the day's midnight by the clock on the wall, or after (before: negative) its sunrise or sunset."""

    anchor: Anchor
    minutes: int
    text: str

    @property
    def is_sun(self) -> bool:
        return self.anchor != "midnight"


def parse_time_of_day(text: str) -> TimeOfDay:
    """`06:30`, `24:00`, `sunrise`, `sunset-00:30`; raises ValueError that says what to write."""
    plain = text.strip().lower()
    if match := _TIME.fullmatch(plain):
        minutes = int(match[1]) * 60 + int(match[2])
        if minutes > 24 * 60:
            raise ValueError(f"{_WRITE}: the last time of a day is 24:00")
        return TimeOfDay("midnight", minutes, plain)
    if match := _SUN.fullmatch(plain):
        offset = int(match[3] or 0) * 60 + int(match[4] or 0)
        if offset > _MAX_OFFSET:
            raise ValueError("an offset from sunrise or sunset is at most 12:00")
        anchor: Anchor = "sunrise" if match[1] == "sunrise" else "sunset"
        return TimeOfDay(anchor, -offset if match[2] == "-" else offset, plain)
    raise ValueError(_WRITE)


def _checked_time(text: str) -> str:
    return parse_time_of_day(text).text


TimeText = Annotated[str, Field(max_length=32), AfterValidator(_checked_time)]


class SiteLocation(ConfigSection):
    """Where the device stands: for sunrise, sunset and the clock on the wall."""

    latitude: float | None = Field(default=None, ge=-90.0, le=90.0, description="degrees, north positive")
    longitude: float | None = Field(default=None, ge=-180.0, le=180.0, description="degrees, east positive")
    timezone: Text | None = Field(
        default=None, max_length=64, description="such as Europe/Berlin; null: the machine's own"
    )

    @model_validator(mode="after")
    def _known(self) -> SiteLocation:
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("latitude and longitude go together")
        if self.timezone is not None:
            try:
                zone(self.timezone)
            except LookupError:
                near = nearest_zone(self.timezone)
                raise ValueError(
                    f"timezone is not known: write a name such as Europe/Berlin{f'; did you mean {near}?' if near else ''}"
                ) from None
        return self


class AlarmSchedule(ConfigSection):
    """A period of the day in which the alarm is armed."""

    start: TimeText = Field(description="06:30, sunrise, sunset, sunset-00:30")
    end: TimeText = Field(description="as `start`; on the next day where it comes before `start`")
    days: tuple[Day, ...] = Field(default=(), max_length=7, description="the days on which it begins; none: every day")
    arm: ArmedState = Field(default="armed_home", description="how it is armed")
    enabled: bool = True

    @property
    def begins(self) -> TimeOfDay:
        return parse_time_of_day(self.start)

    @property
    def ends(self) -> TimeOfDay:
        return parse_time_of_day(self.end)

    @property
    def needs_sun(self) -> bool:
        return self.begins.is_sun or self.ends.is_sun


class Person(ConfigSection):
    """Somebody whose phone says over MQTT whether it is at home."""

    topic: Topic
    home: Text = Field(default="home", min_length=1, max_length=64, description="the payload that means at home")
    away: Text = Field(
        default="not_home",
        min_length=1,
        max_length=64,
        description='the payload that means away; "*": any other, but unknown, unavailable and none',
    )

    @model_validator(mode="after")
    def _differ(self) -> Person:
        if self.home == self.away:
            raise ValueError("home and away are the same payload: the two could not be told apart")
        if self.home == "*":
            raise ValueError("home must be one payload, not *: anything would disarm")
        return self


class Presence(ConfigSection):
    """Who is at home decides about the alarm."""

    topics: dict[Identifier, Person] = Field(default_factory=dict, max_length=32)
    arm: ArmedState = Field(default="armed_away", description="how it is armed when the last one has left")
    away_after_s: Seconds = Field(
        default=0.0, description="seconds that a phone must be away before its owner counts as gone: Wi-Fi drops out"
    )
