from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.config.arming import AlarmSchedule, SiteLocation
from detector.service.schedule import ScheduleCalendar

BERLIN = SiteLocation(latitude=52.52, longitude=13.405, timezone="Europe/Berlin")
TROMSO = SiteLocation(latitude=69.65, longitude=18.96, timezone="Europe/Oslo")


def calendar(location: SiteLocation = BERLIN, **schedules: dict[str, Any]) -> ScheduleCalendar:
    return ScheduleCalendar({name: AlarmSchedule(**keys) for name, keys in schedules.items()}, location)


def at(text: str, of: ScheduleCalendar, *, fold: int = 0) -> float:
    """Epoch s of a local time."""
    return datetime.fromisoformat(text).replace(tzinfo=of.zone, fold=fold).timestamp()


def armed(of: ScheduleCalendar, text: str, *, fold: int = 0) -> str | None:
    periods = of.active(at(text, of, fold=fold))
    return ",".join(f"{period.name}={period.arm}" for period in periods) or None


def end_of(of: ScheduleCalendar, text: str) -> str:
    (period,) = of.active(at(text, of))
    return of.local(period.end).isoformat(timespec="minutes")


NIGHT = {"start": "22:30", "end": "06:30"}


def test_a_night_reaches_into_the_next_day() -> None:
    nights = calendar(night=NIGHT)
    assert armed(nights, "2026-06-10 22:29:59") is None
    assert armed(nights, "2026-06-10 22:30:00") == "night=armed_home"
    assert armed(nights, "2026-06-11 06:29:59") == "night=armed_home"
    assert armed(nights, "2026-06-11 06:30:00") is None


def test_days_are_those_on_which_it_begins() -> None:
    friday = calendar(party={**NIGHT, "days": ["fri"], "arm": "armed_away"})
    assert armed(friday, "2026-06-12 23:00") == "party=armed_away", "a Friday"
    assert armed(friday, "2026-06-13 05:00") == "party=armed_away"
    assert armed(friday, "2026-06-13 23:00") is None
    assert armed(friday, "2026-06-12 05:00") is None


@pytest.mark.parametrize(("start", "end"), [("00:00", "24:00"), ("08:00", "08:00"), ("24:00", "24:00")])
def test_the_same_time_twice_and_24_00_are_a_whole_day(start: str, end: str) -> None:
    always = calendar(always={"start": start, "end": end})
    moment = at("2026-06-10 03:00", always)
    assert all(always.active(moment + hour * 3600) for hour in range(72))


def test_a_schedule_that_is_off_does_nothing() -> None:
    assert armed(calendar(night={**NIGHT, "enabled": False}), "2026-06-10 23:00") is None


def test_overlapping_schedules_are_both_there() -> None:
    both = calendar(night=NIGHT, late={"start": "23:00", "end": "02:00", "arm": "armed_away"})
    assert armed(both, "2026-06-11 01:00") == "late=armed_away,night=armed_home"
    assert armed(both, "2026-06-11 03:00") == "night=armed_home"


# The change of the clock: on 2026-03-29 02:00 becomes 03:00, on 2026-10-25 03:00 becomes 02:00


def test_forward_the_hour_that_is_missing_is_taken_by_the_old_clock() -> None:
    gap = calendar(early={"start": "02:30", "end": "05:00"})
    start = at("2026-03-29 03:30", gap)
    assert gap.active(start - 1) == ()
    assert gap.active(start) != ()
    assert armed(gap, "2026-03-30 02:30") is not None, "the next day as ever"


def test_forward_a_night_is_an_hour_shorter_and_ends_by_the_clock_on_the_wall() -> None:
    nights = calendar(night=NIGHT)
    (period,) = nights.active(at("2026-03-28 23:00", nights))
    assert period.end - period.start == 7 * 3600
    assert end_of(nights, "2026-03-28 23:00") == "2026-03-29T06:30+02:00"


def test_forward_an_end_that_is_missing_comes_by_the_old_clock() -> None:
    nights = calendar(night={"start": "22:00", "end": "02:30"})
    assert end_of(nights, "2026-03-28 23:00") == "2026-03-29T03:30+02:00"


def test_back_a_start_that_comes_twice_is_the_first() -> None:
    early = calendar(early={"start": "02:30", "end": "05:00"})
    assert armed(early, "2026-10-25 02:31") is not None
    (period,) = early.active(at("2026-10-25 02:31", early))
    assert period.end - period.start == 3.5 * 3600


