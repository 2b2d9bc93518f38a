"""An ONNX file changed, proved and written whole, or not at all."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from detector.cli.app import call
from detector.core.errors import ModelError
from detector.core.types import Image
from detector.inference.factory import load_detector
from detector.inference.spec import InputSpec
from detector.models.graph import edit
from detector.models.graph.onnx_file import read
from detector.models.graph.rewrite import Steps, rewrite
from support.networks import network

CLI = [sys.executable, "-m", "detector", "export"]
UNIT = InputSpec(color="bgr", scale=1.0 / 255.0, placement="top-left")  # YOLOX with random weights would overflow


@pytest.fixture
def yolox(tmp_path: Path) -> Path:
    path = tmp_path / "m.onnx"
    onnx.save(network("yolox-nms"), str(path))
    return path


def test_all_steps_together(yolox: Path, noise: list[Image]) -> None:
    output = yolox.with_name("new.onnx")
    found = rewrite(yolox, output, Steps(size=(128, 64), person_only=True, pixels=True), noise, spec=UNIT)
    assert found.persons > 0
    assert found.exact
    made = read(output)
    layout = edit.layout_of(made)
    assert (layout.kind, layout.classes, layout.width, layout.height, layout.pixels) == (
        "yolox-boxes",
        1,
        128,
        64,
        True,
    )
    assert edit.steps_of(made) == "size 128x64; person-only; simplified; pixels in"
    assert sorted(path.name for path in yolox.parent.iterdir()) == ["m.onnx", "new.onnx"]


def test_cut_before_its_nms_all_classes_stay(yolox: Path, noise: list[Image]) -> None:
    output = yolox.with_name("new.onnx")
    assert rewrite(yolox, output, Steps(before_nms=True), noise, spec=UNIT).exact
    made = load_detector(path=output, name="new")
    assert (made.layout.kind, made.layout.classes, made.layout.person) == ("yolox-boxes", 5, 2)
    made.close()
    assert not [node for node in read(output).graph.node if node.op_type == "NonMaxSuppression"]


def test_nothing_to_cut_is_said(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(network("dense"), str(path))
    with pytest.raises(ModelError, match="no NMS to cut off"):
        rewrite(path, tmp_path / "new.onnx", Steps(before_nms=True))
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_cut_short(yolox: Path) -> None:
    yolox.write_bytes(yolox.read_bytes()[:3000])
    with pytest.raises(ModelError, match="is cut short"):
        rewrite(yolox, yolox.with_name("new.onnx"), Steps(person_only=True))


def test_the_command(people: Path, tmp_path: Path, small_model: Path) -> None:
    output = tmp_path / "n.onnx"
    command = [*CLI, str(small_model), "--person-only", "--size", "96x64", "--output", str(output)]
    done = subprocess.run([*command, "--images", str(people)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    kind = {"yolox_nano": "yolox-grid"}.get(small_model.stem, "yolox-boxes")
    assert f"{output}: {kind}, 96 x 64 px" in done.stdout
    assert "at most 0 px and 0 in score apart" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["m.txt"], 2, "neither a checkpoint"),
        (["none.onnx", "--output", "x.onnx"], 1, "no model file"),
        (["m.onnx"], 2, "would be overwritten"),
        (["m.onnx", "--output", "x.pt"], 2, "ends in .onnx"),
        (["m.onnx", "--output", "x.onnx", "--size", "huge"], 2, "--size huge"),
        (["m.onnx", "--output", "x.onnx", "--size", "128", "--images", "."], 1, "no pictures"),
        (["m.onnx", "--output", "x.onnx", "--head", "dense"], 2, "are for checkpoints"),
        (["m.pt", "--batch", "0"], 2, "--batch 0"),
        (["m.pt", "--before-nms"], 2, "is for ONNX files"),
        (["m.onnx", "--output", "x.onnx", "--images", "nowhere"], 1, "no folder nowhere"),
    ],
)
def test_mistakes_are_one_line(
    yolox: Path,
    arguments: list[str],
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(yolox.parent)
    assert call(["export", *arguments]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert words in said.err
    assert said.err.count("\n") == 1
    assert [path.name for path in yolox.parent.iterdir()] == ["m.onnx"]


def test_a_full_disk_leaves_nothing_behind(yolox: Path, people: Path) -> None:
    """A limit on the size of files stands for a full disk."""
    done = subprocess.run(
        [*CLI, str(yolox), "--person-only", "--output", "new.onnx", "--images", str(people)],
        capture_output=True, text=True, timeout=60, check=False, cwd=yolox.parent,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),  # one thread here
    )  # fmt: skip
    assert done.returncode == 1
    assert "cannot write" in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in yolox.parent.iterdir()] == ["m.onnx"]
