"""The real stage with real child processes and a real worker; only the engine is another ONNX model."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from detector.config.schema import Model
from detector.core.errors import ModelError
from detector.core.threads import ServiceThread
from detector.inference.detector import PersonDetector
from detector.inference.factory import load_detector
from detector.service.engine_upgrade import EngineUpgrade, Plan, plan, wanted
from detector.service.runtime import House
from support.inference import DEADLINE_S, WALKER, RunningInference, end_to_end_model

BUILT = [sys.executable, "-c", 'print(\'{"note": "fp16 was refused: it finds nobody"}\')']
FAILS = [sys.executable, "-c", "import sys; print('detector: no memory', file=sys.stderr); sys.exit(1)"]
WAITS = [sys.executable, "-c", "import time; print('started', flush=True); time.sleep(600)"]


@dataclass
class _Setting:
    model: Model = field(default_factory=Model)


@dataclass
class _UpgradeHost:
    """The part of the house that the stage looks at."""

    worker: Any
    config: _Setting = field(default_factory=_Setting)
    changing: threading.Lock = field(default_factory=threading.Lock)


@pytest.fixture
def shop(tmp_path: Path) -> RunningInference:
    return RunningInference(end_to_end_model(tmp_path / "seeing.onnx", [WALKER]))


@pytest.fixture
def faster(tmp_path: Path) -> Callable[[], PersonDetector]:
    path = end_to_end_model(tmp_path / "faster.onnx", [WALKER, [5, 10, 15, 60, 0.8, 0]])
    return lambda: load_detector(path=path, name="faster", threads=1)


def stage(rooms: _UpgradeHost, command: list[str], load: Callable[[], PersonDetector]) -> ServiceThread:
    upgrade = EngineUpgrade(
        house=cast("House", rooms),
        wanted=lambda model: model.backend == "auto",
        plan=lambda _model: Plan(command=command, open=load, reload=load),
    )
    return ServiceThread(name="upgrade", run=upgrade.run)


def test_the_engine_takes_over_and_no_frame_is_lost(
    shop: RunningInference, faster: Callable[[], PersonDetector]
) -> None:
    rooms = _UpgradeHost(worker=shop.worker)
    upgrade = stage(rooms, BUILT, faster)
    with shop:
        shop.worker.wait_loaded(DEADLINE_S)
        upgrade.start()
        shop.feed_until(lambda: ("a", 2) in shop.diary.counts)
        assert shop.worker.detector is not None
        assert shop.worker.detector.model_name == "faster"
        assert shop.worker.note == "fp16 was refused: it finds nobody"
        assert upgrade.alive, "a stage that ends would end the service"
        assert upgrade.join(DEADLINE_S)
    assert 0 not in [count for _, count in shop.diary.counts[1:-1]], "the person was there throughout"


def test_a_build_that_fails_is_told_and_onnxruntime_stays(
    shop: RunningInference, faster: Callable[[], PersonDetector]
) -> None:
    rooms = _UpgradeHost(worker=shop.worker)
    upgrade = stage(rooms, FAILS, faster)
    with shop:
        shop.worker.wait_loaded(DEADLINE_S)
        upgrade.start()
        shop.feed_until(lambda: shop.worker.note == "no TensorRT engine: no memory")
        assert shop.worker.detector is not None
        assert shop.worker.detector.model_name == "seeing.onnx"
        assert upgrade.join(DEADLINE_S)


def test_an_engine_that_cannot_be_opened_is_told(shop: RunningInference) -> None:
    def refuses() -> PersonDetector:
        raise ModelError("pycuda cannot be imported")

    upgrade = stage(_UpgradeHost(worker=shop.worker), BUILT, refuses)
    with shop:
        shop.worker.wait_loaded(DEADLINE_S)
        upgrade.start()
        shop.feed_until(lambda: shop.worker.note == "no TensorRT engine: pycuda cannot be imported")
        assert upgrade.join(DEADLINE_S)


def test_a_stop_ends_the_build(shop: RunningInference, faster: Callable[[], PersonDetector]) -> None:
    upgrade = stage(_UpgradeHost(worker=shop.worker), WAITS, faster)
    with shop:
        shop.worker.wait_loaded(DEADLINE_S)
        upgrade.start()
        shop.feed_until(lambda: shop.worker.note == "a TensorRT engine is being built")
        assert upgrade.join(DEADLINE_S)
        assert shop.worker.detector is not None
        assert shop.worker.detector.model_name == "seeing.onnx"


def test_another_model_in_the_config_starts_anew(shop: RunningInference, faster: Callable[[], PersonDetector]) -> None:
    rooms = _UpgradeHost(worker=shop.worker, config=_Setting(Model(backend="onnxruntime")))
    upgrade = stage(rooms, BUILT, faster)
    with shop:
        shop.worker.wait_loaded(DEADLINE_S)
        upgrade.start()
        shop.feed_until(lambda: ("a", 1) in shop.diary.counts)
        assert shop.worker.note is None, "nobody asked for an engine"
        rooms.config = _Setting(Model(name="yolox-nano"))
        shop.feed_until(lambda: ("a", 2) in shop.diary.counts)
        assert upgrade.join(DEADLINE_S)


def test_what_is_run_for_a_model(tmp_path: Path) -> None:
    path = end_to_end_model(tmp_path / "m.onnx", [WALKER])
    made = plan(Model(name=str(path), precision="fp16"))
    assert list(made.command[1:]) == ["-m", "detector", "build", str(path), "--precision", "fp16", "--json"]
    with pytest.raises(ModelError):
        made.open()
    assert plan(Model(name=str(path))).reload().backend == "onnxruntime"


def test_only_auto_wants_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detector.service.engine_upgrade.tensorrt_usable", lambda: True)
    assert wanted(Model())
    assert not wanted(Model(backend="onnxruntime"))
    assert not wanted(Model(name="m.engine"))
    monkeypatch.setattr("detector.service.engine_upgrade.tensorrt_usable", lambda: False)
    assert not wanted(Model())
