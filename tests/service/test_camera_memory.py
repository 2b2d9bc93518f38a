from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detector.core.types import JsonObject
from detector.service.camera_memory import MEMORY_STATE, CameraMemory
from support.inference import WALKER, RunningInference, end_to_end_model


def test_every_cameras_document_is_kept_and_only_known_cameras_are_taken_up() -> None:
    saved: list[tuple[str, JsonObject]] = []
    memory = CameraMemory(
        saved={"a": {"x": 1}, "gone": {"x": 2}},
        cameras=("a", "b"),
        save=lambda name, document: saved.append((name, document)),
    )
    assert (memory.of("a"), memory.of("b"), memory.of("gone")) == ({"x": 1}, None, None)
    memory.keep("b", {"x": 3})
    assert saved == [(MEMORY_STATE, {"a": {"x": 1}, "b": {"x": 3}})]
    assert memory.of("b") == {"x": 3}


def test_t1_a_still_thing_alerts_once_also_after_other_settings_and_a_restart(tmp_path: Path) -> None:
    """The model finds one box that never moves in every picture."""
    path, saved = end_to_end_model(tmp_path / "seeing.onnx", [WALKER]), dict[str, Any]()
    for number in range(2):
        memory = CameraMemory(saved=saved.get(MEMORY_STATE), cameras=("a",), save=saved.__setitem__)
        with RunningInference(path, memory=memory) as shop:
            shop.model.wait_loaded(20)
            for other in range(2):
                shop.feed_until(lambda: shop.findings.changes and shop.findings.changes[-1].type != "end")
                shop.feed_until(passed(1.5))
                # Zones alone would leave the visit as it is.
                shop.loop.add("a", shop.camera.model_copy(update={"timeout_s": 50.0 + other}), enabled=True)
            assert len(shop.findings.alerts) == 1 - number
    (place,) = saved[MEMORY_STATE]["a"]["places"]
    assert place["matches"] >= 4


def passed(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def test_what_is_damaged_is_reported_and_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = end_to_end_model(tmp_path / "seeing.onnx", [WALKER])
    with RunningInference(path, memory=CameraMemory(saved={"a": {"places": 3}}, cameras=("a",))) as shop:
        shop.model.wait_loaded(20)
        shop.feed_until(lambda: shop.findings.alerts)
    assert "camera a: what was kept of its still places cannot be read" in caplog.text
