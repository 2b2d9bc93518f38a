"""Output layouts of families that people bring: the persons in them are found where they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from detector.core.errors import ModelError
from detector.core.types import ArrayImage
from detector.inference.factory import load_detector
from support.brought import (
    CELLS,
    COCO,
    SIDE,
    SPEC,
    add_input,
    centres,
    classes_of,
    corners,
    joined_rows,
    scores,
    sees,
    write,
)


def test_the_authors_rt_detr_and_d_fine(load: Any, tmp_path: Path) -> None:
    outputs = {
        "labels": classes_of(300).astype(np.int64)[None],
        "boxes": corners(300)[None],
        "scores": scores(300, 1).T,
    }
    path = write(tmp_path / "m.onnx", outputs)
    add_input(path, "orig_target_sizes", TensorProto.INT64, ["batch", 2])
    detector = load_detector(path=path, name="m", threads=1, score_floor=0.5)
    assert (detector.layout.kind, detector.spec.placement) == ("detections", "stretch")
    sees(detector)


@pytest.mark.parametrize(
    "names",
    [
        ("detection_boxes", "detection_scores", "detection_classes", "num_detections"),
        ("TFLite_Detection_PostProcess", "TFLite_Detection_PostProcess:1", "TFLite_Detection_PostProcess:2", "num"),
    ],
)
def test_ssd_of_tensorflow(load: Any, names: tuple[str, ...]) -> None:
    person = 1 if names[0].startswith("detection") else 0
    boxes = corners(100)[:, [1, 0, 3, 2]][None] / SIDE
    filled = [boxes, scores(100, 1).T.copy(), classes_of(100, person=person)[None], np.array([50.0])]
    filled[1][0, 60] = 0.99  # beyond their number
    filled[2][0, 60] = person
    order = (3, 0, 1, 2) if person else (0, 2, 1, 3)
    outputs = {names[index]: filled[index] for index in order}
    detector = load(outputs, input_shape=(1, SIDE, SIDE, 3), input_type=TensorProto.UINT8)
    assert (detector.layout.box_form, detector.layout.person, detector.layout.rgb_bytes) == ("yxyx", person, True)
    sees(detector)


def test_ssd_without_known_names_is_asked_about(load: Any) -> None:
    outputs = {"a": corners(100)[None], "b": scores(100, 1).T, "c": classes_of(100, person=1)[None]}
    with pytest.raises(ModelError, match=r"often 0 or 1\): model\.person_class"):
        load(outputs)
    sees(load(outputs, said={"detector.person_class": "1"}, spec=SPEC))


def test_torchvision_has_no_batch_axis(load: Any) -> None:
    outputs = {"boxes": corners(40), "labels": classes_of(40, person=1).astype(np.int64), "scores": scores(40, 1)[:, 0]}
    sees(load(outputs, said={"detector.person_class": "1"}, spec=SPEC))


def test_pp_yoloe(load: Any) -> None:
    outputs = {"scores": scores(CELLS, 80).T[None], "boxes": corners(CELLS)[None]}
    with pytest.raises(ModelError, match=r"PP-YOLOE RGB in 0\.\.1\): say it: model\.input"):
        load(outputs)
    said = {"detector.input": '{"color": "rgb", "scale": 0.00392156862745098, "placement": "stretch"}'}
    sees(load(outputs, said=said))


def test_paddle_with_nms(tmp_path: Path) -> None:
    rows = np.concatenate((classes_of(30)[:, None], scores(30, 1), corners(30)), axis=1)
    path = write(tmp_path / "m.onnx", {"multiclass_nms3_0.tmp_0": rows, "multiclass_nms3_0.tmp_2": np.array([30])})
    add_input(path, "scale_factor", TensorProto.FLOAT, [1, 2])
    sees(load_detector(path=path, name="m", threads=1, score_floor=0.5, spec=SPEC))


def test_nanodet(load: Any) -> None:
    """Distances as 8 bins a side; places at the cells' corners, four strides (NanoDet-Plus)."""
    cells, bins = 3598, np.zeros((3598, 4, 8), np.float32)
    found = np.full((cells, 80), 0.01, np.float32)
    found[60, 0] = 0.8  # row 1, column 8 of the grid of stride 8
    for side, distance in enumerate((2, 1, 3, 5)):
        bins[60, side, distance] = 60.0
    output = np.concatenate((found, bins.reshape(cells, 32)), axis=1)[None]
    detector = load({"output": output}, input_shape=(1, 3, 416, 416))
    assert (detector.layout.kind, detector.spec.normalised, detector.spec.placement) == ("gfl", True, "stretch")
    boxes, best, _ = detector.detect_image(ArrayImage(np.zeros((416, 416, 3), np.uint8)))
    np.testing.assert_allclose(best, [0.8])
    np.testing.assert_allclose(boxes, [[64 - 16, 8 - 8, 64 + 24, 8 + 40]], atol=0.01)


