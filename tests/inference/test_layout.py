from __future__ import annotations

import numpy as np
import pytest

from detector.core.errors import ModelError
from detector.inference.layout import Layout, anchors, default_spec, find_layout
from detector.inference.tensors import TensorSpec

Shape = tuple[int | None, ...]
COCO = {"names": str({index: "person" if index == 0 else f"thing {index}" for index in range(80)})}


def find(
    *outputs: Shape,
    metadata: dict[str, str] | None = None,
    picture: Shape = (1, 3, 640, 640),
    dtype: str = "float32",
    names: tuple[str, ...] = ("output0", "output1", "output2"),
) -> Layout:
    specs = [TensorSpec(name, shape, "float32") for name, shape in zip(names, outputs, strict=False)]
    return find_layout([TensorSpec("images", picture, dtype)], specs, metadata or {})


@pytest.mark.parametrize(
    ("outputs", "picture", "kind", "classes"),
    [
        ([(1, 300, 6)], (1, 3, 640, 640), "end-to-end", None),
        ([(None, 300, 6)], (None, 3, None, None), "end-to-end", None),
        ([(1, 84, 8400)], (1, 3, 640, 640), "dense", 80),
        ([(1, 5, 8400)], (1, 3, 640, 640), "dense", 1),
        ([(None, 84, None)], (None, 3, None, None), "dense", 80),
        ([(1, 84, 5040)], (1, 3, 384, 640), "dense", 80),
        ([(1, 3549, 85)], (1, 3, 416, 416), "yolox-grid", 80),
        ([(1, 3549, 6)], (1, 3, 416, 416), "yolox-grid", 1),
        ([(1, None, 85)], (1, 3, 416, 416), "yolox-grid", 80),
        ([(1, None, 5), (1, None)], (1, 3, 416, 416), "yolox-nms", None),
        ([(1, 100, 5), (1, 100)], (1, 3, 416, 416), "yolox-nms", None),
        ([(1, 3549, 4), (1, 80, 3549)], (1, 3, 416, 416), "yolox-boxes", 80),
        ([(1, 1, 2184), (1, 2184, 4)], (1, 3, 256, 416), "yolox-boxes", 1),
    ],
)
def test_known_layouts_are_found(outputs: list[Shape], picture: Shape, kind: str, classes: int | None) -> None:
    layout = find(*outputs, picture=picture)
    assert (layout.kind, layout.classes, layout.person) == (kind, classes, 0)


def test_width_and_height_are_not_mixed_up() -> None:
    layout = find((1, 84, 5040), picture=(1, 3, 384, 640))
    assert (layout.width, layout.height) == (640, 384)
    layout = find((1, 84, None), picture=(1, 3, None, None), metadata={"imgsz": "[384, 640]"})
    assert (layout.width, layout.height) == (640, 384)


@pytest.mark.parametrize(
    ("imgsz", "size"),
    [("[640, 640]", (640, 640)), ("320", (320, 320)), ("", (640, 640)), ("rubbish(", (640, 640)), ("[1]", (640, 640))],
)
def test_dynamic_size_comes_from_the_metadata(imgsz: str, size: tuple[int, int]) -> None:
    layout = find((None, 84, None), picture=(None, 3, None, None), metadata={"imgsz": imgsz})
    assert (layout.width, layout.height) == size


def test_boxes_and_scores_come_in_either_order() -> None:
    one = find((1, 3549, 4), (1, 1, 3549), picture=(1, 3, 416, 416), metadata={"detector.nms_iou": "0.7"})
    other = find((1, 1, 3549), (1, 3549, 4), picture=(1, 3, 416, 416), metadata={"detector.nms_iou": "seven"})
    assert (one.boxes, one.scores, one.labels, one.iou) == (0, 1, None, 0.7)
    assert (other.boxes, other.scores, other.labels, other.iou) == (1, 0, None, None)


def test_labels_may_come_first() -> None:
    layout = find((1, None), (1, None, 5), picture=(1, 3, 416, 416))
    assert (layout.boxes, layout.labels) == (1, 0)


def test_six_columns_and_unknown_rows_go_by_the_exporters_word() -> None:
    assert find((1, None, 6), metadata={"end2end": "True"}).kind == "end-to-end"
    with pytest.raises(ModelError, match="unknown outputs"):
        find((1, None, 6))


