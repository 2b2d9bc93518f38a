from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def coco(shared: Path) -> list[Path]:
    return sorted((shared / "media" / "coco").rglob("*.jpg"))
