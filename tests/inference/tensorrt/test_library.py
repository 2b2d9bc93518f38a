"""The versions' differences, as their own bindings show them (tests/engines/test_stubs.py reads them anew)."""

from __future__ import annotations

import enum
import importlib
import importlib.util
from types import SimpleNamespace
from typing import Any

import pytest

from detector.core.errors import ModelError
from detector.inference.tensorrt import library

FLAGS = {
    "10.3": {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1},
    "10.16": {
        "EXPLICIT_BATCH": 0,
        "STRONGLY_TYPED": 1,
        "PREFER_AOT_PYTHON_PLUGINS": 3,
        "PREFER_JIT_PYTHON_PLUGINS": 2,
    },
    "11.4": {"STRONGLY_TYPED": 0, "PREFER_AOT_PYTHON_PLUGINS": 2, "PREFER_JIT_PYTHON_PLUGINS": 1},
    "rtx 1.7": {"STRONGLY_TYPED": 0},
}


@pytest.fixture(autouse=True)
def _fresh() -> Any:
    module = library._module  # the tests put others in its place
    module.cache_clear()
    yield
    module.cache_clear()


@pytest.mark.parametrize("version", FLAGS)
def test_networks_are_strongly_typed_whatever_the_version(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = enum.IntEnum("NetworkDefinitionCreationFlag", FLAGS[version])  # type: ignore[misc]  # recorded names
    monkeypatch.setattr(library, "_module", lambda: SimpleNamespace(NetworkDefinitionCreationFlag=flags))
    assert library.network_flags() == 1 << FLAGS[version]["STRONGLY_TYPED"]


def test_a_version_that_drops_the_flag_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_module", lambda: SimpleNamespace(NetworkDefinitionCreationFlag=object()))
    assert library.network_flags() == 0


def test_without_tensorrt_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert library.flavour() is None
    with pytest.raises(ModelError, match=r"apt install python3-libnvinfer.*--system-site-packages"):
        library.library()


def test_jetpacks_own_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert library.flavour() == "tensorrt"


def test_one_that_cannot_be_loaded_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_name: str) -> None:
        raise OSError("libnvinfer.so.10: cannot open shared object file")

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(ModelError, match=r"tensorrt cannot be imported \(libnvinfer\.so\.10: cannot open"):
        library.library()
