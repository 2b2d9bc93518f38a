from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from detector.config.model_settings import Model
from detector.core.errors import ModelError
from detector.inference.detector import PersonDetector
from detector.inference.factory import load_detector
from detector.models import loading
from detector.models.autotune.loader import AutotunedLoader
from detector.models.registry import Resolved
from detector.models.reload_limit import MOST, WITHIN_S, FallbackLoader
from support.inference import WALKER, end_to_end_model


@dataclass
class _Clock:
    now: float = 0.0

    def mono(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


@dataclass
class _Loads:
    """Real detectors, said to be engines."""

    path: Path
    engines: int = 0
    safe: int = 0
    clock: _Clock = field(default_factory=_Clock)

    def engine(self) -> PersonDetector:
        self.engines += 1
        detector = load_detector(path=self.path, name="m", threads=1)
        detector._backend.name = "tensorrt"  # type: ignore[misc]  # there is no GPU to have one on
        return detector

    def cpu(self) -> PersonDetector:
        self.safe += 1
        return load_detector(path=self.path, name="m", threads=1)

    def bounded(self) -> FallbackLoader:
        return FallbackLoader(load=self.engine, safe=self.cpu, clock=self.clock)


@pytest.fixture
def loads(tmp_path: Path) -> _Loads:
    return _Loads(path=end_to_end_model(tmp_path / "m.onnx", [WALKER]))


def test_an_engine_that_fails_again_and_again_gives_way(loads: _Loads) -> None:
    load = loads.bounded()
    assert [load().backend for _ in range(MOST + 2)] == ["tensorrt"] * MOST + ["onnxruntime"] * 2
    assert (loads.engines, loads.safe) == (MOST, 2)


def test_one_that_fails_now_and_then_is_loaded_for_ever(loads: _Loads) -> None:
    load = loads.bounded()
    for _ in range(3 * MOST):
        assert load().backend == "tensorrt"
        loads.clock.now += WITHIN_S / (MOST - 1)
    assert loads.safe == 0


def test_a_load_that_fails_and_onnxruntime_count_for_nothing(loads: _Loads) -> None:
    def refuses() -> PersonDetector:
        raise ModelError("the GPU cannot run it")

    load = FallbackLoader(load=refuses, safe=loads.cpu, clock=loads.clock)
    for _ in range(2 * MOST):
        with pytest.raises(ModelError):
            load()
    load = FallbackLoader(load=loads.cpu, safe=refuses, clock=loads.clock)
    assert [load().backend for _ in range(2 * MOST)] == ["onnxruntime"] * (2 * MOST)


@pytest.mark.parametrize(("backend", "bounded"), [("auto", True), ("onnxruntime", False), ("tensorrt", False)])
def test_what_the_user_named_is_not_replaced(loads: _Loads, backend: str, bounded: bool) -> None:
    resolved = Resolved(name="m", path=loads.path, spec=None, entry=None)
    load = loading.loader(Model.model_validate({"name": str(loads.path), "backend": backend}), resolved)
    assert isinstance(load, FallbackLoader) == bounded


def test_the_services_own_loader_counts_over_all_its_loads(loads: _Loads, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def open_file(model: Model, *_: object, **__: object) -> PersonDetector:
        opened.append(model.backend)
        return loads.cpu() if model.backend == "onnxruntime" else loads.engine()

    monkeypatch.setattr(loading, "open_file", open_file)
    monkeypatch.setattr(loading, "tensorrt_usable", lambda: True)
    resolved = Resolved(name="m", path=loads.path, spec=None, entry=None)
    load = AutotunedLoader(Model(name=str(loads.path), probe=False), resolved)
    for _ in range(MOST + 1):
        load()
    assert opened == ["auto"] * MOST + ["onnxruntime"]
