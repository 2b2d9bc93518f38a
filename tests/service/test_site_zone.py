from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

import pytest

from detector.service.site_zone import site_zone

MOMENT = 1_782_900_000.0


def test_the_machines_own_zone_is_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert str(site_zone(None)) == "Asia/Tokyo"
    assert str(site_zone("Europe/Berlin")) == "Europe/Berlin", "what is configured goes first"
    monkeypatch.setenv("TZ", "no such zone")
    assert site_zone(None) is timezone.utc


def test_else_it_is_the_machines_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TZ", raising=False)
    time.tzset()
    here = datetime.fromtimestamp(MOMENT, tz=site_zone(None)).utcoffset()
    assert here == timedelta(seconds=time.localtime(MOMENT).tm_gmtoff)
