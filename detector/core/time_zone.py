"""Time zones by name."""

from __future__ import annotations

import difflib
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones


def zone(name: str) -> ZoneInfo:
    """The zone called `name` as IANA calls it; raises LookupError for an unknown one."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a path, a folder, or a name that nobody has
        raise LookupError(f"no time zone {name}") from None


def nearest_zone(name: str) -> str | None:
    """The known name that looks most like `name`."""
    lower = {known.lower(): known for known in available_timezones()}
    found = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    return lower[found[0]] if found else None
