"""The TensorRT backend on a real GPU: engines built, judged, run, broken; what a picture takes, as a table.

Skips with its reason where there is no GPU, no TensorRT or no pycuda. Figures are of the GPU that the table names.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.engines import store
from detector.engines.builder import Order, environment
from detector.engines.gate import compare
from detector.engines.gated import Gated, build_gated
from detector.engines.gpu import find_gpu
from detector.engines.module import flavour
from detector.engines.pictures import folder_pictures
from detector.errors import InferenceError, ModelError
from detector.inference.backends.onnxfile import inspect
from detector.inference.backends.tensorrt import TensorRtBackend
from detector.inference.detector import PersonDetector
from detector.inference.factory import load_detector
from detector.models import load_registry
from detector.types import ArrayImage, Image

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(900)]
MODELS = {"yolox-tiny-person": "yolox_tiny_humanart", "yolov10n": "yolov10n", "yolo11n": "yolo11n"}


@pytest.fixture(scope="module", autouse=True)
def _can_run() -> None:
    if find_gpu() is None:
        pytest.skip("needs an NVIDIA GPU and its driver")
    if flavour() is None:
        pytest.skip("needs TensorRT")
    pytest.importorskip("pycuda.driver", reason="needs pycuda", exc_type=ImportError)


@pytest.fixture(scope="module")
def pictures(shared: Path) -> list[Image]:
    return list(folder_pictures(shared / "media/coco/images", count=24))


@pytest.fixture(scope="module")
def engines(
    shared: Path, tmp_path_factory: pytest.TempPathFactory, pictures: list[Image]
) -> Iterator[dict[str, Gated]]:
    """Each model's FP16 engine, through the gate, where the service would look for it."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DETECTOR_CACHE", str(cache))
        yield {name: _build(name, shared / f"models/{file}.onnx", pictures) for name, file in MODELS.items()}


def _build(name: str, model: Path, pictures: list[Image]) -> Gated:
    spec = load_registry().entry(name).input.spec
    output = store.engine_path(model, inspect(model).digest, "fp16")
    return build_gated(
        [Order(model=model, output=output, name=name, spec=spec, precision="fp16")],
        open_engine=lambda path: load_detector(path=path, name=name, spec=spec, judged=False),
        reference=lambda: load_detector(path=model, name=name, spec=spec, backend="onnxruntime"),
        pictures=lambda: pictures,
    )


def test_every_engine_is_accepted_and_serves(shared: Path, engines: dict[str, Gated]) -> None:
    for name, made in engines.items():
        assert made.sidecar.verdict is not None
        assert made.sidecar.verdict.accepted
        detector = load_detector(path=shared / f"models/{MODELS[name]}.onnx", name=name, backend="auto")
        assert (detector.backend, detector.precision) == ("tensorrt", "fp16")
        detector.close()


@pytest.mark.parametrize("graphs", [True, False], ids=["graph", "enqueue"])
def test_tensors_and_pictures_come_to_the_same(engines: dict[str, Gated], pictures: list[Image], graphs: bool) -> None:
    path, sidecar = engines["yolov10n"].path, engines["yolov10n"].sidecar
    by_tensor = TensorRtBackend(path=path, graphs=graphs)
    by_tensor.adopt = lambda **_: False  # type: ignore[method-assign]  # the CPU's letterbox and decoder
    usual = PersonDetector(model_name="m", backend=by_tensor, spec=sidecar.spec)
    whole = PersonDetector(model_name="m", backend=TensorRtBackend(path=path, graphs=graphs), spec=sidecar.spec)
    verdict = compare(usual, whole, pictures)
    assert verdict.accepted, verdict
    usual.close()
    whole.close()


def test_one_thread_loads_and_another_serves(engines: dict[str, Gated], pictures: list[Image]) -> None:
    """As a change-over in the service does."""
    detector = load_detector(path=engines["yolov10n"].path, name="m")
    expected = detector.detect_image(pictures[0])[0]
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(detector.detect_image(pictures[0])[0]))
    thread.start()
    thread.join(60)
    np.testing.assert_array_equal(found[0], expected)
    detector.close()
    detector.close()
    with pytest.raises(InferenceError, match="closed"):
        detector.detect_image(pictures[0])


