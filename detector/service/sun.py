"""Sunrise and sunset of a place, by the `astral` library (NOAA's equations; a minute or so off at middle latitudes)."""

from __future__ import annotations

import functools
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Literal

from astral import Observer
from astral.sun import elevation, sunrise, sunset

PolarState = Literal["day", "night"]


class Sun:
    """`latitude`, `longitude` in degrees; days are those of `zone`."""

    def __init__(self, latitude: float, longitude: float, zone: tzinfo) -> None:
        # astral divides by the cosine of the latitude.
        self._observer = Observer(max(-89.9, min(89.9, latitude)), longitude)
        self._zone = zone
        self._known = functools.lru_cache(maxsize=64)(self._find)

    def moment(self, event: str, day: date) -> float | None:
        """`sunrise` or `sunset` of `day`, epoch s.

        Where the sun stays below the horizon all day: local noon, so that a period from sunset to sunrise covers the
        whole day. Where it stays above: None.
        """
        return self._known(event, day)

    def polar(self, day: date) -> PolarState | None:
        """Whether the sun stays above (`day`) or below (`night`) the horizon on `day`; None on an ordinary one."""
        if all(self._event(event, day) is not None for event in ("sunrise", "sunset")):
            return None
        # -0.833 degrees: the centre of the sun when its upper edge touches the horizon, refraction included.
        return "night" if self._highest(day) < -0.833 else "day"

    def _find(self, event: str, day: date) -> float | None:
        found = self._event(event, day)
        if found is not None:
            return found.timestamp()
        return self._noon(day).timestamp() if self.polar(day) == "night" else None

    def _event(self, event: str, day: date) -> datetime | None:
        try:
            return (sunrise if event == "sunrise" else sunset)(self._observer, date=day, tzinfo=self._zone)
        except ValueError:  # "Sun never reaches ..."; also where it falls on the day before or after
            return None

    def _noon(self, day: date) -> datetime:
        return datetime.combine(day, time(12), tzinfo=self._zone)

    def _highest(self, day: date) -> float:
        """Degrees above the horizon, of the day's full hours."""
        return max(elevation(self._observer, self._noon(day) + timedelta(hours=n)) for n in range(-12, 12))
