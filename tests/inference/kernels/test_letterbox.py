from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.core.types import ArrayImage, Floats, Matrix, Pixels, PlaneFormat
from detector.inference.backends.onnxruntime import OnnxRuntimeBackend
from detector.inference.decode import make_decoder
from detector.inference.kernels.launch import FloatType
from detector.inference.layout import default_spec, find_layout
from detector.inference.preprocess import Letterbox, place
from detector.inference.spec import InputSpec
from support.hostkernels import FLAGS, SHIM, SOURCES, HostKernels
from support.letterboxes import (
    ULTRALYTICS,
    YOLOX,
    LetterboxRun,
    RawSample,
    by_definition,
    by_opencv,
    noise,
    pixels_sample,
)

SPECS = pytest.mark.parametrize("spec", [ULTRALYTICS, YOLOX], ids=["ultralytics", "yolox"])
SIZES = [
    (1920, 1080), (768, 576), (1080, 1920), (641, 479), (333, 777), (416, 416), (832, 832), (160, 120), (100, 99),
    (1, 1), (1, 500), (500, 1), (2, 2), (7, 3), (415, 417),
]  # fmt: skip
UINT8_BOUND = 0.80  # OpenCV rounds to whole values, with weights of 11 bits
NOISE_BOUND = 0.85  # the worst of it: on noise OpenCV itself is 0.82 off what bilinear means
FLOAT_BOUND = 2.5e-4  # of values 0..255, as the next
THIN_BOUND = 5e-3  # where OpenCV stretches a single row or column it is less exact
EXACT_BOUND = 1e-4  # single precision's rounding


def worst(tensor: np.ndarray, expected: np.ndarray, run: LetterboxRun) -> float:
    """The largest difference, in units of a pixel's value (0..255); NaN where something is missing."""
    return float(np.abs(tensor.astype(np.float64) - expected).max() / run.spec.scale)


@SPECS
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_equals_opencv(letterbox_host: HostKernels, width: int, height: int, spec: InputSpec) -> None:
    run, sample = LetterboxRun(spec=spec), noise("bgr", width, height)
    tensor = run(letterbox_host, sample)[0]
    assert worst(tensor, by_opencv(sample.bgr(), run), run) <= NOISE_BOUND
    bound = THIN_BOUND if min(width, height) == 1 else FLOAT_BOUND
    assert worst(tensor, by_opencv(sample.bgr(), run, np.float32), run) <= bound
    assert worst(tensor, by_definition(sample.bgr(), run), run) <= EXACT_BOUND


@pytest.mark.parametrize(("width", "height"), [(640, 384), (321, 200), (33, 65), (1, 1), (2, 300)])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_inputs_of_any_size(letterbox_host: HostKernels, width: int, height: int, dtype: FloatType) -> None:
    run, sample = LetterboxRun(width=width, height=height, dtype=dtype), noise("bgr", 203, 151)
    bound = EXACT_BOUND if dtype == "float32" else 255 * 2.0**-11  # half of the last place of values in 0.5..1
    assert worst(run(letterbox_host, sample)[0], by_definition(sample.bgr(), run), run) <= bound + EXACT_BOUND


@SPECS
def test_half_precision_is_single_precision_rounded(letterbox_host: HostKernels, spec: InputSpec) -> None:
    sample = noise("bgr", 300, 200)
    single = LetterboxRun(spec=spec)(letterbox_host, sample)
    half = LetterboxRun(spec=spec, dtype="float16")(letterbox_host, sample)
    np.testing.assert_array_equal(half, single.astype(np.float16))


@settings(max_examples=150, deadline=None)
@given(
    picture_format=st.sampled_from(["bgr", "nv12", "yuyv", "i420"]),
    source=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    target=st.tuples(st.integers(1, 150), st.integers(1, 70)),
    spare=st.integers(0, 9),
    spec=st.builds(
        InputSpec,
        color=st.sampled_from(["rgb", "bgr"]),
        scale=st.sampled_from([1.0, 1 / 255, 0.5]),
        pad=st.integers(0, 255),
        placement=st.sampled_from(["center", "top-left"]),
    ),
    seed=st.integers(0, 2**31),
)
def test_any_geometry(
    letterbox_host: HostKernels,
    picture_format: PlaneFormat,
    source: tuple[int, int],
    target: tuple[int, int],
    spare: int,
    spec: InputSpec,
    seed: int,
) -> None:
    # OpenCV, the judge of colour, knows chroma for whole cells alone.
    width, height = source if picture_format == "bgr" else (2 * source[0], 2 * source[1])
    run = LetterboxRun(width=target[0], height=target[1], spec=spec)
    sample = noise(picture_format, width, height, spare=spare, seed=seed)
    tensor, traffic, _ = run.count(letterbox_host, sample)
    # A conversion on the brink of two whole values may fall to either side.
    bound = EXACT_BOUND if picture_format == "bgr" else 1 + EXACT_BOUND
    assert worst(tensor[0], by_definition(sample.bgr(), run), run) <= bound
    assert traffic.stored == tensor.nbytes
    begin = sample.buffer.ctypes.data
    assert begin <= traffic.first <= traffic.last < begin + sample.buffer.size


