"""`detector quantize` as a user runs it, on a small network and noise; its mistakes are one line and leave no file."""

from __future__ import annotations

import json
import re
import resource
from pathlib import Path
from typing import Any

import cv2
import onnx
import pytest

from detector.cli.app import call
from detector.inference.backends.onnx_metadata import inspect
from support.networks import network, noise_pictures
from support.studies import annotated

pytestmark = pytest.mark.optimize  # without PyTorch, but too slow for the fast suite


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and pictures to calibrate with."""
    folder = tmp_path_factory.mktemp("user")
    onnx.save(_for_bytes(network("yolox-grid")), str(folder / "model.onnx"))
    (folder / "pictures").mkdir()
    for number, picture in enumerate(noise_pictures(30)):
        cv2.imwrite(str(folder / "pictures" / f"{number}.png"), picture.bgr())
    return folder


def _for_bytes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The network for pictures of 0..255, as YOLOX takes them."""
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    weights = next(tensor for tensor in model.graph.initializer if tensor.name == first.input[1])
    weights.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weights) / 255, weights.name))
    return model


@pytest.fixture(autouse=True)
def _here(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DETECTOR_CACHE", str(folder / "cache"))


def run(folder: Path, *arguments: str) -> int:
    return call(["quantize", str(folder / "model.onnx"), "--calibration", str(folder / "pictures"), *arguments])


def answer(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run(folder, "--json", *arguments) == 0, capsys.readouterr().err
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_int8_for_this_cpu(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(folder, capsys, "--output", "sub/small.onnx")
    made = tmp_path / "sub" / "small.onnx"
    assert inspect(made).precision == "int8"
    assert inspect(made).metadata["detector.int8_for"] == found["runtime"]
    assert found["bytes_after"] == made.stat().st_size
    assert found["bytes_before"] == (folder / "model.onnx").stat().st_size
    assert found["ratio"] == pytest.approx(found["ms_after"] / found["ms_before"])
    assert (found["calibration_pictures"], len(found["calibration_sha256"])) == (20, 64)
    assert found["judging_pictures"] == 10
    assert found["notes"][0] == "20 pictures calibrate, 10 others judge"
    assert found["method"] in ("min-max", "percentile", "entropy")
    assert found["persons"] >= 5
    assert {trial["method"] for trial in found["trials"]} == {"min-max", "percentile", "entropy"}
    assert len(found["kept"]) <= found["layers"] // 2
    assert [path.name for path in made.parent.iterdir()] == ["small.onnx"], "nothing beside it"


def test_o9_pictures_that_calibrate_do_not_judge(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same folder for both: divided, and said; too few to divide is a wrong argument."""
    images, truth = annotated(tmp_path, count=40)
    given = ["--calibration", str(images), "--images", str(images), "--annotations", str(truth), "--max-ap-drop", "100"]
    model = str(folder / "model.onnx")
    assert call(["quantize", model, *given, "--method", "min-max", "--json"]) == 0, capsys.readouterr().err
    found = json.loads(capsys.readouterr().out)
    note = "were in both --calibration and --images: by their content (\\d+) pictures calibrate and (\\d+) others judge"
    (counts,) = re.findall(note, found["notes"][0])
    assert [int(count) for count in counts] == [found["calibration_pictures"], found["judging_pictures"]]
    assert sum(map(int, counts)) == 40
    (tmp_path / "few").mkdir()
    few, truth = annotated(tmp_path / "few", count=20)
    given = ["--calibration", str(few), "--images", str(few), "--annotations", str(truth)]
    assert call(["quantize", model, *given]) == 2
    assert "a picture may calibrate or judge, not both" in capsys.readouterr().err


def test_the_report_shows_each_layer(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    found = answer(folder, capsys, "--method", "min-max", "--report", "layers.html")
    assert len(found["sensitivity"]) == found["layers"]
    errors = [each["error"] for each in found["sensitivity"]]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0
    text = (tmp_path / "layers.html").read_text()
    assert text.count("<svg") == 1
    assert all(f"<td>{each['layer']}</td>" in text for each in found["sensitivity"])
    assert not re.search(r"<script|<link|@import|src=", text)


def test_int8_for_tensorrt_has_no_time(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(folder, capsys, "--target", "tensorrt", "--method", "min-max")
    assert (found["runtime"], found["ms_after"], found["ratio"]) == ("tensorrt", None, None)
    assert found["output"] == "model-int8.onnx"
    assert inspect(Path("model-int8.onnx")).metadata["detector.int8_for"] == "tensorrt"


def test_fp16_in_words(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "--precision", "fp16") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("model-fp16.onnx: fp16 for onnxruntime, ")
    assert said[1].startswith("size: ")
    assert "ratio" in said[2]
    assert inspect(Path("model-fp16.onnx")).precision == "fp16"


def test_int4_says_where_nothing_is_eligible(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--precision", "int4", "--target", "tensorrt")
    assert run(folder, *arguments) == 0
    assert capsys.readouterr().out == "model.onnx has no eligible layers for INT4: nothing was written\n"
    assert answer(folder, capsys, *arguments) == {"output": None, "why": "no eligible layers"}
    assert list(Path().iterdir()) == []


def test_int4_convolutions_are_storage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(folder, capsys, "--precision", "int4")
    assert "no eligible MatMul or Gemm layers: INT4 saves storage here, not time" in found["notes"]
    model = onnx.load("model-int4.onnx")
    packed = [tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.INT4]
    assert len(packed) == found["layers"] - len(found["kept"]) > 0
    assert inspect(Path("model-int4.onnx")).precision == "fp32", "as which it is computed"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--images", "."), 2, "--images and --annotations go together"),
        (("--output", "x.engine"), 2, "the file's name must end in .onnx"),
        (("--output", "{folder}/model.onnx"), 2, "is the model itself"),
        (("--output", "{folder}/model.onnx/x.onnx"), 1, "nothing was written"),
        (("--precision", "int2"), 2, "int2"),
        (("--report", "x.txt"), 2, "must end in .html"),
        (("--precision", "fp16", "--report", "x.html"), 2, "leave it out for fp16"),
        (("--calibration", "nowhere"), 2, "--calibration"),
        (("--calibration", "{folder}/cache-empty"), 1, "no pictures"),
        (("--images", ".", "--annotations", "none.json"), 1, "cannot read the annotations none.json"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    arguments: tuple[str, ...], code: int, words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "cache-empty").mkdir(exist_ok=True)
    given = [text.format(folder=folder) for text in arguments]
    assert run(folder, "--method", "min-max", *given) == code
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert words in error
    assert list(Path().iterdir()) == []


def test_what_is_quantised_already_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "--target", "tensorrt", "--method", "min-max") == 0
    model = str(Path("model-int8.onnx"))
    assert call(["quantize", model, "--calibration", str(folder / "pictures"), "--output", "y.onnx"]) == 1
    assert "model-int8.onnx is an int8 model already: give the fp32 one" in capsys.readouterr().err
    assert not Path("y.onnx").exists()


def test_a_full_disk_is_told_and_leaves_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))  # no file may grow further: writing fails for real
    try:
        code = run(folder, "--precision", "fp16")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    error = capsys.readouterr().err
    assert (code, error.count("\n")) == (1, 1)
    assert "nothing was written" in error
    assert list(Path().iterdir()) == []
