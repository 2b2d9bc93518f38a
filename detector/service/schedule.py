"""When the configured schedules arm: pure arithmetic on the calendar.

Times are local ones of the site's time zone. At the change to summer time, a time that does not exist is taken as if the
clock had not been changed yet (02:30 is then 03:30); at the change back, of a time that comes twice a period begins with
the first and ends with the second: it arms rather longer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from typing import Final

from detector.config.arming import AlarmSchedule, ArmedState, Day, SiteLocation, TimeOfDay

from .site_zone import site_zone
from .sun import Sun

_DAYS: Final[tuple[Day, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOUR: Final = 60
# Does a period reach into the next day? A clock's time beside the sun's cannot be compared once for the whole year, so
# the sun's is taken where it makes the shorter period: the earliest that people know for a start, the latest for an end.
_START_AT: Final = {"sunrise": 3 * _HOUR, "sunset": 15 * _HOUR, "midnight": 0}
_END_AT: Final = {"sunrise": 10 * _HOUR, "sunset": 22 * _HOUR, "midnight": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """One armed period of the schedule `name`: `start` <= t < `end`, epoch seconds."""

    name: str
    arm: ArmedState
    start: float
    end: float


class ScheduleCalendar:
    """The periods of all schedules; `location` has a place where one of them names the sun."""

    def __init__(self, schedules: Mapping[str, AlarmSchedule], location: SiteLocation) -> None:
        self._schedules = {name: schedule for name, schedule in schedules.items() if schedule.enabled}
        self.zone: tzinfo = site_zone(location.timezone)
        self._sun: Sun | None = None
        if location.latitude is not None and location.longitude is not None:
            self._sun = Sun(location.latitude, location.longitude, self.zone)

    def active(self, wall: float) -> tuple[Period, ...]:
        """The periods that `wall`, epoch s, is in, by name."""
        today = self.local(wall).date()
        found = (
            period
            for name, schedule in sorted(self._schedules.items())
            # The day before yesterday: its period may end today, after an offset or a change of the clock.
            for day in (today - timedelta(days=2), today - timedelta(days=1), today, today + timedelta(days=1))
            if (period := self._period(name, schedule, day)) is not None and period.start <= wall < period.end
        )
        longest: dict[str, Period] = {}
        for period in found:
            if period.name not in longest or period.end > longest[period.name].end:
                longest[period.name] = period
        return tuple(longest.values())

    def notes(self, wall: float) -> tuple[str, ...]:
        """What the schedules cannot do on `wall`'s day, in plain words: the sun does not set, say."""
        return tuple(self._notes(self.local(wall).date()))

    def local(self, wall: float) -> datetime:
        return datetime.fromtimestamp(wall, tz=timezone.utc).astimezone(self.zone)

    def next_start(self, wall: float) -> Period | None:
        """The period that begins next after `wall`, within eight days."""
        today = self.local(wall).date()
        days = [today + timedelta(days=n) for n in range(9)]
        periods = [self._period(name, schedule, day) for name, schedule in self._schedules.items() for day in days]
        coming = [period for period in periods if period is not None and period.start > wall]
        return min(coming, key=lambda period: (period.start, period.name), default=None)

    def _period(self, name: str, schedule: AlarmSchedule, day: date) -> Period | None:
        """The period that begins on `day`; None where none does."""
        if schedule.days and _DAYS[day.weekday()] not in schedule.days:
            return None
        begins, ends = schedule.begins, schedule.ends
        start = self._moment(begins, day, fold=0)
        end = self._moment(ends, day + timedelta(days=_reaches_next_day(begins, ends)), fold=1)
        if start is None or end is None or end <= start:
            return None
        return Period(name=name, arm=schedule.arm, start=start, end=end)

    def _moment(self, at: TimeOfDay, day: date, *, fold: int) -> float | None:
        if at.is_sun:
            sun = None if self._sun is None else self._sun.moment(at.anchor, day)
            return None if sun is None else sun + at.minutes * 60.0
        days, minutes = divmod(at.minutes, 24 * _HOUR)
        clock = time(minutes // _HOUR, minutes % _HOUR)
        local = datetime.combine(day + timedelta(days=days), clock, tzinfo=self.zone).replace(fold=fold)
        if _is_skipped(local):
            local = local.replace(fold=0)  # the offset from before the change, for an end too
        return local.timestamp()

    def _notes(self, day: date) -> Iterator[str]:
        for name, schedule in sorted(self._schedules.items()):
            if schedule.days and _DAYS[day.weekday()] not in schedule.days:
                continue
            if schedule.needs_sun and self._sun is not None and (state := self._sun.polar(day)) is not None:
                yield f"{name}: {_POLAR[state]}"


_POLAR: Final = {
    "day": "the sun does not set here today: the schedule does not arm",
    "night": "the sun does not rise here today: noon stands for sunrise and sunset",
}


def _reaches_next_day(begins: TimeOfDay, ends: TimeOfDay) -> int:
    if begins.anchor == ends.anchor:
        return int(ends.minutes <= begins.minutes)
    start = _START_AT[begins.anchor] + begins.minutes
    return int(_END_AT[ends.anchor] + ends.minutes <= start)


def _is_skipped(local: datetime) -> bool:
    """Whether the clock never shows this time: it is put forward over it."""
    back = local.astimezone(timezone.utc).astimezone(local.tzinfo)
    return back.replace(tzinfo=None) != local.replace(tzinfo=None, fold=back.fold)
