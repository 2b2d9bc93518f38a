"""Several cameras in one run of the model: the device's path with kernels of the host, in the real worker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detector.core.clock import SYSTEM_CLOCK
from detector.core.errors import InferenceError
from detector.core.types import Frame
from detector.inference.detector import PersonDetector
from support.hostcuda import HostCuda, HostEngine, use_host_kernels
from support.hostkernels import HostKernels
from support.inference import SIZE, WALKER, RunningInference, end_to_end_model

CAMERAS = ("a", "b", "c")


class Batches(RunningInference):
    """An inference loop, the model of which takes four pictures at once; its engines are kept."""

    def __init__(self, model: Path, kernels: dict[str, HostKernels]) -> None:
        self._kernels = kernels
        self.engines: list[HostEngine] = []
        super().__init__(model)
        for name in CAMERAS[1:]:
            self.frames.add(name, 100)
            self.loop.add(name, self.camera, enabled=True)

    def load(self) -> PersonDetector:
        engine = HostEngine(HostCuda(self._kernels), self.path, shared=True, batch=4)
        self.engines.append(engine)
        return PersonDetector(model_name="batched", backend=engine)

    def feed_all(self, condition: object) -> None:
        assert callable(condition)

        def fed() -> object:
            for name in CAMERAS[1:]:
                self.feed(name)
            return condition()

        self.feed_until(fed)


@pytest.fixture
def shop(tmp_path: Path, kernels: dict[str, HostKernels], monkeypatch: pytest.MonkeyPatch) -> Batches:
    use_host_kernels(monkeypatch)
    return Batches(end_to_end_model(tmp_path / "seeing.onnx", [WALKER]), kernels)


def test_waiting_cameras_share_a_run_and_none_waits_for_another(shop: Batches) -> None:
    for name in CAMERAS:
        shop.feed(name)  # all wait before the model is there
    with shop:
        shop.model.wait_loaded(20)
        warm = len(shop.engines[0].runs)
        shop.feed_until(lambda: all(shop.frames.counts(name).taken for name in CAMERAS))
        shop.feed_all(lambda: {alert.camera for alert in shop.findings.alerts} == set(CAMERAS))
    assert 4 in shop.engines[0].runs[:warm], "the sizes are set up before the first frame"
    assert max(shop.engines[0].runs[warm:]) == 4, "three waited, and channel for four is the next"
    shares = [shop.frames.counts(name).taken for name in CAMERAS[1:]]
    assert max(shares) - min(shares) <= 2, "those who are fed alike are served alike"
    for name in CAMERAS:
        stamps = [change.frame.captured_mono for change in shop.findings.changes if change.frame.camera == name]
        assert stamps == sorted(stamps)


def test_a_gated_camera_takes_no_place(shop: Batches) -> None:
    shop.loop.switch("b", enabled=False)
    for name in CAMERAS:
        shop.feed(name)
    with shop:
        shop.model.wait_loaded(20)
        warm = len(shop.engines[0].runs)
        shop.feed_until(lambda: all(shop.frames.counts(name).taken for name in CAMERAS))
        channel = shop.loop.channel("b")
        assert channel is not None
        shop.feed_until(channel.view.scene, camera="b")
        shop.feed_until(lambda: len(shop.engines[0].runs) > warm)
    assert channel.view.detected == 0
    assert max(shop.engines[0].runs[warm:]) <= 2, "two cameras are looked at"


def test_one_cameras_torn_picture_leaves_the_others_their_eyes(shop: Batches, caplog: pytest.LogCaptureFixture) -> None:
    class TornPlanes:
        width = height = SIZE

        def luma(self) -> np.ndarray:
            return np.random.default_rng(1).integers(0, 255, (SIZE, SIZE), np.uint8)

        def bgr(self) -> np.ndarray:
            raise ValueError("torn picture")

    def torn() -> bool:
        now = SYSTEM_CLOCK.mono()
        shop.frames.put(Frame(camera="b", seq=0, captured_mono=now, captured_wall=0.0, image=TornPlanes()))
        return "camera b: a frame could not be processed" in caplog.text and ("a", 1) in shop.findings.counts

    with shop:
        shop.model.wait_loaded(20)
        shop.feed_until(torn)
        assert shop.model.error is None, "the model is not to blame"
        assert len(shop.engines) == 1


def test_a_place_of_nonsense_is_told_and_a_run_of_it_is_loaded_again(shop: Batches) -> None:
    with shop:
        shop.model.wait_loaded(20)
        shop.feed_all(lambda: ("a", 1) in shop.findings.counts)
        engine = shop.engines[0]

        def fails(count: int) -> None:
            raise InferenceError("the GPU failed: cuLaunchKernel failed: an illegal memory access was encountered")

        engine.execute = fails  # type: ignore[method-assign]  # a fault that stays
        shop.feed_all(lambda: shop.model.error)
        shop.feed_all(lambda: shop.model.failing_since is None and len(shop.engines) == 2)
        assert shop.model.note is not None
        assert "illegal memory access" in shop.model.note
        assert "it was loaded again" in shop.model.note
