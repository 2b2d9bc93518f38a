"""Models as people bring them, by the public reports of FIELD.md (M, O): read rightly, or refused with the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from detector.core.errors import InferenceError, ModelError
from detector.core.types import ArrayImage
from detector.inference.factory import load_detector
from support.brought import (
    CELLS,
    COCO,
    PERSONS,
    PICTURE,
    SCORES,
    SIDE,
    SPEC,
    A,
    add_input,
    centres,
    classes_of,
    corners,
    joined_rows,
    logits,
    open_shapes,
    scores,
    sees,
    write,
    write_bright,
)


@pytest.mark.parametrize("name", ["0", "persons", "head", "Mensch", "Human being"])
def test_m1_o6_a_one_class_model_is_its_class(load: Any, name: str) -> None:
    dense = joined_rows(centres(corners(CELLS)), scores(CELLS, 1)).transpose(0, 2, 1)
    detector = load({"output0": dense}, {"names": str({0: name})})
    sees(detector)
    noted = name not in ("persons", "Human being")
    assert (detector.layout.note == f"its one class, {name!r}, is taken for person") == noted


@pytest.mark.parametrize("said", ["worker", "WORKER", "2"])
def test_m1_the_key_names_the_class_among_several(load: Any, said: str) -> None:
    dense = joined_rows(centres(corners(CELLS)), scores(CELLS, 3, person=2)).transpose(0, 2, 1)
    names = {"names": "['car', 'dog', 'worker']"}
    sees(load({"output0": dense}, names, said={"detector.person_class": said}))
    with pytest.raises(ModelError, match=r"classes are car, dog, worker; name the one that is: model\.person_class"):
        load({"output0": dense}, names)
    with pytest.raises(ModelError, match=r"model\.person_class: 3: this model has 3 classes"):
        load({"output0": dense}, names, said={"detector.person_class": "3"})
    with pytest.raises(ModelError, match=r"has no such class; its classes are car"):
        load({"output0": dense}, names, said={"detector.person_class": "cat"})


@pytest.mark.parametrize("classes", [1, 80])
def test_m2_yolo_nas_raw(load: Any, classes: int) -> None:
    boxes, found = corners(CELLS)[None], scores(CELLS, classes)[None]
    detector = load({"boxes": boxes, "scores": found})
    assert detector.layout.kind == "boxes-scores"
    sees(detector)
    sees(load({"913": found, "904": boxes}))


def test_m2_o5_scores_may_be_logits(load: Any) -> None:
    detector = load({"boxes": corners(CELLS)[None], "scores": logits(scores(CELLS, 80))[None]})
    assert detector.layout.activation == "sigmoid"
    sees(detector)


@pytest.mark.parametrize("metadata", [COCO, {"description": "Ultralytics RTDETR-l model"}, {}])
def test_m3_rt_detr_joined_rows(load: Any, metadata: dict[str, str]) -> None:
    detector = load({"output0": joined_rows(centres(corners(300)) / SIDE, scores(300, 80))}, metadata)
    assert (detector.layout.kind, detector.spec.placement) == ("rows", "stretch")
    sees(detector)


@pytest.mark.parametrize("columns", [2, 91])
def test_m4_rf_detr_wants_to_be_described(load: Any, columns: int) -> None:
    person = 1
    outputs = {"dets": centres(corners(300))[None] / SIDE, "labels": logits(scores(300, columns, person=person))[None]}
    key = {"detector.person_class": "1"}
    said = key | {"detector.input": '{"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}'}
    detector = load(outputs, said=said)
    assert (detector.layout.activation, detector.spec.placement) == ("sigmoid", "stretch")
    assert detector.spec.mean == (0.485, 0.456, 0.406)
    sees(detector)
    with pytest.raises(ModelError, match=r"RF-DETR, DETR and YOLOS want mean .*model\.input: \{color"):
        load(outputs, said=key)
    if columns == 2:
        with pytest.raises(ModelError, match=r"2 classes and no names .*model\.person_class: NUMBER"):
            load(outputs)


def test_m4_three_classes_and_nothing_look_like_boxes(load: Any) -> None:
    boxes, found = centres(corners(300))[None] / SIDE, logits(scores(300, 4, person=2))[None]
    said = {"detector.person_class": "2", "detector.input": '{"scale": 1}'}
    sees(load({"dets": boxes, "labels": found}, said=said))
    sees(load({"pred_logits": found, "pred_boxes": boxes}, said=said))
    sees(load({"a": boxes, "b": found}, said=said))


@pytest.mark.parametrize("rows", [17, 300, 0])
def test_m5_nms_in_the_graph_with_dynamic_rows(tmp_path: Path, rows: int) -> None:
    path = tmp_path / "m.onnx"
    found = (
        joined_rows(corners(17), scores(17, 1), classes_of(17))[:, :rows] if rows else np.zeros((1, 0, 6), np.float32)
    )
    if rows == 300:
        found = joined_rows(corners(300), scores(300, 1), classes_of(300))
    write(path, {"output0": found}, COCO | {"task": "detect", "args": "{'batch': 1, 'nms': True}"})
    open_shapes(path, ["batch", "n", 6])
    detector = load_detector(path=path, name="m", threads=1, score_floor=0.5)
    assert detector.layout.kind == "end-to-end"
    if rows:
        sees(detector)
    else:
        assert len(detector.detect_image(PICTURE)[1]) == 0


def test_m5_yolov7_with_nms(load: Any) -> None:
    rows = np.concatenate((np.zeros((9, 1)), corners(9), classes_of(9)[:, None], scores(9, 1)), axis=1)
    detector = load({"output": rows})
    assert detector.layout.columns == (1, 6, 5)
    sees(detector)


def test_m5_yolo_nas_flat_rows(load: Any) -> None:
    rows = np.concatenate((np.zeros((9, 1)), corners(9), scores(9, 1), classes_of(9)[:, None]), axis=1)
    sees(load({"graph2_flat_predictions": rows}))
    sees(load({"output": rows}))


@pytest.mark.parametrize("classes", [1, 80])
@pytest.mark.parametrize("score_first", [True, False])
def test_m5_flat_rows_of_either_order_without_a_telling_name(load: Any, classes: int, *, score_first: bool) -> None:
    columns = [scores(9, 1), classes_of(9, other=7 if classes > 1 else 0)[:, None]]
    rows = np.concatenate((np.zeros((9, 1)), corners(9), *(columns if score_first else columns[::-1])), axis=1)
    detector = load({"output": rows})
    assert detector.layout.kind == ("flat-rows-score-class" if score_first else "flat-rows")
    sees(detector)


def test_m5_flat_rows_whose_first_run_shows_nobody(tmp_path: Path) -> None:
    """Nothing tells the order then: a run with somebody names the key, the key decides."""
    rows = np.array([[0, *A, 0.6, 0]], np.float32)
    path = tmp_path / "m.onnx"
    write_bright(path, rows)
    picture = ArrayImage(np.full((SIDE, SIDE, 3), 255, np.uint8))
    detector = load_detector(path=path, name="m", threads=1, score_floor=0.5)
    with pytest.raises(InferenceError, match=r"model\.output\.layout: flat-rows-score-class"):
        detector.detect_image(picture)
    said = {"detector.layout": "flat-rows-score-class"}
    boxes, found, _ = load_detector(path=path, name="m", threads=1, score_floor=0.5, said=said).detect_image(picture)
    np.testing.assert_allclose(boxes, [A], atol=0.1)
    np.testing.assert_allclose(found, [0.6], atol=1e-3)


def test_m5_yolo26_end_to_end(load: Any) -> None:
    detector = load({"output0": joined_rows(corners(300), scores(300, 1), classes_of(300))}, COCO | {"end2end": "True"})
    assert (detector.layout.kind, detector.layout.usual) == ("end-to-end", True)
    sees(detector)


def test_m7_pose_and_segmentation_have_persons_in_them(load: Any) -> None:
    points = np.random.default_rng(5).uniform(-700, 700, (CELLS, 51))
    pose = joined_rows(centres(corners(CELLS)), scores(CELLS, 1), points).transpose(0, 2, 1)
    sees(load({"output0": pose}, {"task": "pose", "names": "{0: 'person'}", "kpt_shape": "[17, 3]"}))
    weights = np.random.default_rng(6).normal(0, 3, (CELLS, 32))
    segment = joined_rows(centres(corners(CELLS)), scores(CELLS, 80), weights).transpose(0, 2, 1)
    masks = np.zeros((1, 32, 160, 160), np.float32)
    sees(load({"output0": segment, "output1": masks}, COCO | {"task": "segment"}))
    sees(load({"output1": masks, "output0": segment}, COCO | {"task": "segment"}))
    rows = joined_rows(corners(300), scores(300, 1), classes_of(300), np.zeros((300, 51)))
    sees(load({"output0": rows}, {"task": "pose", "names": "{0: 'person'}", "end2end": "True"}))


def test_o1_rt_detr_of_ultralytics_84(load: Any) -> None:
    rows = joined_rows(centres(corners(300)) / SIDE, scores(300, 1), classes_of(300))
    for metadata in ({}, COCO, {"description": "Ultralytics RT-DETR-l"}):
        detector = load({"output0": rows}, metadata)
        assert (str(detector.layout), detector.spec.placement) == ("end-to-end: boxes cxcywh, 0..1", "stretch")
        sees(detector)


def test_o1_few_rows_of_shares_are_asked_about(load: Any) -> None:
    rows = np.zeros((1, 300, 6), np.float32)
    rows[0, 0] = [0.3, 0.4, 0.5, 0.8, 0.9, 0]
    with pytest.raises(ModelError, match=r"model\.output\.boxes: xyxy, cxcywh or yxyx"):
        load({"output0": rows})
    assert load({"output0": rows}, {"description": "Ultralytics RT-DETR"}).layout.box_form == "cxcywh"
    for form, box in (("xyxy", [192, 256, 320, 512]), ("cxcywh", [32, 0, 352, 512]), ("yxyx", [256, 192, 512, 320])):
        detector = load({"output0": rows}, said={"detector.boxes": form})
        np.testing.assert_allclose(detector.detect_image(PICTURE)[0], [box], atol=0.1)


def test_o2_yolov5_with_one_class(load: Any) -> None:
    rows = np.zeros((1, 25200, 6), np.float32)
    rows[0, 77] = [100, 90, 180, 400, 0.92, 0.97]
    for names in ({"names": "{0: 'person'}"}, {}):
        boxes, found, _ = load({"output0": rows}, names).detect_image(PICTURE)
        np.testing.assert_allclose(found, [0.8924], atol=1e-4)
        np.testing.assert_allclose(boxes, [[10, 0, 190, 290]], atol=1e-3)


def test_o2_yolov5_with_eighty(load: Any) -> None:
    rows = joined_rows(centres(corners(25200)), np.ones(25200), scores(25200, 80))
    sees(load({"output0": rows}, COCO))


@pytest.mark.parametrize("head", ["dense", "end-to-end"])
def test_o3_boxes_in_shares(load: Any, head: str) -> None:
    if head == "dense":
        output = joined_rows(centres(corners(CELLS)) / SIDE, scores(CELLS, 80)).transpose(0, 2, 1)
    else:
        output = joined_rows(corners(300) / SIDE, scores(300, 1), classes_of(300))
    detector = load({"output0": output}, COCO)
    assert detector.layout.box_units == "share"
    sees(detector)


@pytest.mark.parametrize("classes", [3, 91])
def test_o5_unnamed_rows_of_a_grid_are_asked_about(load: Any, classes: int) -> None:
    """A dense head turned round, or one with an objectness: both fit."""
    rows = joined_rows(centres(corners(CELLS)), scores(CELLS, classes, person=1))
    said = {"detector.person_class": "1"}
    with pytest.raises(ModelError, match=r"may be rows-objectness or rows: say which: model\.output\.layout"):
        load({"output0": rows}, said=said, spec=SPEC)
    sees(load({"output0": rows}, said=said | {"detector.layout": "rows"}, spec=SPEC))
    sees(load({"output0": rows}, {"names": str([f"c{i}" for i in range(classes)])}, said=said, spec=SPEC))


def test_o1_two_scores_are_no_score_and_class(load: Any) -> None:
    """RT-DETR of two classes gives six columns, too."""
    rows = joined_rows(centres(corners(300)) / SIDE, scores(300, 2, person=1))
    said = {"detector.person_class": "1"}
    with pytest.raises(ModelError, match="as end-to-end its class numbers seem to be scores"):
        load({"output0": rows}, said=said)
    sees(load({"output0": rows}, said=said | {"detector.layout": "rows"}))


def test_o3_a_person_of_a_pixels_size_is_refused_while_it_runs(load: Any) -> None:
    """A run at load that gave nothing to decide by."""
    from detector.inference.decode import make_decoder
    from detector.inference.layout import Layout

    rows = joined_rows(corners(9) / SIDE, scores(9, 1), classes_of(9)).astype(np.float32)
    with pytest.raises(InferenceError, match=r"model\.output\.units: share"):
        make_decoder(Layout(kind="end-to-end", width=SIDE, height=SIDE))((rows,), 0.5)


def test_o4_rtmdet_and_yolox_cannot_be_told_apart(load: Any) -> None:
    outputs = {
        "dets": joined_rows(corners(20), scores(20, 1)),
        "labels": classes_of(20).astype(np.int64)[None],
    }
    with pytest.raises(ModelError, match=r"RTMDet wants mean and standard deviation\): say it: model\.input"):
        load(outputs)
    said = {"detector.input": '{"mean": [103.53, 116.28, 123.675], "std": [57.375, 57.12, 58.395]}'}
    detector = load(outputs, said=said)
    assert (detector.spec.color, detector.spec.placement) == ("bgr", "top-left")
    sees(detector)


def test_o4_detr_with_its_mask_of_pixels(tmp_path: Path, load: Any) -> None:
    outputs = {"logits": np.zeros((1, 100, 92)), "pred_boxes": centres(corners(100))[None] / SIDE}
    outputs["logits"][:, :, 91] = 6.0
    outputs["logits"][0, 3, [1, 91]] = np.log(0.9 / 0.1) + 6.0, 6.0
    outputs["logits"][0, 5, [1, 91]] = np.log(0.6 / 0.4) + 6.0, 6.0
    with pytest.raises(ModelError, match="DETR and YOLOS want mean"):
        load(outputs)
    detector = load(outputs, {"detector.input": '{"mean": [0.5, 0.5, 0.5]}'})
    assert (detector.layout.person, detector.layout.activation) == (1, "softmax")
    boxes, found, _ = detector.detect_image(PICTURE)
    np.testing.assert_allclose(boxes, PERSONS, atol=0.1)
    np.testing.assert_allclose(found, SCORES, atol=0.1)
    path = tmp_path / "m.onnx"
    add_input(path, "pixel_mask", TensorProto.INT64, [1, 64, 64])
    again = load_detector(path=path, name="m", threads=1, score_floor=0.5)
    np.testing.assert_allclose(again.detect_image(PICTURE)[0], PERSONS, atol=0.1)


def test_o5_damo_yolo_gives_scores_first(load: Any) -> None:
    sees(load({"output": scores(CELLS, 80)[None], "boxes": corners(CELLS)[None]}, COCO))


def test_o5_decoded_yolox(load: Any) -> None:
    rows = joined_rows(centres(corners(CELLS)), np.full(CELLS, 0.999), scores(CELLS, 80))
    with pytest.raises(ModelError, match=r"decoded YOLOX takes 0\.\.255.*model\.input"):
        load({"output": rows})
    detector = load({"output": rows}, spec=SPEC)
    assert detector.layout.kind == "rows-objectness"
    sees(detector)


def test_o5_the_untransformed_grid_is_still_that(load: Any) -> None:
    rows = np.random.default_rng(8).normal(0, 0.7, (1, CELLS, 85)).astype(np.float32)
    rows[..., 4:] = np.random.default_rng(9).uniform(0, 0.01, (1, CELLS, 81))
    assert load({"output": rows}).layout.kind == "yolox-grid"


@pytest.mark.parametrize("size", [0, 320])
def test_o5_o7_everything_open(tmp_path: Path, size: int) -> None:
    """YOLOv5 with `dynamic=True`, not simplified: no output has a length; the real ones come with the first run."""
    path = tmp_path / "m.onnx"
    side = size or SIDE
    rows = (side // 32) ** 2 * 21 * 3
    boxes = corners(rows) * side / SIDE
    write(path, {"output0": joined_rows(centres(boxes), np.ones(rows), scores(rows, 80))}, COCO)
    open_shapes(path, ["a", "b", "c"], ["batch", 3, "height", "width"])
    said = {"detector.size": f"[{size}, {size}]"} if size else None
    detector = load_detector(path=path, name="m", threads=1, score_floor=0.5, said=said)
    assert (detector.layout.kind, detector.input_size) == ("rows-objectness", (side, side))
    sees(detector)


def test_o7_a_dense_head_with_no_lengths(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    write(path, {"output0": joined_rows(centres(corners(CELLS)), scores(CELLS, 80)).transpose(0, 2, 1)}, COCO)
    open_shapes(path, ["a", "b", "c"], ["batch", 3, "height", "width"])
    detector = load_detector(path=path, name="m", threads=1, score_floor=0.5)
    assert detector.layout.kind == "dense"
    sees(detector)
