"""The table's row "bad config on reload, 10,000 fuzzed": the old one is kept and the key named, each time."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import pytest

from detector.core.errors import ConfigError
from detector.core.redact import redact
from support.bad_configs import WHOLE, changed
from support.reloading import Reloading


@pytest.fixture
def reloading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reloading:
    monkeypatch.setenv("DETECTOR_CACHE", str(tmp_path / "cache"))
    # The process's redactor would keep the secrets of every document; this one ends with the test.
    monkeypatch.setattr(redact, "_known", frozenset())
    monkeypatch.setattr(redact, "_patterns", ())
    return Reloading(tmp_path)


def _start(reloading: Reloading) -> dict[str, Any]:
    """WHOLE in use, with a model that is there."""
    document = copy.deepcopy(WHOLE)
    document["model"]["name"] = str(reloading.model_file)
    document["data_dir"] = str(reloading.folder / "data")
    reloading.reloader.apply(document)
    return document


def _related(key: str, path: tuple[str, ...]) -> bool:
    """Whether `key` is the one that was changed, its section, or something in it."""
    changed_key = ".".join(path)
    return bool(key) and (f"{changed_key}.".startswith(f"{key}.") or f"{key}.".startswith(f"{changed_key}."))


def _refusal(reloading: Reloading, document: dict[str, Any]) -> ConfigError | None:
    """What SIGHUP would meet with this file; None where the document is taken."""
    redact._known, redact._patterns = frozenset(), ()
    try:
        with reloading.store.change():
            reloading.reloader.apply(document, write=False)
    except ConfigError as error:
        return error
    return None


@pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=[pytest.mark.fault, pytest.mark.timeout(600)])])
def test_a_bad_configuration_changes_nothing_and_its_key_is_named(reloading: Reloading, count: int) -> None:
    base, chance = _start(reloading), random.Random(16)
    text, bad = reloading.path.read_bytes(), 0
    while bad < count:
        wrong, path = changed(base, chance)
        before, applied = reloading.store.current, (len(reloading.captured), reloading.announced)
        refusal = _refusal(reloading, wrong)
        if refusal is None:  # the change was no fault: back to where it was
            assert _refusal(reloading, base) is None
            continue
        bad += 1
        assert _related(refusal.key, path), f"{path}: {refusal}"
        assert str(refusal).startswith(f"{refusal.key}: ")
        assert reloading.store.current is before, path
        assert (len(reloading.captured), reloading.announced) == applied, path
    assert reloading.path.read_bytes() == text
