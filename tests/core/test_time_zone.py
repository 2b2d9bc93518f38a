from __future__ import annotations

import pytest

from detector.core.time_zone import nearest_zone, zone


def test_a_zone_by_name_and_none_by_another() -> None:
    assert zone("Europe/Berlin").key == "Europe/Berlin"
    for name in ("Mars/Olympus", "/etc/passwd", "Europe", "", "a\0b"):
        with pytest.raises(LookupError):
            zone(name)


def test_a_slip_of_the_pen_is_guessed() -> None:
    assert nearest_zone("europe/berln") == "Europe/Berlin"
    assert nearest_zone("qqqqqqqqqqqqqqqqqqqqq") is None
