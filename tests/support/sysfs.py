"""A folder laid out like /sys, as the named devices show themselves."""

from __future__ import annotations

from pathlib import Path


def write_sysfs(root: Path, files: dict[str, str | int]) -> Path:
    """Each value whole at once, as the kernel gives it; returns `root`."""
    for name, value in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_text(f"{value}\n", encoding="ascii")
        fresh.replace(path)
    return root


def thermal_zone(number: int, kind: str, milli: int, **trips: int) -> dict[str, str | int]:
    """`trips`: millidegrees by the trip point's type."""
    zone = f"class/thermal/thermal_zone{number}"
    files: dict[str, str | int] = {f"{zone}/type": kind, f"{zone}/temp": milli}
    for index, (trip, at) in enumerate(trips.items()):
        files |= {f"{zone}/trip_point_{index}_type": trip, f"{zone}/trip_point_{index}_temp": at}
    return files
