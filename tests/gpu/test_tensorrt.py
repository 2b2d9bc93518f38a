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

import cv2
import numpy as np
import pytest

from detector.capture.pictures import folder_pictures
from detector.capture.raw_image import RawImage, i420_image, nv12_image, yuyv_image
from detector.core.errors import InferenceError, ModelError
from detector.core.types import ArrayImage, Image, PlaneFormat
from detector.inference.backends.onnx_metadata import inspect
from detector.inference.backends.tensorrt import TensorRtBackend
from detector.inference.detector import PersonDetector
from detector.inference.factory import load_detector
from detector.inference.tensorrt import engine_store
from detector.inference.tensorrt.gpu import find_gpu
from detector.inference.tensorrt.library import flavour
from detector.inference.tensorrt.manifest import environment
from detector.models.accuracy.gate import compare
from detector.models.engines.build_accepted import Gated, build_gated
from detector.models.engines.builder import BuildRequest
from detector.models.registry import load_registry

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


def _build(name: str, model: Path, pictures: list[Image], *, batch: int = 1) -> Gated:
    spec = load_registry().entry(name).input.spec
    output = engine_store.engine_path(model, inspect(model).digest, "fp16")
    return build_gated(
        [BuildRequest(model=model, output=output, name=name, spec=spec, precision="fp16", batch=batch)],
        open_engine=lambda path: load_detector(path=path, name=name, spec=spec, judged=False),
        reference=lambda: load_detector(path=model, name=name, spec=spec, backend="onnxruntime"),
        pictures=lambda: pictures,
    )


def test_every_engine_is_accepted_and_serves(shared: Path, engines: dict[str, Gated]) -> None:
    for name, made in engines.items():
        assert made.manifest.verdict is not None
        assert made.manifest.verdict.accepted
        detector = load_detector(path=shared / f"models/{MODELS[name]}.onnx", name=name, backend="auto")
        assert (detector.backend, detector.precision) == ("tensorrt", "fp16")
        detector.close()


@pytest.mark.parametrize("graphs", [True, False], ids=["graph", "enqueue"])
def test_tensors_and_pictures_come_to_the_same(engines: dict[str, Gated], pictures: list[Image], graphs: bool) -> None:
    path, manifest = engines["yolov10n"].path, engines["yolov10n"].manifest
    by_tensor = TensorRtBackend(path=path, graphs=graphs)
    by_tensor.configure = lambda **_: False  # type: ignore[method-assign]  # the CPU's letterbox and decoder
    usual = PersonDetector(model_name="m", backend=by_tensor, spec=manifest.spec)
    whole = PersonDetector(model_name="m", backend=TensorRtBackend(path=path, graphs=graphs), spec=manifest.spec)
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


def test_a_batch_sees_what_each_picture_alone_shows(
    shared: Path, tmp_path: Path, pictures: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model for one picture, opened for four; each size of run is a context and a graph of its own."""
    monkeypatch.setenv("DETECTOR_CACHE", str(tmp_path))
    made = _build("yolov10n", shared / "models/yolov10n.onnx", pictures, batch=4)
    detector = load_detector(path=made.path, name="m")
    assert detector.max_batch == 4
    detector.warm_up()
    alone = [detector.detect_image(picture) for picture in pictures[:7]]
    for found, (boxes, scores, _) in zip(detector.detect_images(pictures[:7]), alone, strict=True):
        assert not isinstance(found, Exception)
        sure = scores > 0.4  # TensorRT may choose other kernels for other sizes
        np.testing.assert_allclose(found[1][: sure.sum()], scores[sure], atol=0.02)
        np.testing.assert_allclose(found[0][: sure.sum()], boxes[sure], atol=4.0)
    detector.close()


@pytest.mark.parametrize("picture_format", ["nv12", "yuyv", "i420"])
def test_planes_come_to_the_same_as_bgr(
    engines: dict[str, Gated], pictures: list[Image], picture_format: PlaneFormat
) -> None:
    detector = load_detector(path=engines["yolov10n"].path, name="m")
    for picture in pictures[:6]:
        raw = _as_planes(picture, picture_format)
        boxes, scores, _ = detector.detect_image(ArrayImage(raw.bgr()))
        found, their, _ = detector.detect_image(raw)
        sure = scores > 0.5
        assert len(their) >= sure.sum()
        np.testing.assert_allclose(their[: sure.sum()], scores[sure], atol=0.05)
        np.testing.assert_allclose(found[: sure.sum()], boxes[sure], atol=6.0)
    detector.close()


def _as_planes(picture: Image, picture_format: PlaneFormat) -> RawImage:
    """The picture, its sides made multiples of four, in another format."""
    pixels = np.ascontiguousarray(picture.bgr()[: picture.height // 4 * 4, : picture.width // 4 * 4])
    height, width = pixels.shape[:2]
    i420 = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2YUV_I420), np.uint8)
    if picture_format == "i420":
        return i420_image(i420)
    luma, quarter = i420[:height], height * width // 4
    u, v = (
        i420.reshape(-1)[at : at + quarter].reshape(height // 2, -1)
        for at in (height * width, height * width + quarter)
    )
    if picture_format == "nv12":
        return nv12_image(np.concatenate([luma, np.stack([u, v], axis=-1).reshape(-1, width)]))
    chroma = np.stack([u, v], axis=-1).reshape(height // 2, width).repeat(2, axis=0)
    return yuyv_image(np.stack([luma, chroma], axis=-1))


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
    if cuda.Device(0).get_attribute(cuda.device_attribute.INTEGRATED):
        pytest.skip("this GPU's memory is the machine's: to take all of it would bring the machine down")
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
    backend._graphs.clear()
    backend._executions = dict.fromkeys(backend.sizes, _Broken())
    with pytest.raises(InferenceError, match="the GPU failed"):
        detector.detect_image(pictures[0])
    with pytest.raises(InferenceError, match="has to be loaded anew"):
        detector.detect_image(pictures[0])
    detector.close()


class _Broken:
    """An execution context that refuses, as after a fault."""

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