@pytest.mark.parametrize("names", [COCO, {}, {"names": "{0: 'person'}"}])
def test_deepstream_yolo(load: Any, names: dict[str, str]) -> None:
    output = joined_rows(
        corners(CELLS), scores(CELLS, 1), classes_of(CELLS, other=0 if "{0: 'person'}" in str(names) else 7)
    )
    output[0, 8] = output[0, 3]  # not suppressed in the graph
    detector = load({"output": output}, names)
    assert (detector.layout.kind, detector.layout.suppress) == ("end-to-end", True)
    sees(detector)


def test_yolov6_and_transposed_dense(load: Any) -> None:
    rows = joined_rows(centres(corners(CELLS)), np.ones(CELLS), scores(CELLS, 80))
    sees(load({"outputs": rows}, COCO))
    sees(load({"output0": joined_rows(centres(corners(CELLS)), scores(CELLS, 80))}, COCO))


def test_half_precision_in_and_out(load: Any) -> None:
    dense = joined_rows(centres(corners(CELLS)), scores(CELLS, 80)).transpose(0, 2, 1).astype(np.float16)
    sees(load({"output0": dense}, COCO, input_type=TensorProto.FLOAT16), atol=0.5)


@pytest.mark.parametrize("strides", [(4, 8, 16, 32), (8, 16, 32, 64)])
def test_more_grids_than_usual(load: Any, strides: tuple[int, ...]) -> None:
    cells = sum((SIDE // stride) ** 2 for stride in strides)
    dense = joined_rows(centres(corners(cells)), scores(cells, 80)).transpose(0, 2, 1)
    sees(load({"output0": dense}, COCO))


@pytest.mark.parametrize("family", ["dense", "flat", "end-to-end", "boxes-scores"])
def test_what_cannot_be_is_refused_when_it_is_loaded(load: Any, family: str) -> None:
    boxes = corners(CELLS)
    if family == "dense":
        wrong = joined_rows(-centres(boxes), scores(CELLS, 80)).transpose(0, 2, 1)
        outputs = {"output0": wrong}
    elif family == "flat":
        outputs = {"output0": joined_rows(centres(boxes) * [[1, 1, 0, 0]], scores(CELLS, 80)).transpose(0, 2, 1)}
    elif family == "end-to-end":
        outputs = {"output0": joined_rows(corners(300), scores(300, 1), scores(300, 1) * 9 + 0.3)}
    else:
        outputs = {"boxes": boxes[None] * 1e5 * [[-1, 1, -1, -1]], "scores": scores(CELLS, 80)[None]}
    with pytest.raises(ModelError, match=r"m\.onnx: its outputs .* are not understood: as "):
        load(outputs, COCO)


def test_openvino_reads_the_same(tmp_path: Path, load: Any) -> None:
    pytest.importorskip("openvino", reason="needs the extra openvino")
    sees(load({"boxes": corners(CELLS)[None], "scores": scores(CELLS, 80)[None]}, backend="openvino"))
    outputs = {
        "labels": classes_of(300).astype(np.int64)[None],
        "boxes": corners(300)[None],
        "scores": scores(300, 1).T,
    }
    path = write(tmp_path / "two.onnx", outputs)
    add_input(path, "orig_target_sizes", TensorProto.INT64, [1, 2])
    sees(load_detector(path=path, name="m", threads=1, score_floor=0.5, backend="openvino"))
