from __future__ import annotations

from typing import Any

import pytest

from detector.config import document as config_file
from detector.config.arming import parse_time_of_day
from detector.core.errors import ConfigError

CAMERAS = {"porch": {"source": "rtsp://10.0.0.4/live"}}
BERLIN = {"latitude": 52.52, "longitude": 13.4, "timezone": "Europe/Berlin"}


def fault(**sections: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        config_file.validate({"cameras": CAMERAS, **sections})
    return str(caught.value)


def night(**keys: Any) -> dict[str, Any]:
    return {"night": {"start": "22:30", "end": "06:30", **keys}}


@pytest.mark.parametrize(
    ("text", "anchor", "minutes"),
    [
        ("06:30", "midnight", 390),
        ("6:30", "midnight", 390),
        ("0:00", "midnight", 0),
        ("24:00", "midnight", 1440),
        ("Sunset", "sunset", 0),
        ("sunset-00:30", "sunset", -30),
        ("sunrise + 1:15", "sunrise", 75),
    ],
)
def test_times_as_people_write_them(text: str, anchor: str, minutes: int) -> None:
    read = parse_time_of_day(text)
    assert (read.anchor, read.minutes) == (anchor, minutes)


@pytest.mark.parametrize(
    "text",
    ["", "7", "25:00", "24:01", "12:60", "-1:00", "noon", "sunset-", "sunset 30", "sunset-13:00", "22:30:00", "½:00"],
)
def test_other_times_are_refused_with_what_to_write(text: str) -> None:
    message = fault(schedules=night(start=text))
    assert message.startswith("schedules.night.start")
    assert any(word in message for word in ("write a time", "at most 12:00"))


def test_a_time_without_quotes_that_became_a_number_says_so() -> None:
    assert "quotes" in fault(schedules=night(start=390))


def test_a_schedule_of_the_sun_needs_a_place() -> None:
    assert "set location.latitude" in fault(schedules=night(start="sunset"))
    config_file.validate({"cameras": CAMERAS, "schedules": night(start="sunset"), "location": BERLIN})
    config_file.validate({"cameras": CAMERAS, "schedules": night(start="sunset", enabled=False)})


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ({"timezone": "Europe/Berln"}, "did you mean Europe/Berlin?"),
        ({"timezone": "../../etc/passwd"}, "timezone is not known"),
        ({"timezone": "Europe"}, "timezone is not known"),
        ({"timezone": ""}, "timezone is not known"),
        ({"latitude": 52.0}, "go together"),
        ({"latitude": 91, "longitude": 0}, "less than or equal to 90"),
        ({"latitude": float("nan"), "longitude": 0}, "finite"),
        ({"latitud": 1}, "did you mean latitude?"),
    ],
)
def test_places_that_are_none(location: dict[str, Any], words: str) -> None:
    assert words in fault(location=location)


def test_unknown_days_and_states_are_refused() -> None:
    assert "schedules.night.days" in fault(schedules=night(days=["monday"]))
    assert "schedules.night.arm" in fault(schedules=night(arm="disarmed"))


@pytest.mark.parametrize(
    ("person", "words"),
    [
        ({}, "required"),
        ({"topic": "phones/#"}, "plain MQTT topic"),
        ({"topic": "phones/alice", "home": "x", "away": "x"}, "same payload"),
        ({"topic": "phones/alice", "home": "*"}, "anything would disarm"),
        ({"topic": "phones/alice", "home": ""}, "at least 1"),
    ],
)
def test_people_whose_phones_could_not_be_understood(person: dict[str, Any], words: str) -> None:
    assert words in fault(presence={"topics": {"alice": person}})