def test_back_an_end_that_comes_twice_is_the_second() -> None:
    nights = calendar(night={"start": "22:00", "end": "02:30"})
    assert armed(nights, "2026-10-25 02:45") is not None, "the first 02:45"
    assert armed(nights, "2026-10-25 02:29", fold=1) is not None
    assert armed(nights, "2026-10-25 02:30", fold=1) is None


# The sun


def test_sunset_and_sunrise_move_with_the_year() -> None:
    dark = calendar(dark={"start": "sunset", "end": "sunrise"})
    assert end_of(dark, "2026-06-21 23:00").startswith("2026-06-22T04:4")
    assert end_of(dark, "2026-12-21 23:00").startswith("2026-12-22T08:1")
    assert armed(dark, "2026-06-21 20:00") is None
    assert armed(dark, "2026-12-21 17:00") is not None


def test_offsets_are_added() -> None:
    dark = calendar(dark={"start": "sunset-01:00", "end": "sunrise+00:30"})
    plain = calendar(dark={"start": "sunset", "end": "sunrise"})
    (a,), (b,) = (each.active(at("2026-06-21 23:00", each)) for each in (dark, plain))
    assert (b.start - a.start, round(a.end - b.end)) == (3600, 1800)


@pytest.mark.parametrize(
    ("start", "end", "inside", "outside"),
    [
        # In summer the sun is up before 05:00, and sets after 21:00: nothing, and not 23 hours.
        ("05:00", "sunrise", "2026-12-10 06:00", "2026-06-10 12:00"),
        ("sunset", "21:00", "2026-12-10 20:00", "2026-06-11 12:00"),
        ("19:00", "sunset", "2026-06-10 20:00", "2026-12-10 20:00"),
        ("sunset", "06:30", "2026-06-11 06:00", "2026-06-11 12:00"),
        ("22:00", "sunrise", "2026-12-11 07:00", "2026-12-11 12:00"),
        ("sunrise", "sunset", "2026-12-11 12:00", "2026-12-11 20:00"),
        ("sunrise-01:00", "sunrise+01:00", "2026-12-11 08:30", "2026-12-11 12:00"),
    ],
)
def test_the_sun_and_the_clock_together(start: str, end: str, inside: str, outside: str) -> None:
    mixed = calendar(mixed={"start": start, "end": end})
    assert armed(mixed, inside) is not None
    assert armed(mixed, outside) is None


def test_on_a_polar_day_the_sun_does_not_set_and_that_is_said() -> None:
    dark = calendar(TROMSO, dark={"start": "sunset", "end": "sunrise"})
    noon = at("2026-06-21 12:00", dark)
    assert not any(dark.active(noon + hour * 3600) for hour in range(24))
    assert dark.notes(noon) == ("dark: the sun does not set here today: the schedule does not arm",)
    assert dark.notes(at("2026-03-21 12:00", dark)) == ()


def test_in_the_polar_night_dark_is_all_day_and_that_is_said() -> None:
    dark = calendar(TROMSO, dark={"start": "sunset", "end": "sunrise"})
    noon = at("2026-12-20 12:00", dark)
    assert all(dark.active(noon + minute * 60) for minute in range(0, 48 * 60, 7))
    assert "does not rise" in dark.notes(noon)[0]


@pytest.mark.parametrize("latitude", [-90.0, -66.6, 0.0, 66.6, 90.0])
def test_no_place_and_no_day_makes_it_fail(latitude: float) -> None:
    place = SiteLocation(latitude=latitude, longitude=179.9, timezone="Pacific/Kiritimati")
    dark = calendar(place, dark={"start": "sunset", "end": "sunrise"}, late={"start": "22:00", "end": "sunrise"})
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)
    for day in range(0, 366, 3):
        moment = (start + timedelta(days=day)).timestamp()
        dark.notes(moment)
        assert len(dark.active(moment)) <= 2


def test_what_comes_next() -> None:
    nights = calendar(night=NIGHT, late={"start": "23:00", "end": "02:00"})
    coming = nights.next_start(at("2026-06-10 12:00", nights))
    assert coming is not None
    assert (coming.name, nights.local(coming.start).hour) == ("night", 22)
    assert calendar().next_start(0.0) is None


TIMES = st.one_of(
    st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59)),
    st.sampled_from(("sunrise", "sunset", "sunset-01:30", "sunrise+02:00")),
)


@given(TIMES, TIMES, st.integers(1_700_000_000, 1_800_000_000))
def test_a_period_is_never_longer_than_a_day_and_a_change_of_the_clock(start: str, end: str, moment: int) -> None:
    for period in calendar(any={"start": start, "end": end}).active(moment):
        assert period.start <= moment < period.end
        assert period.end - period.start <= 25.2 * 3600