def test_nothing_leaks_over_loads_and_frames(engines: dict[str, Gated], pictures: list[Image]) -> None:
    import pycuda.driver as cuda

    def free() -> int:
        context = cuda.Device(0).retain_primary_context()
        context.push()
        try:
            return int(cuda.mem_get_info()[0])
        finally:
            cuda.Context.pop()

    levels = []
    for _ in range(6):
        detector = load_detector(path=engines["yolov10n"].path, name="m")
        for image in pictures:
            detector.detect_image(image)
        detector.close()
        levels.append(free())
    assert levels[-1] >= levels[1] - 2**21, f"free memory after each load: {levels}"


def test_out_of_memory_is_told_and_survived(engines: dict[str, Gated], pictures: list[Image]) -> None:
    import pycuda.driver as cuda

    cuda.init()
    context = cuda.Device(0).retain_primary_context()
    context.push()
    hoard = []
    try:
        for size in (2**30, 2**26, 2**22, 2**20):
            while True:
                try:
                    hoard.append(cuda.mem_alloc(size))
                except cuda.MemoryError:
                    break
        cuda.Context.pop()
        with pytest.raises((ModelError, InferenceError)):
            load_detector(path=engines["yolov10n"].path, name="m").detect_image(pictures[0])
        context.push()
    finally:
        hoard.clear()
        cuda.Context.pop()
    detector = load_detector(path=engines["yolov10n"].path, name="m")
    assert len(detector.detect_image(pictures[0])[0]) >= 0
    detector.close()


def test_a_fault_of_the_gpu_is_an_error_from_then_on(engines: dict[str, Gated], pictures: list[Image]) -> None:
    detector = load_detector(path=engines["yolov10n"].path, name="m")
    backend: Any = detector._backend
    detector.detect_image(pictures[0])
    backend._graph, backend._recorded = None, None
    backend._execution = _Broken()
    with pytest.raises(InferenceError, match="the GPU failed"):
        detector.detect_image(pictures[0])
    with pytest.raises(InferenceError, match="has to be loaded anew"):
        detector.detect_image(pictures[0])
    detector.close()


class _Broken:
    """An execution context that refuses, as after a fault."""

    def set_input_shape(self, *_: Any) -> bool:
        return True

    def execute_async_v3(self, _stream: int) -> bool:
        return False


def test_what_a_picture_takes(engines: dict[str, Gated], capsys: pytest.CaptureFixture[str]) -> None:
    here = environment()
    lines = [f"{here.gpu}, {here.flavour} {here.tensorrt}, CUDA {here.cuda}, driver {here.driver}; FP16, batch 1"]
    lines.append(f"{'model':20}{'frame':>11}{'whole ms':>10}{'p99':>8}{'engine ms':>11}{'ratio':>7}")
    for name, made in engines.items():
        detector = load_detector(path=made.path, name=name)
        for width, height in ((1920, 1080), (768, 576)):
            image = ArrayImage(np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8))
            whole, bare = _measure(detector, image)
            p50, p99 = statistics.median(whole), statistics.quantiles(whole, n=100)[98]
            ratio = p50 / statistics.median(bare)
            lines.append(
                f"{name:20}{f'{width}x{height}':>11}{p50:10.3f}{p99:8.3f}{statistics.median(bare):11.3f}{ratio:7.2f}"
            )
        detector.close()
    with capsys.disabled():
        print("\n" + "\n".join(lines))


def _measure(detector: PersonDetector, image: Image, rounds: int = 300) -> tuple[list[float], list[float]]:
    """ms of the whole way and of the engine alone, in turn, after a warm-up."""
    whole, bare = [], []
    for index in range(rounds + 30):
        begun = time.perf_counter()
        detector.detect_image(image)
        taken = (time.perf_counter() - begun) * 1e3
        alone = detector.run_bare()
        if index >= 30:
            whole.append(taken)
            bare.append(alone)
    return whole, bare
