"""The detector on small graphs with chosen answers, and on real models with real pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from detector.core.errors import InferenceError, ModelError
from detector.core.types import ArrayImage, Frame, Image, Pixels
from detector.inference.detector import PersonDetector
from detector.inference.factory import load_detector
from detector.inference.spec import InputSpec
from support import sample
from support.extras import needs_openvino
from support.graphs import write_constant

ROWS = np.zeros((1, 300, 6), np.float32)
ROWS[0, :4] = [
    [16, 24, 32, 40, 0.6, 0],
    [8, 20, 24, 44, 0.9, 0],
    [0, 0, 64, 64, 0.95, 2],  # another class
    [10, 1, 20, 9, 0.5, 0],  # in the padding alone, for a picture twice as wide as high
]


def grey(width: int, height: int) -> Pixels:
    return np.full((height, width, 3), 90, np.uint8)


def tiny(tmp_path: Path, rows: np.ndarray = ROWS, **options: float) -> PersonDetector:
    path = write_constant(tmp_path / "m.onnx", {"output0": rows})
    return load_detector(path=path, name="tiny", score_floor=options.get("score_floor", 0.1))


def test_boxes_come_in_source_pixels(tmp_path: Path) -> None:
    detector = tiny(tmp_path)
    boxes, scores, infer_ms = detector.detect_image(ArrayImage(grey(128, 64)))  # scale 0.5, 16 px of padding above
    np.testing.assert_allclose(boxes, [[16, 8, 48, 56], [32, 16, 64, 48]], atol=1e-4)
    np.testing.assert_allclose(scores, [0.9, 0.6])
    assert infer_ms > 0


def test_floor_is_applied(tmp_path: Path) -> None:
    assert len(tiny(tmp_path, score_floor=0.7).detect_image(ArrayImage(grey(128, 64)))[1]) == 1


def test_frame_is_handed_through(tmp_path: Path) -> None:
    frame = Frame(camera="porch", seq=4, captured_mono=1.0, captured_wall=2.0, image=ArrayImage(grey(128, 64)))
    found = tiny(tmp_path).detect(frame)
    assert found.frame is frame
    assert found.boxes.shape == (2, 4)
    assert found.infer_ms > 0


def test_results_outlive_the_next_picture(tmp_path: Path) -> None:
    detector = tiny(tmp_path)
    boxes, scores, _ = detector.detect_image(ArrayImage(grey(128, 64)))
    before = boxes.copy(), scores.copy()
    detector.detect_image(ArrayImage(grey(30, 300)))
    np.testing.assert_array_equal(boxes, before[0])
    np.testing.assert_array_equal(scores, before[1])


def test_nan_from_the_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InferenceError, match="NaN"):
        tiny(tmp_path, np.full((1, 300, 6), np.nan, np.float32)).detect_image(ArrayImage(grey(64, 64)))


def test_no_picture_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InferenceError, match="not a BGR picture"):
        tiny(tmp_path).detect_image(ArrayImage(np.zeros((0, 0, 3), np.uint8)))


def test_properties(tmp_path: Path) -> None:
    detector = tiny(tmp_path)
    assert (detector.model_name, detector.backend, detector.precision) == ("tiny", "onnxruntime", "fp32")
    assert (detector.provider, detector.input_size) == ("CPUExecutionProvider", (64, 64))
    assert detector.score_floor == 0.1
    assert detector.spec.color == "rgb"


def test_engine_key_follows_the_file(tmp_path: Path) -> None:
    one, again = tiny(tmp_path).engine_key, tiny(tmp_path).engine_key
    other = tiny(tmp_path, ROWS * 0.5).engine_key
    assert one == again != other
    assert len(one) == 16


def test_times_of_the_stages(tmp_path: Path) -> None:
    detector = tiny(tmp_path)
    infer_ms = detector.detect_image(ArrayImage(grey(128, 64)))[2]
    times = detector.last_times
    assert times.infer_ms == infer_ms
    assert min(times.preprocess_ms, times.decode_ms) > 0


def test_bare_run_needs_a_picture_first(tmp_path: Path) -> None:
    detector = tiny(tmp_path)
    with pytest.raises(InferenceError, match="no picture"):
        detector.run_bare()
    assert detector.warm_up() > 0
    assert detector.run_bare() > 0


def test_closed_detector_says_so(tmp_path: Path) -> None:
    detector = tiny(tmp_path)
    detector.close()
    detector.close()
    with pytest.raises(InferenceError, match="closed"):
        detector.warm_up()


def test_floor_must_be_a_score(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="score_floor"):
        tiny(tmp_path, score_floor=1.5)


def test_spec_given_wins(tmp_path: Path) -> None:
    path = write_constant(tmp_path / "m.onnx", {"output0": ROWS})
    spec = InputSpec(color="bgr", scale=1.0, placement="top-left")
    detector = load_detector(path=path, name="tiny", spec=spec)
    boxes, _, _ = detector.detect_image(ArrayImage(grey(128, 64)))
    np.testing.assert_allclose(boxes[0], [16, 40, 48, 64])  # no padding above, clipped below


def test_unknown_graph_is_refused_by_name(tmp_path: Path) -> None:
    path = write_constant(tmp_path / "classes.onnx", {"probs": np.zeros((1, 1000), np.float32)})
    with pytest.raises(ModelError, match=r"^classes\.onnx: unknown outputs probs float32 \[1, 1000\]; known are"):
        load_detector(path=path, name="x")


MODELS = ["yolox_tiny_humanart", "yolov10n", "yolox_nano", "yolov8n", "yolo11n"]


@pytest.fixture(scope="module", params=MODELS)
def real(request: pytest.FixtureRequest, model_file: Callable[[str], Path]) -> PersonDetector:
    name: str = request.param
    return load_detector(path=model_file(name), name=name)


@pytest.fixture(scope="module")
def counted(request: pytest.FixtureRequest, has_shared: bool) -> list[tuple[Image, int]]:
    """Three pictures and how many people each shows."""
    if not has_shared:
        (two, also_two), (one,) = sample.pairs()[:2], sample.frames([120])
        return [(ArrayImage(two), 2), (ArrayImage(also_two), 2), (ArrayImage(one), 1)]
    images = request.getfixturevalue("shared") / "media" / "images"
    # bus.jpg shows four, the fourth cut in half by the left edge: no model is half sure of that one.
    people = {"bus.jpg": 3, "zidane.jpg": 2, "astronaut.png": 1}
    return [(sample.image(images / name), count) for name, count in people.items()]


@pytest.mark.parametrize("number", range(3))
def test_people_are_counted(real: PersonDetector, counted: list[tuple[Image, int]], number: int) -> None:
    image, people = counted[number]
    boxes, scores, _ = real.detect_image(image)
    assert (scores >= 0.5).sum() == people
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert (boxes >= 0).all()
    assert (boxes <= [image.width, image.height] * 2).all()


@pytest.mark.parametrize("number", range(3))
def test_nobody_where_nobody_is(real: PersonDetector, nobody: Path, number: int) -> None:
    _, scores, _ = real.detect_image(sample.image(sorted(nobody.iterdir())[number]))
    assert (scores >= 0.3).sum() == 0


@needs_openvino
def test_openvino_finds_the_same(model_file: Callable[[str], Path], counted: list[tuple[Image, int]]) -> None:
    path, (image, _) = model_file("yolox_tiny_humanart"), counted[1]
    one, other = (load_detector(path=path, name="x", backend=b, score_floor=0.3) for b in ("onnxruntime", "openvino"))
    np.testing.assert_allclose(one.detect_image(image)[0], other.detect_image(image)[0], atol=0.5)
    np.testing.assert_allclose(one.detect_image(image)[1], other.detect_image(image)[1], atol=1e-3)
