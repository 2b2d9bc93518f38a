from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from detector.models.download import download
from detector.models.download.cache import FileSpec
from detector.models.download.pin import FileHash
from detector.models.download.sources import Source
from support.fileserver import FileServer

Want = Callable[..., FileSpec]


@pytest.fixture
def server() -> Iterator[FileServer]:
    served = FileServer()
    yield served
    served.close()


@pytest.fixture(scope="session")
def content() -> bytes:
    """Larger than one read of the downloader, and the same in every run."""
    return random.Random(1).randbytes(300_001)


@pytest.fixture
def want(tmp_path: Path, content: bytes) -> Want:
    """Makes a Wanted for `content` (or another pin) out of sources as the registry writes them."""

    def make(*sources: dict[str, Any], data: bytes = content) -> FileSpec:
        return FileSpec(
            name="thing",
            path=tmp_path / "cache" / "models" / "thing.onnx",
            pin=FileHash(size=len(data), sha256=hashlib.sha256(data).hexdigest()),
            sources=tuple(TypeAdapter[Source](Source).validate_python(source) for source in sources),
        )

    return make


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_PAUSE_S", 0.0)
