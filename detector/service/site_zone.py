"""The time zone of the site: the configured one, or the machine's own."""

from __future__ import annotations

import os
from datetime import timezone, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from detector.core.time_zone import zone

_LOCALTIME = Path("/etc/localtime")


def site_zone(name: str | None) -> tzinfo:
    """The zone called `name`; None: the machine's, by TZ, else by /etc/localtime, else UTC, as the C library does."""
    if name is not None:
        return zone(name)
    if by_environment := os.environ.get("TZ", "").removeprefix(":"):
        try:
            return zone(by_environment)
        except LookupError:
            return timezone.utc
    try:
        with _LOCALTIME.open("rb") as file:
            return ZoneInfo.from_file(file, key=_own_name())
    except (OSError, ValueError):
        return timezone.utc


def _own_name() -> str:
    return str(_LOCALTIME.resolve()).partition("zoneinfo/")[2] or "local time"
