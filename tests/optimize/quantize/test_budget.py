"""Who holds the budget: the original itself does, a damaged one and one that does not run do not."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from detector.core.errors import ModelError
from detector.core.types import ArrayImage, Image
from detector.inference.spec import InputSpec
from detector.models.accuracy.gate import LabelledPictures
from detector.optimize.quantize.budget import ByAgreement, ByTruth, Open
from detector.optimize.quantize.int8 import opener
from support.networks import network, noise_pictures

UNIT = InputSpec(color="bgr", scale=1.0 / 255.0)


def load(folder: Path, name: str, bias: float | None = None, objectness: float | None = None) -> Open:
    """The network, or one whose first convolution adds `bias` to everything, or one that is that sure of objects."""
    model = network("yolox-grid")
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node if objectness is not None else ():
        if node.op_type == "Conv" and constants[node.input[1]].dims[0] == 1:
            stored = constants[node.input[2]]
            stored.CopyFrom(onnx.numpy_helper.from_array(np.full(1, objectness, np.float32), stored.name))
    if bias is not None:
        first = next(node for node in model.graph.node if node.op_type == "Conv")
        stored = next(tensor for tensor in model.graph.initializer if tensor.name == first.input[2])
        stored.CopyFrom(onnx.numpy_helper.from_array(np.full(8, bias, np.float32), stored.name))
    path = folder / f"{name}.onnx"
    onnx.save(model, str(path))
    return opener(path, name=name, spec=UNIT, threads=1)


@pytest.fixture
def pictures() -> list[Image]:
    return noise_pictures(10)


@pytest.fixture
def truth(tmp_path: Path, pictures: list[Image]) -> LabelledPictures:
    """What the network itself is sure of, as ground truth."""
    detector = load(tmp_path, "marker")(0.4)
    document: dict[str, list[dict[str, object]]] = {"images": [], "annotations": [], "categories": []}
    document["categories"].append({"id": 1, "name": "person"})
    for number, picture in enumerate(pictures, start=1):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture.bgr())
        document["images"].append({"id": number, "file_name": f"{number}.png", "width": 96, "height": 96})
        for x1, y1, x2, y2 in detector.detect_image(picture)[0].tolist():
            box = {"image_id": number, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1]}
            document["annotations"].append({"id": len(document["annotations"]) + 1, **box})
    detector.close()
    assert len(document["annotations"]) >= 5
    (tmp_path / "truth.json").write_text(json.dumps(document))
    return LabelledPictures(images=tmp_path, annotations=tmp_path / "truth.json")


@pytest.mark.slow
def test_truth_lets_the_original_pass_and_a_damaged_one_not(tmp_path: Path, truth: LabelledPictures) -> None:
    judge = ByTruth(load(tmp_path, "original"), truth, max_ap_drop=0.5)
    same = judge(load(tmp_path, "same"))
    assert (same.holds, same.ap_drop, same.ap) == (True, 0.0, judge.ap)
    assert judge.ap > 0.3
    damaged = judge(load(tmp_path, "damaged", bias=0.5))
    assert not damaged.holds
    assert damaged.ap_drop == pytest.approx(100 * (judge.ap - (damaged.ap or 0.0)))
    assert damaged.loss > same.loss
    assert "person AP changes by -" in damaged.why
    assert (damaged.ap_drop_bound or 0.0) > (damaged.ap_drop or 0.0)


def test_a_few_pictures_prove_nothing(tmp_path: Path, truth: LabelledPictures) -> None:
    """Even of the original itself: other pictures could show what these do not."""
    few = LabelledPictures(images=truth.images, annotations=truth.annotations, only=frozenset(f"{n}.png" for n in range(1, 6)))  # fmt: skip
    same = ByTruth(load(tmp_path, "original"), few, max_ap_drop=0.5)(load(tmp_path, "same"))
    assert not same.holds
    assert "not proven with" in same.why
    assert "in 5 pictures (at least 8 are needed)" in same.why


@pytest.mark.slow
def test_truth_allows_what_it_is_told_to(tmp_path: Path, truth: LabelledPictures) -> None:
    assert ByTruth(load(tmp_path, "original"), truth, max_ap_drop=100.0)(load(tmp_path, "d", bias=0.5)).holds


def test_nonsense_holds_no_budget(tmp_path: Path, truth: LabelledPictures, pictures: list[Image]) -> None:
    original, nonsense = load(tmp_path, "original"), load(tmp_path, "nonsense", bias=float("nan"))
    by_truth = ByTruth(original, truth, max_ap_drop=100.0)(nonsense)
    assert (by_truth.holds, by_truth.loss) == (False, float("inf"))
    assert by_truth.why.startswith("it does not run: ")
    by_agreement = ByAgreement(original, pictures)(nonsense)
    assert not by_agreement.holds
    assert "it failed on picture 1" in by_agreement.why


def test_agreement_lets_the_original_pass_and_a_damaged_one_not(tmp_path: Path, pictures: list[Image]) -> None:
    judge = ByAgreement(load(tmp_path, "original"), pictures)
    same, damaged = judge(load(tmp_path, "same")), judge(load(tmp_path, "damaged", bias=0.5))
    assert same.holds
    assert same.verdict is not None
    assert same.verdict.persons >= 5
    assert not damaged.holds
    assert damaged.loss > same.loss == pytest.approx(0.0, abs=1e-6)


def test_pictures_without_persons_judge_nobody(tmp_path: Path) -> None:
    empty: list[Image] = [ArrayImage(np.zeros((8, 8, 3), np.uint8))]
    silent = load(tmp_path, "silent", objectness=-40.0)
    with pytest.raises(
        ModelError, match=r"the 1 pictures to judge by show [0-4] persons: give pictures with at least 5"
    ):
        ByAgreement(silent, empty)
