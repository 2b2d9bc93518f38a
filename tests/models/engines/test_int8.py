"""The gate on real INT8 files: ONNX Runtime runs the very pairs that TensorRT is given."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from detector.capture.pictures import folder_pictures
from detector.core.errors import ModelError
from detector.core.types import Image
from detector.inference.backends.onnx_metadata import inspect
from detector.inference.detector import PersonDetector
from detector.inference.factory import load_detector
from detector.models.engines.build_accepted import EngineCandidate, first_accepted
from detector.models.engines.int8 import calibration_pictures, judge, quantise
from detector.models.registry import load_registry

Form = Callable[[str], tuple[Path, Path]]


@pytest.fixture(scope="module")
def photos(people: Path) -> list[Image]:
    return list(folder_pictures(people, count=64))


@pytest.fixture(scope="module")
def form(model_file: Callable[[str], Path], photos: list[Image], tmp_path_factory: pytest.TempPathFactory) -> Form:
    """A model's file and its INT8 form, calibrated on every fourth picture: those are not judged by."""
    folder = tmp_path_factory.mktemp("int8")

    def made(name: str) -> tuple[Path, Path]:
        source, output = model_file(name), folder / f"{name}.onnx"
        if not output.exists():
            quantise(source, photos[::4], output=output, spec=load_registry().resolve(source).spec)
        return source, output

    return made


def opened(path: Path, source: Path) -> PersonDetector:
    return load_detector(path=path, name=path.stem, spec=load_registry().resolve(source).spec, backend="onnxruntime")


@pytest.mark.optimize
@pytest.mark.parametrize(
    ("name", "accepted"), [("yolox_nano", False), ("yolox_tiny_humanart", True)], ids=["a bad one", "a good one"]
)
def test_int8_is_judged_against_fp32(form: Form, photos: list[Image], name: str, accepted: bool) -> None:
    source, int8 = form(name)
    assert inspect(int8).precision == "int8"
    assert int8.stat().st_size < 0.35 * source.stat().st_size
    spec = load_registry().resolve(source).spec
    verdict = judge(
        int8, name=name, spec=spec, reference=partial(opened, source, source), pictures=photos[1::4], floor=0.1
    )
    assert verdict.accepted == accepted, verdict
    assert verdict.persons > 10
    if not accepted:
        assert "it misses" in verdict.why


@pytest.mark.slow
def test_the_next_safer_precision_is_taken_and_the_note_says_so(form: Form, photos: list[Image]) -> None:
    source, int8 = form("yolox_nano")
    choice = first_accepted(
        [
            EngineCandidate(name="int8", open=partial(opened, int8, source)),
            EngineCandidate(name="fp32", open=partial(opened, source, source)),
        ],
        reference=partial(opened, source, source),
        pictures=lambda: photos[1::8],
    )
    assert choice.taken == "fp32"
    assert choice.note is not None
    assert choice.note.startswith("int8 was refused: it misses ")


def test_the_hash_follows_the_pictures(tmp_path: Path) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((8, 8, 3), number, np.uint8))
    pictures, first = calibration_pictures(tmp_path)
    assert len(pictures) == 3
    assert calibration_pictures(tmp_path)[1] == first
    cv2.imwrite(str(tmp_path / "2.png"), np.full((8, 8, 3), 9, np.uint8))
    assert calibration_pictures(tmp_path)[1] != first


def test_nothing_half_made_is_left(small_model: Path, photos: list[Image], tmp_path: Path) -> None:
    source = small_model
    with pytest.raises(ModelError, match="at least 16 different ones are needed"):
        quantise(source, photos[:3], output=tmp_path / "m.onnx", spec=None)
    (tmp_path / "file").write_text("")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    with pytest.raises(ModelError, match="cannot write"):
        quantise(source, photos[::4], output=tmp_path / "file" / "m.onnx", spec=None)
