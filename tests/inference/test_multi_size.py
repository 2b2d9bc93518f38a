"""Several sizes of one model side by side, on small graphs with fixed answers."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from detector.core.errors import InferenceError, ModelError
from detector.core.types import ArrayImage, Frame
from detector.inference.detector import PersonDetector
from detector.inference.factory import load_detector
from detector.inference.multi_size import MultiSizeDetector
from support.graphs import write_constant

BASE = (128, 128)
WIDE, FULL_HD = (128, 96), (1920, 1080)
Shape = tuple[int, int]


def image(width: int, height: int) -> ArrayImage:
    return ArrayImage(np.full((height, width, 3), 90, np.uint8))


class Shelf:
    """Loads a model for any of its sizes and remembers which were asked for."""

    def __init__(self, folder: Path, *, missing: tuple[Shape, ...] = ()) -> None:
        self._folder, self._missing = folder, missing
        self.asked: list[Shape] = []
        self.loaded: list[PersonDetector] = []

    def __call__(self, shape: Shape) -> PersonDetector:
        self.asked.append(shape)
        if shape in self._missing:
            raise ModelError(f"no {shape}")
        rows = np.zeros((1, 10, 6), np.float32)
        rows[0, 0] = [0, 0, *shape, 0.9, 0]  # all of the input
        path = self._folder / f"{shape[0]}x{shape[1]}.onnx"
        write_constant(path, {"output0": rows}, input_shape=(1, 3, shape[1], shape[0]))
        self.loaded.append(load_detector(path=path, name="shelf"))
        return self.loaded[-1]


def test_each_picture_goes_to_the_size_that_fits(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    detector = MultiSizeDetector(load=shelf, base=BASE)
    for size, shape in (((640, 480), WIDE), ((1280, 720), WIDE), ((480, 640), (96, 128)), ((300, 300), BASE)):
        boxes, scores, _ = detector.detect_image(image(*size))
        assert detector.input_size == shape
        np.testing.assert_allclose(boxes, [[0, 0, *size]], atol=0.5)
        np.testing.assert_allclose(scores, [0.9])
    assert sorted(set(shelf.asked)) == sorted(shelf.asked), "each was loaded once"
    detector.close()


def test_frames_are_handed_through(tmp_path: Path) -> None:
    detector = MultiSizeDetector(load=Shelf(tmp_path), base=BASE)
    frame = Frame(camera="a", seq=1, captured_mono=0.0, captured_wall=0.0, image=image(640, 480))
    assert detector.detect(frame).frame is frame
    detector.close()


def test_frames_of_several_sizes_keep_their_order(tmp_path: Path) -> None:
    detector = MultiSizeDetector(load=Shelf(tmp_path), base=BASE)
    sizes = [(640, 480), (300, 300), (800, 600), (200, 200)]
    frames = [
        Frame(camera="a", seq=seq, captured_mono=0.0, captured_wall=0.0, image=image(*size))
        for seq, size in enumerate(sizes)
    ]
    found = detector.detect_many(frames)
    assert detector.max_batch == 1, "a CPU gains nothing by more"
    for wanted, size, seen in zip(frames, sizes, found, strict=True):
        assert not isinstance(seen, Exception)
        assert seen.frame is wanted
        np.testing.assert_allclose(seen.boxes, [[0, 0, *size]], atol=0.5)
    detector.close()


def test_expected_sizes_are_loaded_before_the_first_frame(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    detector = MultiSizeDetector(load=shelf, base=BASE, expected=[(640, 480), (300, 300), (800, 600)])
    assert shelf.asked == [WIDE], "the square one is not loaded for nothing"
    assert detector.warm_up() > 0
    assert shelf.asked == [WIDE, BASE]
    detector.detect_image(image(640, 480))
    detector.detect_image(image(300, 300))
    assert shelf.asked == [WIDE, BASE]
    detector.close()


def test_properties_are_those_of_the_size_used_last(tmp_path: Path) -> None:
    detector = MultiSizeDetector(load=Shelf(tmp_path), base=BASE)
    key = detector.engine_key
    detector.detect_image(image(640, 480))
    assert detector.engine_key != key
    assert (detector.model_name, detector.backend, detector.precision) == ("shelf", "onnxruntime", "fp32")
    assert (detector.provider, detector.score_floor) == ("CPUExecutionProvider", 0.1)
    assert (detector.layout.width, detector.layout.height) == WIDE
    assert detector.spec.placement == "center"
    assert detector.last_times.infer_ms > 0
    assert detector.run_bare() > 0
    assert set(detector.shapes) == {BASE, WIDE}
    detector.close()


def test_a_size_that_cannot_be_made_is_served_by_the_base(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shelf = Shelf(tmp_path, missing=(WIDE,))
    detector = MultiSizeDetector(load=shelf, base=BASE)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            detector.detect_image(image(640, 480))
    assert detector.input_size == BASE
    assert shelf.asked == [BASE, WIDE], "tried once, told once"
    assert [record.message for record in caplog.records] == ["no (128, 96); 128 x 128 px is used instead"]
    detector.close()


def test_without_its_base_there_is_no_detector(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no \(128, 128\)"):
        MultiSizeDetector(load=Shelf(tmp_path, missing=(BASE,)), base=BASE)


def test_closed_means_all_of_them(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    detector = MultiSizeDetector(load=shelf, base=BASE)
    detector.detect_image(image(640, 480))
    detector.close()
    detector.close()
    for one in shelf.loaded:
        with pytest.raises(InferenceError, match="closed"):
            one.detect_image(image(10, 10))
    with pytest.raises(InferenceError, match="closed"):
        detector.detect_image(image(480, 640))
    assert len(shelf.loaded) == 2
