"""The config's keys that describe a model: they reach preprocessing and decoding, and nothing changes the model then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from pydantic import ValidationError

from detector.config.model_settings import Model
from detector.core.errors import ConfigError, ModelError
from detector.core.types import ArrayImage
from detector.models.autotune import offline
from detector.models.loading import loader, resolve, shapeable, shaped_loader
from detector.models.model_keys import said
from support.brought import COCO, SIDE, centres, corners, joined_rows, scores, write

PICTURE = ArrayImage(np.full((SIDE, SIDE, 3), (10, 20, 90), np.uint8))  # blue, green, red


def mean_of_input(path: Path, *, classes: int = 2, size: int | str = SIDE) -> Path:
    """An RF-DETR of one query whose score, of class 1, is the mean of its input's first channel."""
    nodes = [
        helper.make_node("Slice", ["input", "zero", "one", "one"], ["first"]),
        helper.make_node("ReduceMean", ["first"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["mean", "shape"], ["score"]),
        helper.make_node("Concat", ["nothing", "score", *["nothing"] * (classes - 2)], ["labels"], axis=2),
        helper.make_node("Identity", ["box"], ["dets"]),
    ]
    stored = {
        "zero": np.array([0]),
        "one": np.array([1]),
        "shape": np.array([1, 1, 1]),
        "nothing": np.zeros((1, 1, 1), np.float32),
        "box": np.array([[[0.5, 0.5, 0.2, 0.4]]], np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "mean",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, size, size])],
        [
            helper.make_tensor_value_info("dets", TensorProto.FLOAT, [1, 1, 4]),
            helper.make_tensor_value_info("labels", TensorProto.FLOAT, [1, 1, classes]),
        ],
        [numpy_helper.from_array(array, name) for name, array in stored.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


def score(path: Path, **keys: Any) -> float:
    model = Model.model_validate(
        {"name": str(path), "person_class": 1, "backend": "onnxruntime", "output": {"scores": "none"}, **keys}
    )
    detector = loader(model, resolve(model), score_floor=0.0)()
    try:
        boxes, found, _ = detector.detect_image(PICTURE)
        np.testing.assert_allclose(boxes, [[256, 192, 384, 448]], atol=0.1)
        return float(found[0])
    finally:
        detector.close()


def test_m4_the_score_shows_the_preprocessing(tmp_path: Path) -> None:
    path = mean_of_input(tmp_path / "m.onnx")
    assert score(path, input={"color": "rgb"}) == pytest.approx(90 / 255, abs=1e-3)
    assert score(path, input={"color": "bgr"}) == pytest.approx(10 / 255, abs=1e-3)
    normal = {"scale": "1/255", "mean": [0.1, 0.4, 0.4], "std": ["1/2", 0.2, 0.2]}
    assert score(path, input=normal) == pytest.approx((90 / 255 - 0.1) / 0.5, abs=1e-3)
    with pytest.raises(ModelError, match=r"RF-DETR, DETR and YOLOS want mean"):
        score(path)
    with pytest.raises(ModelError, match=r"m\.onnx: this model has 2 classes and no names .*model\.person_class"):
        score(path, person_class=None)
    with pytest.raises(ModelError, match=r"model\.input\.size: 320 x 320: this model's input is fixed at 640 x 640"):
        score(path, input={"size": 320})


def test_m4_ninety_one_columns_are_cocos(tmp_path: Path) -> None:
    path = mean_of_input(tmp_path / "m.onnx", classes=91)
    assert score(path, person_class=None, input={"scale": "1/255"}) == pytest.approx(90 / 255, abs=1e-3)


def test_an_open_size_is_chosen(tmp_path: Path) -> None:
    path = mean_of_input(tmp_path / "m.onnx", size="side")
    model = Model.model_validate(
        {"name": str(path), "person_class": 1, "input": {"size": [320, 256], "scale": 1}, "backend": "onnxruntime"}
    )
    detector = shaped_loader(model, resolve(model))()
    assert detector.input_size == (320, 256)
    detector.close()


def test_a_described_model_runs_as_it_is(tmp_path: Path) -> None:
    rows = joined_rows(centres(corners(8400)), scores(8400, 3, person=2)).transpose(0, 2, 1)
    path = write(tmp_path / "m.onnx", {"output0": rows}, {"names": "['car', 'dog', 'worker']"})
    model = Model(name=str(path), person_class="worker")
    resolved = resolve(model)
    assert not shapeable(model, resolved)
    with pytest.raises(ConfigError, match="described by keys of the config"):
        offline.check(model, resolved)
    detector = shaped_loader(model, resolved)()
    assert detector.detect_image(PICTURE)[1].size == 2
    detector.close()


def test_an_uncommon_layout_is_not_reshaped(tmp_path: Path) -> None:
    """Shares of the input: whether another size would scale them is unknown."""
    rows = joined_rows(centres(corners(8400)) / SIDE, scores(8400, 80)).transpose(0, 2, 1)
    path = write(tmp_path / "m.onnx", {"output0": rows}, COCO)
    model = Model(name=str(path))
    detector = shaped_loader(model, resolve(model))()
    wide = ArrayImage(np.zeros((360, 640, 3), np.uint8))
    assert detector.detect_image(wide)[1].size > 0
    assert detector.input_size == (SIDE, SIDE)
    detector.close()


def test_nothing_is_said_where_no_key_is_set() -> None:
    assert said(Model()) == {}
    assert said(Model.model_validate({"input": {"pad": 0}, "output": {"boxes": "yxyx"}})) == {
        "detector.boxes": "yxyx",
        "detector.input": '{"pad": 0}',
    }
    assert said(Model(person_class=0)) == {"detector.person_class": "0"}


@pytest.mark.parametrize(
    "keys",
    [
        {"person_class": -1},
        {"person_class": True},
        {"person_class": 1.5},
        {"input": {"scale": 0}},
        {"input": {"scale": "1/0"}},
        {"input": {"std": [1, 0, 1]}},
        {"input": {"mean": [1, 2]}},
        {"input": {"size": 16}},
        {"input": {"colour": "rgb"}},
        {"input": {"placement": "left"}},
        {"output": {"boxes": "ltrb"}},
        {"output": {"units": "pixels"}},
    ],
)
def test_wrong_keys_are_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Model.model_validate(keys)


def test_empty_sections_are_their_defaults() -> None:
    assert Model.model_validate({"input": None, "output": None, "person_class": None}) == Model()
