"""Exported models give PyTorch's numbers: real weights on real pictures, and every family with random ones."""

from __future__ import annotations

import functools
import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from detector.core.errors import ModelError, UsageError
from detector.core.types import Image
from detector.inference.factory import load_detector
from detector.models.graph import edit

pytestmark = pytest.mark.optimize
SIZE = (224, 160)


@pytest.fixture(autouse=True)
def _ultralytics() -> None:
    pytest.importorskip("torch", reason="needs the extra optimize (make test-optimize)")
    if importlib.util.find_spec("ultralytics") is None:
        pytest.skip("needs ultralytics (detector/optimize/requirements.txt)")


def network(config: str, **wish: Any) -> Any:
    from detector.optimize.export.traceable import from_ultralytics

    return from_ultralytics(enlivened(config), **{"head": None, "person_only": False, **wish})


@functools.cache
def enlivened(config: str) -> Any:
    """Random weights whose outputs depend on the picture: with the statistics of a new network hardly a number gets
    through its normalisations, so noise sets them. Its last layers are damped: such a network magnifies rounding.
    """
    import torch

    from detector.optimize.export import ultralytics_models

    model = ultralytics_models.build(config)
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    torch.manual_seed(1)
    with torch.no_grad():
        model.train()(torch.rand(2, 3, 64, 96))
        for name in ("cv2", "cv3", "one2one_cv2", "one2one_cv3"):
            for branch in getattr(model.model[-1], name, []):
                branch[-1].weight.mul_(0.005 if name.endswith("cv3") else 0.02)
                if name.endswith("cv3"):
                    branch[-1].bias.fill_(-4.0)  # sure of nobody: all cells would be, and only 300 come out
    return model.eval()


def made(config: str, output: Path, pictures: list[Image], wish: dict[str, Any], **form: Any) -> Any:
    from detector.optimize.export.export import ExportOptions, export

    chosen = ExportOptions(size=form.pop("size", SIZE), person_only=wish.get("person_only", False), **form)
    return export(network(config, **wish), chosen, output, pictures)


@pytest.mark.parametrize(
    ("config", "wish", "form", "layout"),
    [
        ("yolov8n.yaml", {"person_only": True}, {"pixels": True}, "dense"),
        ("yolo11n.yaml", {}, {}, "dense"),
        ("yolov10n.yaml", {"head": "nms-free", "person_only": True}, {}, "end-to-end"),
    ],
)
def test_every_family(
    config: str, wish: dict[str, Any], form: dict[str, Any], layout: str, tmp_path: Path, noises: list[Image]
) -> None:
    output = tmp_path / "m.onnx"
    done = made(config, output, noises, wish, **form)
    assert done.layout == layout
    assert done.checked.persons > 500
    assert done.checked.good
    assert done.size == output.stat().st_size
    model = onnx.load(str(output))
    assert edit.layout_of(model).classes == (1 if wish.get("person_only") else 80)
    operators = {node.op_type for node in model.graph.node}
    assert not operators & {"Shape", "Identity", "Constant", "BatchNormalization"}
    detector = load_detector(path=output, name="m")
    assert detector.input_size == SIZE
    detector.warm_up()
    detector.close()


def test_any_number_of_pictures_at_once(tmp_path: Path, noises: list[Image]) -> None:
    import onnxruntime

    output = tmp_path / "m.onnx"
    done = made("yolov8n.yaml", output, noises, {"person_only": True}, batch=0, size=(96, 64))
    assert done.checked.good
    session = onnxruntime.InferenceSession(str(output), providers=["CPUExecutionProvider"])
    pictures = np.random.default_rng(0).random((3, 3, 64, 96), np.float32)
    (together,) = session.run(None, {"images": pictures})
    for index in range(3):
        (alone,) = session.run(None, {"images": pictures[index : index + 1]})
        np.testing.assert_allclose(together[index : index + 1], alone, atol=1e-4)


def test_real_weights_on_real_pictures_by_the_command(checkpoint: Path, shared: Path, tmp_path: Path) -> None:
    output = tmp_path / "m.onnx"
    command = [
        "export",
        str(checkpoint),
        "--person-only",
        "--size",
        "320x256",
        "--images",
        str(shared / "media/images"),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "detector", *command, "--output", str(output), "--json"],
        capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    answer = json.loads(done.stdout)
    assert (answer["layout"], answer["head"], answer["input"]) == ("end-to-end", "nms-free", [320, 256])
    assert answer["checked"]["missing"] == 0
    assert answer["checked"]["score"] <= 1e-5
    detector = load_detector(path=output, name="m", score_floor=0.5)
    from detector.capture.pictures import folder_pictures

    people = [len(detector.detect_image(picture)[1]) for picture in folder_pictures(shared / "media" / "images")]
    detector.close()
    assert sum(people) >= 5
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


def test_a_head_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="was not trained with an NMS-free head"):
        network("yolov8n.yaml", head="nms-free")


def test_what_differs_from_pytorch_is_refused(tmp_path: Path, noises: list[Image]) -> None:
    from detector.optimize.export.export import ExportOptions, export

    whole = network("yolov8n.yaml")

    def elsewhere(pictures: Any) -> tuple[Any, Any]:
        boxes, scores = whole.rows(pictures)
        return boxes + 0.5, scores

    other = replace(whole, rows=elsewhere)
    with pytest.raises(ModelError, match=r"differs from PyTorch by .* nothing was written"):
        export(other, ExportOptions(size=(96, 64)), tmp_path / "m.onnx", noises)
    assert list(tmp_path.iterdir()) == []


def test_forms_that_there_are_not(tmp_path: Path, noises: list[Image]) -> None:
    for form, words in (
        ({"size": (100, 64)}, "multiples of 32"),
        ({"batch": 2, "pixels": True, "size": (96, 64)}, "one picture at a time"),
    ):
        with pytest.raises(ModelError, match=words):
            made("yolov8n.yaml", tmp_path / "m.onnx", noises, {}, **form)
    assert list(tmp_path.iterdir()) == []
