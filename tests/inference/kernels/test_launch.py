from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from detector.core.types import PlaneFormat
from detector.inference.kernels.launch import (
    MAX_SIDE,
    PICTURE,
    DevicePicture,
    letterbox,
    picture_structs,
    plane_sizes,
)
from detector.inference.preprocess import place
from detector.inference.spec import InputSpec
from support.letterboxes import ULTRALYTICS, YOLOX


def picture(
    picture_format: PlaneFormat = "bgr",
    *,
    width: int = 100,
    height: int = 80,
    planes: tuple[int, ...] = (4096,),
    strides: tuple[int, ...] = (300,),
) -> DevicePicture:
    return DevicePicture(width=width, height=height, planes=planes, strides=strides, format=picture_format)


def test_pictures_sit_where_the_cpu_puts_them() -> None:
    structs, placements = picture_structs([picture(), None], width=64, height=64, spec=ULTRALYTICS)
    expected, fitted = place((100, 80), (64, 64), centered=True)
    assert placements == [expected, None]
    assert (structs["fitted_width"][0], structs["fitted_height"][0]) == fitted
    assert (structs["pad_x"][0], structs["pad_y"][0]) == (expected.pad_x, expected.pad_y) == (0, 6)
    assert structs[1].tobytes() == bytes(PICTURE.itemsize)


def test_grid_covers_the_input_and_no_more() -> None:
    for width, height in [(640, 640), (640, 384), (416, 416), (1, 1), (129, 17)]:
        launch = letterbox(pictures=256, count=3, out=512, width=width, height=height, spec=YOLOX)
        across, down = launch.grid[0] * launch.block[0] * 2, launch.grid[1] * launch.block[1] * 4
        assert width <= across < width + launch.block[0] * 2
        assert height <= down < height + launch.block[1] * 4
        assert launch.grid[2] == 3


def test_arguments_are_the_kernels() -> None:
    launch = letterbox(pictures=256, count=1, out=512, width=64, height=32, spec=ULTRALYTICS, dtype="float16")
    assert launch.kernel == "letterbox_f16"
    assert [arg.dtype.char for arg in launch.args] == [
        np.dtype(kind).char for kind in ("u8", "u8", "i4", "i4", "i4", "f4", "f4")
    ]
    assert [int(arg) for arg in launch.args[:5]] == [256, 512, 64, 32, 0]
    assert launch.args[6] == np.float32(114) * np.float32(1 / 255)  # as preprocess.Letterbox pads


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (lambda: picture(width=0), "sides must lie"),
        (lambda: picture(width=MAX_SIDE + 1, strides=(3 * MAX_SIDE + 3,)), "sides must lie"),
        (lambda: picture(strides=(299,)), "longer than a stride"),
        (lambda: picture("yuyv", width=101, strides=(202,)), "longer than a stride"),
        (lambda: picture("yuyv", strides=(202,)), "multiples of 4"),
        (lambda: picture("yuyv", planes=(4098,), strides=(200,)), "multiples of 4"),
        (lambda: picture("nv12"), "2 planes"),
        (lambda: picture(planes=(1, 2), strides=(300, 300)), "1 planes"),
        (lambda: picture("nv12", width=101, planes=(1, 2), strides=(101, 100)), "longer than a stride"),
        (lambda: picture("nv12", planes=(1, 3), strides=(100, 100)), "UV plane"),
        (lambda: picture("nv12", planes=(1, 2), strides=(100, 101)), "UV plane"),
        (lambda: picture("i420", planes=(1, 2), strides=(100, 50)), "3 planes"),
        (lambda: picture("i420", planes=(1, 2, 3), strides=(100, 50, 49)), "longer than a stride"),
        (lambda: picture("i420", planes=(1, 2, 3), strides=(100, 50, 51)), "need the same stride"),
        (lambda: letterbox(pictures=0, count=0, out=0, width=64, height=64, spec=YOLOX), "no such batch"),
        (lambda: letterbox(pictures=0, count=1, out=4, width=64, height=64, spec=YOLOX), "multiple of 8"),
    ],
)  # fmt: skip
def test_what_the_kernel_would_misread_is_refused(wrong: Callable[[], object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        wrong()


def test_the_planes_of_odd_pictures_are_rounded_up() -> None:
    assert plane_sizes("bgr", 5, 3) == [(3, 15)]
    assert plane_sizes("yuyv", 5, 3) == [(3, 12)]
    assert plane_sizes("nv12", 5, 3) == [(3, 5), (2, 6)]
    assert plane_sizes("i420", 5, 3) == [(3, 5), (2, 3), (2, 3)]


def test_cuda_is_not_imported() -> None:
    program = (
        "import sys; import detector.inference.kernels.launch, detector.inference.kernels.post, "
        "detector.inference.kernels.compile; print([name for name in sys.modules if name.split('.')[0] in ('pycuda', 'cuda', 'nvidia')])"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"


def test_mean_and_deviation_are_left_to_the_cpu() -> None:
    spec = InputSpec(color="rgb", scale=1 / 255, mean=(0.5, 0.5, 0.5))
    with pytest.raises(ValueError, match="no mean and standard deviation"):
        letterbox(pictures=0, count=1, out=0, width=64, height=64, spec=spec)
