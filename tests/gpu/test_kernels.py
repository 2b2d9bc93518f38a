"""The kernels on the GPU against the same sources on the host, bit for bit; what they take, as a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from detector.core.types import PlaneFormat
from detector.inference.decode import make_decoder
from detector.inference.kernels import post
from detector.inference.kernels.launch import FloatType, Launch, letterbox, picture_structs
from detector.inference.layout import Layout, anchors
from support.device import CudaDevice, device
from support.heads import DENSE, END_TO_END, GRID, crowd, post_of
from support.hostkernels import HostKernels
from support.letterboxes import YOLOX, LetterboxRun, RawSample, noise

pytestmark = pytest.mark.gpu
FORMATS: tuple[PlaneFormat, ...] = ("bgr", "nv12", "yuyv", "i420")


@pytest.fixture(scope="module")
def gpu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CudaDevice]:
    with device(tmp_path_factory.mktemp("cubins")) as found:
        found.add("letterbox")
        found.add("post")
        yield found


@pytest.fixture(scope="module")
def host_letterbox(tmp_path_factory: pytest.TempPathFactory) -> HostKernels:
    return HostKernels("letterbox.cu", tmp_path_factory.mktemp("kernels"))


@pytest.fixture(scope="module")
def host_post(tmp_path_factory: pytest.TempPathFactory) -> HostKernels:
    return HostKernels("post.cu", tmp_path_factory.mktemp("kernels"))


def on_device(
    gpu: CudaDevice, run: LetterboxRun, samples: list[RawSample | None], *, mapped: bool = False
) -> tuple[Launch, int]:
    """The launch, and where its input lies."""
    put = gpu.put_mapped if mapped else gpu.put
    sources = [None if sample is None else sample.at(put(sample.buffer)) for sample in samples]
    structs, _ = picture_structs(sources, width=run.width, height=run.height, spec=run.spec)
    out = gpu.put(np.full((len(samples), 3, run.height, run.width), np.nan, run.dtype))
    launch = letterbox(
        pictures=put(structs), count=len(samples), out=out,
        width=run.width, height=run.height, spec=run.spec, dtype=run.dtype,
    )  # fmt: skip
    return launch, out


def letterboxed(
    gpu: CudaDevice, run: LetterboxRun, samples: list[RawSample | None], *, mapped: bool = False
) -> NDArray[np.floating]:
    launch, out = on_device(gpu, run, samples, mapped=mapped)
    gpu.launch(launch)
    tensor = np.empty((len(samples), 3, run.height, run.width), run.dtype)
    gpu.get(out, tensor)
    return tensor


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("picture_format", FORMATS)
def test_letterbox_is_the_hosts(
    gpu: CudaDevice, host_letterbox: HostKernels, picture_format: PlaneFormat, dtype: FloatType
) -> None:
    for width, height in [(1920, 1080), (768, 576), (640, 480), (320, 240), (102, 98), (2, 2)]:
        for run in (
            LetterboxRun(width=640, height=384, dtype=dtype),
            LetterboxRun(width=417, height=333, spec=YOLOX, dtype=dtype),
        ):
            sample = noise(picture_format, width, height, spare=3)
            np.testing.assert_array_equal(letterboxed(gpu, run, [sample]), run(host_letterbox, sample))


@pytest.mark.parametrize("mapped", [False, True], ids=["device memory", "mapped memory"])
def test_batch_is_the_hosts(gpu: CudaDevice, host_letterbox: HostKernels, mapped: bool) -> None:
    samples = [noise("bgr", 1280, 720), None, noise("nv12", 704, 576), noise("yuyv", 640, 480)]
    run = LetterboxRun(width=640, height=640)
    np.testing.assert_array_equal(letterboxed(gpu, run, samples, mapped=mapped), run(host_letterbox, *samples))


def launches_of(gpu: CudaDevice, layout: Layout, output: NDArray[Any], floor: float) -> tuple[list[Launch], int]:
    """Gather and suppress on a copy of `output`, and where the results lie."""
    dtype: FloatType = "float16" if output.dtype == np.float16 else "float32"
    cells = output.shape[1] if layout.kind == "end-to-end" else anchors(layout.width, layout.height)
    tensors = post.head_tensors(layout, gpu.put(output), cells=cells, dtype=dtype)
    head, count = gpu.put(post.head_struct(tensors, layout, floor=floor)), len(output)
    scratch = gpu.put(np.zeros(post.scratch_bytes(cells, count), np.uint8))
    results = gpu.put(np.zeros(count, post.RESULT))
    return [
        post.gather(head=head, scratch=scratch, cells=cells, count=count, dtype=dtype),
        post.suppress(head=head, scratch=scratch, results=results, count=count, dtype=dtype),
    ], results


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("layout", [DENSE, GRID, END_TO_END], ids=lambda layout: layout.kind)
def test_post_processing_is_the_hosts(
    gpu: CudaDevice, host_post: HostKernels, layout: Layout, dtype: type[np.float32 | np.float16]
) -> None:
    cells = anchors(layout.width, layout.height)
    output = np.concatenate([crowd(layout, cells, seed=seed, people=9) for seed in range(4)]).astype(dtype)
    expected = post_of(layout, output, floor=0.2)(host_post)
    launches, place = launches_of(gpu, layout, output, 0.2)
    for _ in range(20):  # the order of candidates varies, the result must not
        gpu.launch(*launches)
        results = np.zeros(len(output), post.RESULT)
        gpu.get(place, results)
        if layout.kind != "yolox-grid":
            np.testing.assert_array_equal(results, expected)
            continue
        for found, wanted in zip(results, expected, strict=True):  # expf is the device's own
            boxes, scores = post.persons(found)
            np.testing.assert_array_equal(scores, post.persons(wanted)[1])
            np.testing.assert_allclose(boxes, post.persons(wanted)[0], rtol=1e-6, atol=1e-4)


def test_more_candidates_than_are_looked_at(gpu: CudaDevice) -> None:
    layout = Layout(kind="dense", width=320, height=320, classes=1)
    output = crowd(layout, anchors(320, 320), seed=7, people=40, busy=0.95)
    launches, place = launches_of(gpu, layout, output, 0.05)
    first = None
    for _ in range(5):
        gpu.launch(*launches)
        results = np.zeros(1, post.RESULT)
        gpu.get(place, results)
        assert int(results[0]["status"]) & 8  # more candidates than NMS looks at
        first = results.copy() if first is None else first
        np.testing.assert_array_equal(results, first)


def test_what_it_takes(gpu: CudaDevice, host_letterbox: HostKernels, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"{gpu.name} ({gpu.arch})", f"{'what':44}{'us':>9}{'KB moved':>10}{'GB/s':>8}"]
    for picture_format in FORMATS:
        for count, dtype in ((1, "float32"), (1, "float16"), (8, "float16")):
            kind: FloatType = "float32" if dtype == "float32" else "float16"
            run = LetterboxRun(width=640, height=384, dtype=kind)
            samples: list[RawSample | None] = [noise(picture_format, 1920, 1080, seed=seed) for seed in range(count)]
            launch, _ = on_device(gpu, run, samples)
            _, traffic, _ = run.count(host_letterbox, *samples)
            name = f"letterbox {picture_format} 1080p to 640x384 {dtype} x{count}"
            lines.append(row(name, gpu.seconds([launch]), traffic.needed + traffic.stored))
    layout = Layout(kind="dense", width=640, height=640, classes=80)
    output = crowd(layout, anchors(640, 640), seed=1, people=8, busy=0.01)
    launches, place = launches_of(gpu, layout, output, 0.1)
    seconds = gpu.seconds(launches)
    results = np.zeros(1, post.RESULT)
    gpu.get(place, results)
    boxes, scores = post.persons(results[0])
    expected = make_decoder(layout)([output], 0.1)
    np.testing.assert_array_equal(scores, expected[1])
    np.testing.assert_allclose(boxes, expected[0], rtol=1e-6, atol=1e-4)
    moved = 4 * anchors(640, 640) + 16 * int(results["candidates"][0]) + 16 + 20 * len(boxes)
    lines.append(row(f"gather and suppress [84, 8400], {len(boxes)} persons", seconds, moved))
    with capsys.disabled():
        print("\n" + "\n".join(lines))


def row(name: str, seconds: float, moved: int) -> str:
    return f"{name:44}{seconds * 1e6:9.1f}{moved / 1e3:10.0f}{moved / seconds / 1e9:8.1f}"