@pytest.mark.parametrize(
    ("names", "person"),
    [
        ("{0: 'cat', 1: 'Person'}", 1),
        ("['person', 'cat']", 0),
        ("{0: 'car', 1: 'pedestrian'}", 1),
    ],
)
def test_person_goes_by_name(names: str, person: int) -> None:
    layout = find((1, 6, 8400), metadata={"names": names})
    assert (layout.person, layout.classes) == (person, 2)


def test_end_to_end_person_goes_by_name_too() -> None:
    layout = find((1, 300, 6), metadata={"names": "{0: 'car', 1: 'person'}"})
    assert (layout.person, layout.classes) == (1, 2)


@pytest.mark.parametrize(
    ("outputs", "metadata", "told"),
    [
        ([(1, 1000)], {}, r"output0 float32 \[1, 1000\].*known are"),
        ([(1, 25201, 85)], {}, r"\[1, 25201, 85\].*known are"),
        ([(1, 84, 100)], {}, "unknown outputs"),
        ([(1, None, None)], {}, r"\[1, any, any\]"),
        ([(1, 3, 80, 80, 85)], {}, "unknown outputs .*; export it with the boxes decoded in the graph; known are"),
        ([(1, 100, 4), (1, 100)], {}, "unknown outputs"),
        ([(1, 84, 8400), (1, 32, 160, 160)], {}, "output1"),
        ([(1, 8400, 4), (1, 1, 8399)], {}, "unknown outputs"),
        ([(1, 8400, 4), (1, 1, 8400)], COCO, "names 80 classes, but its output has 1"),
        ([(8, 300, 6)], {}, "more than one picture at once"),
        ([], {}, "none"),
        ([(1, 20, 8400)], {"task": "obb"}, "task 'obb'"),
        ([(1, 56, 8400)], {}, "52 classes and no names"),
        (
            [(1, 6, 8400)],
            {"names": "['cat', 'dog']"},
            "knows no persons: its classes are cat, dog; .*model.person_class",
        ),
        ([(1, 300, 6)], {"names": str([f"c{i}" for i in range(9)])}, r"c4, \.\.\."),
        ([(1, 6, 8400)], COCO, "names 80 classes, but its output has 2"),
        ([(1, 6, 8400)], {"names": "{1: 'person', 2: 'cat'}"}, "not numbered from 0"),
    ],
)
def test_unknown_graphs_are_refused_with_what_was_found(
    outputs: list[Shape], metadata: dict[str, str], told: str
) -> None:
    with pytest.raises(ModelError, match=told) as caught:
        find(*outputs, metadata=metadata)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("picture", "dtype", "told"),
    [
        ((1, 1, 640, 640), "float32", "not a picture model"),
        ((1, 3, 640), "float32", "not a picture model"),
        ((4, 3, 640, 640), "float32", "4 pictures at once"),
        ((1, 3, 640, 640), "uint8", "takes uint8 pictures"),
        ((1, 3, 16, 640), "float32", "640 x 16 px is none"),
        ((1, 3, 640, 99999), "float32", "none that can be used"),
    ],
)
def test_unknown_inputs_are_refused(picture: Shape, dtype: str, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        find((1, 300, 6), picture=picture, dtype=dtype)


def test_two_inputs_are_refused() -> None:
    spec = TensorSpec("a", (1, 3, 64, 64), "float32")
    with pytest.raises(ModelError, match="not a picture model"):
        find_layout([spec, spec], [TensorSpec("o", (1, 300, 6), "float32")], {})


def test_grids_need_whole_cells() -> None:
    with pytest.raises(ModelError, match="multiples of 32"):
        find((1, 84, anchors(100, 100)), picture=(1, 3, 100, 100))


def test_anchors_are_those_of_the_papers() -> None:
    assert (anchors(640, 640), anchors(416, 416)) == (8400, 3549)


def test_default_input_follows_the_family() -> None:
    ultralytics = default_spec(find((1, 300, 6)))
    assert (ultralytics.color, ultralytics.placement) == ("rgb", "center")
    assert ultralytics.scale == pytest.approx(1 / 255)
    yolox = default_spec(find((1, None, 5), (1, None), picture=(1, 3, 416, 416)))
    assert (yolox.color, yolox.scale, yolox.placement) == ("bgr", 1.0, "top-left")
    assert np.float32(yolox.pad) == 114
