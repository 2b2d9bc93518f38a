"""The device's path with the kernels themselves, compiled for the host: real structs, addresses and launches.

Only CUDA is small and fake here (support/hostcuda.py); the engine between the kernels is ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from detector.capture.pictures import folder_pictures
from detector.capture.raw_image import RawImage
from detector.core.errors import InferenceError
from detector.core.types import ArrayImage, Frame, Image, PlaneFormat, Planes
from detector.inference.backends.onnxruntime import OnnxRuntimeBackend
from detector.inference.detector import PersonDetector
from detector.inference.kernels.launch import plane_sizes
from detector.models.accuracy.gate import compare
from detector.models.engines.prepare import prepare
from detector.models.registry import Resolved, load_registry
from support.hostcuda import HostCuda, HostEngine, use_host_kernels
from support.hostkernels import HostKernels
from support.letterboxes import noise

FRAMES = ["yolox_nano", "yolov10n", "yolov8n"]


@pytest.fixture
def cuda(kernels: dict[str, HostKernels], monkeypatch: pytest.MonkeyPatch) -> HostCuda:
    use_host_kernels(monkeypatch)
    return HostCuda(kernels)


@pytest.mark.parametrize("shared_memory", [True, False], ids=["integrated", "discrete"])
@pytest.mark.parametrize("name", FRAMES)
def test_it_sees_what_the_cpus_way_sees(
    model_file: Callable[[str], Path], people: Path, cuda: HostCuda, name: str, shared_memory: bool
) -> None:
    found = load_registry().resolve(model_file(name))
    engine = HostEngine(cuda, found.path, shared=shared_memory)
    usual = PersonDetector(model_name=name, backend=OnnxRuntimeBackend(path=found.path, threads=2), spec=found.spec)
    whole = PersonDetector(model_name=name, backend=engine, spec=found.spec)
    pictures = list(folder_pictures(people, count=5))
    verdict = compare(usual, whole, pictures)
    assert verdict.accepted, verdict
    assert verdict.iou_min is not None
    assert verdict.iou_min > 0.97
    assert cuda.calls["to device"] == (0 if shared_memory else len(pictures)), "a Jetson copies nothing"
    assert whole.run_bare() > 0.0


def test_half_precision_ends(model_file: Callable[[str], Path], people: Path, cuda: HostCuda) -> None:
    found = load_registry().resolve(model_file("yolov8n"))
    usual = PersonDetector(model_name="m", backend=OnnxRuntimeBackend(path=found.path, threads=2), spec=found.spec)
    whole = PersonDetector(
        model_name="m", backend=HostEngine(cuda, found.path, shared=True, half=True), spec=found.spec
    )
    assert compare(usual, whole, folder_pictures(people, count=4)).accepted


def test_a_graph_that_was_cut_before_its_nms_is_decoded_from_two_outputs(
    model_file: Callable[[str], Path], people: Path, cuda: HostCuda, tmp_path: Path
) -> None:
    found = load_registry().resolve(model_file("yolox_tiny_humanart"))
    prepared = prepare(found.path)
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(prepared.content)
    usual = PersonDetector(model_name="m", backend=OnnxRuntimeBackend(path=found.path, threads=2), spec=found.spec)
    whole = PersonDetector(model_name="m", backend=HostEngine(cuda, cut, shared=True), spec=found.spec)
    assert whole.layout.kind == "yolox-boxes"
    verdict = compare(usual, whole, folder_pictures(people, count=5))
    assert verdict.accepted, verdict
    assert verdict.iou_min is not None
    assert verdict.iou_min > 0.97


def small(
    raw_model: Resolved, cuda: HostCuda, *, batch: int = 1, in_host: bool = True
) -> tuple[PersonDetector, HostEngine]:
    engine = HostEngine(cuda, raw_model.path, shared=in_host, batch=batch)
    return PersonDetector(model_name="m", backend=engine, spec=raw_model.spec), engine


def frame(image: Image) -> Frame:
    return Frame(camera="a", seq=0, captured_mono=0.0, captured_wall=0.0, image=image)


def test_what_a_run_asks_of_cuda(raw_model: Resolved, cuda: HostCuda) -> None:
    """No allocation, nothing that waits for the device, one launch before the engine and two behind it."""
    detector, _ = small(raw_model, cuda, in_host=False)
    for height, width in ((480, 640), (720, 1280)):
        detector.detect_image(ArrayImage(np.zeros((height, width, 3), np.uint8)))
    cuda.calls.clear()
    for height, width in ((720, 1280), (480, 640), (100, 200)):
        detector.detect_image(ArrayImage(np.zeros((height, width, 3), np.uint8)))
    assert cuda.calls == {"to device": 3, "launch letterbox": 3, "launch gather": 3, "launch suppress": 3}


def test_a_batch_sees_what_each_picture_alone_shows(raw_model: Resolved, people: Path, cuda: HostCuda) -> None:
    pictures = list(folder_pictures(people, count=5))
    alone, _ = small(raw_model, cuda)
    together, engine = small(raw_model, cuda, batch=4)
    assert (alone.max_batch, together.max_batch) == (1, 4)
    cuda.calls.clear()
    found = together.detect_many([frame(picture) for picture in pictures])
    assert engine.runs == [4, 1], "five pictures are a full run and one more"
    launches = [count for name, count in cuda.calls.items() if name.startswith("launch")]
    assert launches == [2, 2, 2], "as many launches for four as for one"
    for picture, seen in zip(pictures, found, strict=True):
        assert not isinstance(seen, Exception)
        boxes, scores, _ = alone.detect_image(picture)
        np.testing.assert_array_equal(seen.boxes, boxes)
        np.testing.assert_array_equal(seen.scores, scores)
    assert sum(len(alone.detect_image(picture)[0]) for picture in pictures) > 5


def test_three_pictures_run_as_four_and_two_as_two(raw_model: Resolved, cuda: HostCuda) -> None:
    detector, engine = small(raw_model, cuda, batch=4)
    grey = ArrayImage(np.full((64, 64, 3), 114, np.uint8))
    for count in (3, 2, 1):
        assert len(detector.detect_images([grey] * count)) == count
    assert engine.runs == [4, 2, 1]


def test_a_bad_picture_of_a_batch_is_told_alone(raw_model: Resolved, people: Path, cuda: HostCuda) -> None:
    class TornImage:
        width = height = 64

        def bgr(self) -> np.ndarray:
            raise ValueError("torn")

        luma = bgr

    good = next(folder_pictures(people, count=1))
    detector, engine = small(raw_model, cuda, batch=4)
    expected = detector.detect_image(good)
    found = detector.detect_images([ArrayImage(np.zeros((8, 8), np.uint8)), good, TornImage()])
    assert isinstance(found[0], InferenceError)
    assert isinstance(found[2], ValueError)
    assert not isinstance(found[1], Exception)
    np.testing.assert_array_equal(found[1][0], expected[0])
    run = engine.execute

    def nonsense(count: int) -> None:
        run(count)
        for result in engine.results:
            result[0] = np.nan

    engine.execute = nonsense  # type: ignore[method-assign]  # as an engine that is wrong for one place
    found = detector.detect_images([good, good])
    assert isinstance(found[0], InferenceError)
    assert not isinstance(found[1], Exception)
    with pytest.raises(InferenceError, match="NaN"):
        detector.detect_image(good)


@pytest.mark.parametrize("in_host", [True, False], ids=["integrated", "discrete"])
@pytest.mark.parametrize("picture_format", ["nv12", "yuyv", "i420"])
def test_planes_go_to_the_kernel_as_they_are(
    raw_model: Resolved, cuda: HostCuda, picture_format: PlaneFormat, in_host: bool
) -> None:
    sample = noise(picture_format, 102, 98, spare=6)
    sizes = plane_sizes(picture_format, 102, 98)
    planes = tuple(sample.rows(plane)[:, :row] for plane, (_, row) in enumerate(sizes))
    image = RawImage(Planes(format=picture_format, width=102, height=98, planes=planes))
    assert (np.abs(image.bgr().astype(int) - sample.bgr()) <= 1).all()
    detector, engine = small(raw_model, cuda, in_host=in_host)
    whole = detector.detect_image(image)
    tensor = engine._in.copy()
    image.bgr = lambda: pytest.fail("no conversion on the CPU")  # type: ignore[method-assign]  # must not be asked
    assert len(detector.detect_image(image)[0]) == len(whole[0])
    detector.detect_image(ArrayImage(sample.bgr()))
    difference = np.abs(tensor - engine._in)
    assert difference.max() <= 1.0, "as converted by OpenCV, but for a rounding"
    assert (difference > 0).mean() < 0.2


def test_planes_that_are_none_of_the_format_are_told(raw_model: Resolved, cuda: HostCuda) -> None:
    detector, _ = small(raw_model, cuda)
    short = Planes(format="nv12", width=64, height=64, planes=(np.zeros((64, 64), np.uint8),) * 2)
    with pytest.raises(InferenceError, match=r"are no nv12 picture of 64 x 64 px"):
        detector.detect_image(RawImage(short))


def test_nonsense_and_what_is_no_picture_are_told(raw_model: Resolved, cuda: HostCuda) -> None:
    detector, engine = small(raw_model, cuda)
    with pytest.raises(InferenceError, match="not a BGR picture"):
        detector.detect_image(ArrayImage(np.zeros((8, 8), np.uint8)))

    def nonsense(count: int) -> None:
        for result in engine.results:
            result.fill(np.nan)

    engine.execute = nonsense  # type: ignore[method-assign]  # an engine gone wrong
    with pytest.raises(InferenceError, match="NaN"):
        detector.detect_image(ArrayImage(np.zeros((8, 8, 3), np.uint8)))