@pytest.mark.parametrize("picture_format", ["nv12", "yuyv", "i420"])
def test_colours_equal_opencvs(letterbox_host: HostKernels, picture_format: PlaneFormat) -> None:
    run, sample = LetterboxRun(width=640, height=480, spec=YOLOX), noise(picture_format, 640, 480, spare=8)
    difference = np.abs(run(letterbox_host, sample)[0] - by_opencv(sample.bgr(), run))
    assert difference.max() <= 1
    # OpenCV's factors have three digits after the point: one value in thirty falls to the other side.
    assert (difference > 0).mean() < 0.05


def exact_bgr(luma: int, u: int, v: int, matrix: Matrix, *, full_range: bool) -> list[float]:
    """From the standards' definition of the other way, inverted."""
    red, blue = (0.299, 0.114) if matrix == "bt601" else (0.2126, 0.0722)
    forward = np.array([
        [red, 1 - red - blue, blue],
        np.array([-red, red + blue - 1, 1 - blue]) / (2 * (1 - blue)),
        np.array([1 - red, red + blue - 1, -blue]) / (2 * (1 - red)),
    ])  # fmt: skip
    units = np.array([luma, u - 128, v - 128]) / 255
    if not full_range:
        units = np.array([max(luma - 16, 0) / 219, (u - 128) / 224, (v - 128) / 224])
    rgb: list[float] = (np.clip(np.linalg.inv(forward) @ units, 0, 1) * 255).tolist()
    return rgb[::-1]


@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("yuv", [(16, 128, 128), (235, 128, 128), (0, 10, 250), (255, 240, 16), (120, 90, 200)])
def test_standards(letterbox_host: HostKernels, matrix: Matrix, full_range: bool, yuv: tuple[int, int, int]) -> None:
    luma, u, v = yuv
    sample = RawSample(
        format="yuyv", width=2, height=1, buffer=np.array([luma, u, luma, v], np.uint8), strides=(4,),
        matrix=matrix, full_range=full_range,
    )  # fmt: skip
    tensor = LetterboxRun(width=2, height=1, spec=YOLOX)(letterbox_host, sample)[0]
    expected = exact_bgr(luma, u, v, matrix, full_range=full_range)
    assert np.abs(tensor[:, 0, 0] - expected).max() <= 0.5 + 1e-3
    np.testing.assert_array_equal(tensor[:, 0, 0], tensor[:, 0, 1])


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_batch_is_each_picture_alone(letterbox_host: HostKernels, dtype: FloatType) -> None:
    samples = [noise("bgr", 300, 200), None, noise("nv12", 128, 250, spare=4), noise("yuyv", 36, 20)]
    run = LetterboxRun(width=160, height=96, dtype=dtype)
    batch = run(letterbox_host, *samples)
    for single, sample in zip(batch, samples, strict=True):
        np.testing.assert_array_equal(single, run(letterbox_host, sample)[0])
    np.testing.assert_array_equal(batch[1], np.full_like(batch[1], np.float32(114) * np.float32(1 / 255)))


def test_order_of_threads_does_not_matter(letterbox_host: HostKernels) -> None:
    run, sample = LetterboxRun(width=257, height=96), noise("bgr", 300, 200)
    forward = run(letterbox_host, sample)
    for order in (1, 2, 3):
        np.testing.assert_array_equal(run(letterbox_host, sample, order=order), forward)


CAMERAS = [(1920, 1080), (2560, 1440), (1280, 720), (768, 576), (704, 576), (640, 640), (650, 650), (320, 240)]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("picture_format", ["bgr", "nv12", "yuyv", "i420"])
def test_moves_hardly_more_than_it_must(
    letterbox_host: HostKernels, picture_format: PlaneFormat, dtype: FloatType
) -> None:
    """Bytes moved: 32-byte sectors that a block's loads touch, once a block, its parameters, and all stores.

    Bytes that must move: the sectors that hold a pixel of non-zero weight, once, and the input, once.
    """
    run = LetterboxRun(width=640, height=384, dtype=dtype)
    for width, height in CAMERAS:
        tensor, traffic, blocks = run.count(letterbox_host, noise(picture_format, width, height))
        parameters = 128 * blocks  # a struct of 96 bytes lies in at most four sectors
        moved = traffic.loaded_by_block + parameters + traffic.stored
        assert not np.isnan(tensor).any()  # with as many bytes stored as there are: each once
        assert traffic.stored == tensor.nbytes
        assert traffic.needed <= needed_sectors(width, height, run, picture_format)
        assert moved <= 1.1 * (traffic.needed + tensor.nbytes), (width, height, moved)


