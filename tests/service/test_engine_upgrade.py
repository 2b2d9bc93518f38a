"""The real thread with real child processes and a real inference loop; only the engine is another ONNX model."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from detector.config.model_settings import Model
from detector.config.schema import Config
from detector.core.errors import ModelError
from detector.core.threads import ServiceThread
from detector.inference.detector import PersonDetector
from detector.inference.factory import load_detector
from detector.service.config_store import ConfigStore
from detector.service.engine_upgrade import EngineUpgrade, Plan, plan, wanted
from support.inference import DEADLINE_S, WALKER, RunningInference, end_to_end_model

BUILT = [sys.executable, "-c", 'print(\'{"note": "fp16 was refused: it finds nobody"}\')']
FAILS = [sys.executable, "-c", "import sys; print('detector: no memory', file=sys.stderr); sys.exit(1)"]
WAITS = [sys.executable, "-c", "import time; print('started', flush=True); time.sleep(600)"]


def store_of(model: Model) -> ConfigStore:
    cameras = {"a": {"source": "a.mp4"}}
    return ConfigStore(
        document={}, path=None, config=Config.model_validate({"model": model.model_dump(), "cameras": cameras})
    )


@pytest.fixture
def shop(tmp_path: Path) -> RunningInference:
    return RunningInference(end_to_end_model(tmp_path / "seeing.onnx", [WALKER]))


@pytest.fixture
def faster(tmp_path: Path) -> Callable[[], PersonDetector]:
    path = end_to_end_model(tmp_path / "faster.onnx", [WALKER, [5, 10, 15, 60, 0.8, 0]])
    return lambda: load_detector(path=path, name="faster", threads=1)


def thread(
    shop: RunningInference, store: ConfigStore, command: list[str], load: Callable[[], PersonDetector]
) -> ServiceThread:
    upgrade = EngineUpgrade(
        store=store,
        model=shop.model,
        wanted=lambda model: model.backend == "auto",
        plan=lambda _model: Plan(command=command, open=load, reload=load),
    )
    return ServiceThread(name="upgrade", run=upgrade.run)


def test_the_engine_takes_over_and_no_frame_is_lost(
    shop: RunningInference, faster: Callable[[], PersonDetector]
) -> None:
    upgrade = thread(shop, store_of(Model()), BUILT, faster)
    with shop:
        shop.model.wait_loaded(DEADLINE_S)
        upgrade.start()
        shop.feed_until(lambda: ("a", 2) in shop.findings.counts)
        assert shop.model.detector is not None
        assert shop.model.detector.model_name == "faster"
        assert shop.model.note == "fp16 was refused: it finds nobody"
        assert upgrade.alive, "a thread that ends would end the service"
        assert upgrade.join(DEADLINE_S)
    assert 0 not in [count for _, count in shop.findings.counts[1:-1]], "the person was there throughout"


def test_a_build_that_fails_is_reported_and_onnxruntime_stays(
    shop: RunningInference, faster: Callable[[], PersonDetector]
) -> None:
    upgrade = thread(shop, store_of(Model()), FAILS, faster)
    with shop:
        shop.model.wait_loaded(DEADLINE_S)
        upgrade.start()
        shop.feed_until(lambda: shop.model.note == "no TensorRT engine: no memory")
        assert shop.model.detector is not None
        assert shop.model.detector.model_name == "seeing.onnx"
        assert upgrade.join(DEADLINE_S)


def test_an_engine_that_cannot_be_opened_is_reported(shop: RunningInference) -> None:
    def refuses() -> PersonDetector:
        raise ModelError("pycuda cannot be imported")

    upgrade = thread(shop, store_of(Model()), BUILT, refuses)
    with shop:
        shop.model.wait_loaded(DEADLINE_S)
        upgrade.start()
        shop.feed_until(lambda: shop.model.note == "no TensorRT engine: pycuda cannot be imported")
        assert upgrade.join(DEADLINE_S)


def test_a_stop_ends_the_build(shop: RunningInference, faster: Callable[[], PersonDetector]) -> None:
    upgrade = thread(shop, store_of(Model()), WAITS, faster)
    with shop:
        shop.model.wait_loaded(DEADLINE_S)
        upgrade.start()
        shop.feed_until(lambda: shop.model.note == "a TensorRT engine is being built")
        assert upgrade.join(DEADLINE_S)
        assert shop.model.detector is not None
        assert shop.model.detector.model_name == "seeing.onnx"


def test_another_model_in_the_config_starts_again(shop: RunningInference, faster: Callable[[], PersonDetector]) -> None:
    store = store_of(Model(backend="onnxruntime"))
    upgrade = thread(shop, store, BUILT, faster)
    with shop:
        shop.model.wait_loaded(DEADLINE_S)
        upgrade.start()
        shop.feed_until(lambda: ("a", 1) in shop.findings.counts)
        assert shop.model.note is None, "nobody asked for an engine"
        store.replace({}, store_of(Model(name="yolox-nano")).config)
        shop.feed_until(lambda: ("a", 2) in shop.findings.counts)
        assert upgrade.join(DEADLINE_S)


def test_what_is_run_for_a_model(tmp_path: Path) -> None:
    path = end_to_end_model(tmp_path / "m.onnx", [WALKER])
    made = plan(Model(name=str(path), precision="fp16"))
    assert list(made.command[1:]) == ["-m", "detector", "build", str(path), "--precision", "fp16", "--json"]
    with pytest.raises(ModelError):
        made.open()
    assert plan(Model(name=str(path), probe=False)).reload().backend == "onnxruntime"


def test_only_auto_wants_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detector.service.engine_upgrade.tensorrt_usable", lambda: True)
    assert wanted(Model())
    assert not wanted(Model(backend="onnxruntime"))
    assert not wanted(Model(name="m.engine"))
    monkeypatch.setattr("detector.service.engine_upgrade.tensorrt_usable", lambda: False)
    assert not wanted(Model())
