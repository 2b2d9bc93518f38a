"""A model with its preprocessing inside sees what it saw with it outside, to the last bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from detector.core.errors import ModelError
from detector.core.types import Image
from detector.inference.factory import BackendName, load_detector
from detector.inference.layout import default_spec
from detector.inference.preprocess import Letterbox
from detector.inference.spec import InputSpec
from detector.models.engines.prepare import prepare
from detector.models.graph import edit
from detector.models.graph.quantize import quantize_cpu
from support.extras import needs_openvino
from support.networks import HEADS, Head, network


def saved(model: onnx.ModelProto, path: Path) -> Path:
    onnx.save(model, str(path))
    return path


def same_persons(
    whole: Path,
    folded: Path,
    pictures: list[Image],
    backend: BackendName = "onnxruntime",
    spec: InputSpec | None = None,
) -> int:
    """How many persons both see, the very same."""
    one, other = (
        load_detector(path=path, name="m", backend=backend, score_floor=0.01, spec=spec) for path in (whole, folded)
    )
    assert one.layout.pixels == (backend == "openvino"), "which folds it in by itself"
    assert other.layout.pixels
    count = 0
    for picture in pictures:
        (boxes, scores, _), (boxes2, scores2, _) = one.detect_image(picture), other.detect_image(picture)
        np.testing.assert_array_equal(boxes2, boxes)
        np.testing.assert_array_equal(scores2, scores)
        count += len(scores)
    one.close()
    other.close()
    return count


@pytest.mark.parametrize("head", HEADS)
def test_small_networks(head: Head, tmp_path: Path, noise: list[Image]) -> None:
    whole = network(head)
    spec = replace(default_spec(edit.layout_of(whole)), scale=1.0 / 255.0)  # YOLOX with random weights would overflow
    files = saved(whole, tmp_path / "a.onnx"), saved(edit.pixels_in(whole, spec), tmp_path / "b.onnx")
    assert same_persons(*files, noise, spec=spec) > 0


def test_a_picture_that_is_padded(tmp_path: Path, photos: list[Image], small_model: Path) -> None:
    """Real persons in pictures of other aspects than the input's: the grey around them is the same too."""
    folded = saved(edit.pixels_in(onnx.load(str(small_model))), tmp_path / "b.onnx")
    assert same_persons(small_model, folded, photos[:6]) > 10


@needs_openvino
def test_openvino_takes_bytes_too(tmp_path: Path, photos: list[Image], small_model: Path) -> None:
    folded = saved(edit.pixels_in(onnx.load(str(small_model))), tmp_path / "b.onnx")
    assert same_persons(small_model, folded, photos[:1], "openvino") > 0


def test_bytes_are_planes_before_they_are_floats(noise: list[Image]) -> None:
    """The letterbox's bytes, in the model's order and widened, are its floats."""
    spec = InputSpec(color="rgb", scale=1.0 / 255.0)
    outside = Letterbox(width=64, height=128, spec=spec)(noise[0])[0]
    inside = Letterbox(width=64, height=128, spec=spec, pixels=True)(noise[0])[0]
    assert inside.shape == (1, 128, 64, 3)
    assert inside.dtype == np.uint8
    planes = inside[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32) * np.float32(spec.scale)
    np.testing.assert_array_equal(planes, outside)


def test_it_is_told_and_done_once() -> None:
    folded = edit.pixels_in(network("dense"))
    facts = {entry.key: entry.value for entry in folded.metadata_props}
    assert facts["detector.steps"] == "pixels in"
    assert facts["detector.pixels"] == "bgr, center, pad 114"
    with pytest.raises(ModelError, match="takes bytes already"):
        edit.pixels_in(folded)


def test_an_unusual_letterbox_stays_outside() -> None:
    with pytest.raises(ModelError, match="not the usual one"):
        edit.pixels_in(network("dense"), InputSpec(color="rgb", scale=1.0, pad=0))


def test_what_comes_after_it_is_refused(noise: list[Image], tmp_path: Path) -> None:
    folded = edit.pixels_in(network("dense"))
    with pytest.raises(ModelError, match="change the size of the one without"):
        edit.reshape(folded, 64, 64)
    with pytest.raises(ModelError, match="quantise the one without"):
        quantize_cpu(saved(folded, tmp_path / "b.onnx"), noise, output=tmp_path / "q.onnx")
    assert not (tmp_path / "q.onnx").exists()


def test_no_engine_is_built_from_bytes(tmp_path: Path) -> None:
    path = saved(edit.pixels_in(network("dense")), tmp_path / "b.onnx")
    with pytest.raises(ModelError, match="build the engine from the model without it"):
        prepare(path)