def needed_sectors(width: int, height: int, run: LetterboxRun, picture_format: PlaneFormat) -> int:
    """Bytes of the sectors that weigh in, from the geometry alone, with one more a row for where rows begin."""
    _, fitted = place((width, height), (run.width, run.height), centered=True)
    columns, rows = (used(size, new) for size, new in zip((width, height), fitted, strict=True))
    if picture_format == "bgr":
        return rows.size * 32 * (np.unique(np.concatenate([3 * columns + k for k in range(3)]) // 32).size + 1)
    if picture_format == "yuyv":
        return rows.size * 32 * (np.unique(columns // 2 * 4 // 32).size + 1)
    planes, step = (2, 1) if picture_format == "i420" else (1, 2)  # of chroma, and its bytes a cell
    chroma = planes * np.unique(rows // 2).size * 32 * (np.unique(columns // 2 * step // 32).size + 1)
    return rows.size * 32 * (np.unique(columns // 32).size + 1) + chroma


def used(size: int, fitted: int) -> np.ndarray:
    """Indices of the pixels along an axis that have a weight: in halves of 1 / fitted, so in whole numbers."""
    steps = (2 * np.arange(fitted) + 1) * size - fitted
    first = np.clip(steps // (2 * fitted), 0, size - 1)
    second = np.where((steps > 0) & (steps % (2 * fitted) > 0), np.minimum(first + 1, size - 1), first)
    return np.unique(np.concatenate([first, second]))


def test_padding_reads_nothing(letterbox_host: HostKernels) -> None:
    _, traffic, _ = LetterboxRun().count(letterbox_host, None, None)
    assert traffic.loaded == 0
    _, traffic, _ = LetterboxRun(width=64, height=640).count(letterbox_host, noise("bgr", 64, 64))
    assert traffic.loaded == 64 * 64 * 3  # the picture as it is, once, and 576 rows of grey


@pytest.mark.parametrize("number", range(3))
@SPECS
def test_real_pictures_equal_the_cpus(
    letterbox_host: HostKernels, photographs: list[Path], number: int, spec: InputSpec
) -> None:
    pixels = read(photographs[number])
    run = LetterboxRun(width=640, height=640, spec=spec)
    expected, _ = Letterbox(width=640, height=640, spec=spec)(ArrayImage(pixels))
    assert worst(run(letterbox_host, pixels_sample(pixels))[0], expected[0].astype(np.float64), run) <= UINT8_BOUND


@pytest.mark.parametrize("model", ["yolov10n", "yolox_nano"])
def test_detections_equal_the_cpus(
    letterbox_host: HostKernels, model_file: Callable[[str], Path], photographs: list[Path], model: str
) -> None:
    backend = OnnxRuntimeBackend(path=model_file(model))
    try:
        layout = find_layout(backend.inputs, backend.outputs, backend.metadata)
        spec, decode = default_spec(layout), make_decoder(layout)
        run = LetterboxRun(width=layout.width, height=layout.height, spec=spec)
        on_cpu = Letterbox(width=layout.width, height=layout.height, spec=spec)
        persons = 0
        for path in photographs:
            pixels = read(path)
            expected = decode([out.copy() for out in backend.run(on_cpu(ArrayImage(pixels))[0])], 0.25)
            tensor: Floats = run(letterbox_host, pixels_sample(pixels)).astype(np.float32, copy=False)
            persons += same_persons(decode(backend.run(tensor), 0.25), expected)
        assert persons >= 4
    finally:
        backend.close()


def same_persons(found: tuple[Floats, Floats], expected: tuple[Floats, Floats]) -> int:
    """How many; whichever of two equally sure ones comes first."""
    assert len(found[0]) == len(expected[0])
    for box, score in zip(*expected, strict=True):
        distance = np.abs(found[0] - box).max(axis=1)
        nearest = int(distance.argmin())
        assert distance[nearest] <= 0.5
        assert abs(found[1][nearest] - score) <= 0.01
    return len(expected[0])


def read(path: Path) -> Pixels:
    pixels = cv2.imread(str(path))
    assert pixels is not None
    return np.asarray(pixels, np.uint8)


@pytest.mark.usefixtures("letterbox_host")  # which skips where there is no g++
@pytest.mark.parametrize("source", ["letterbox.cu", "post.cu"])
def test_plain_source_compiles_as_cpp(tmp_path: Path, source: str) -> None:
    command = ["g++", *FLAGS, f"-I{SHIM}", str(SOURCES / source), "-o", str(tmp_path / "k.so")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
