from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def photographs(request: pytest.FixtureRequest, has_shared: bool, people: Path) -> list[Path]:
    """Six pictures, persons in the first at least."""
    if not has_shared:
        return sorted(people.iterdir())[:6]
    shared: Path = request.getfixturevalue("shared")
    return [shared / "media" / "images" / "bus.jpg", *sorted(people.iterdir())[:5]]
