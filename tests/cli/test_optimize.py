"""`detector optimize` from the command line: what it writes, how it stops, what it refuses."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from detector.cli.app import call
from support.graphs import write_constant
from support.program import COMMAND
from support.studies import annotated, pictures, small_model

pytestmark = pytest.mark.optimize  # without PyTorch, but too slow for the fast suite
MANUAL = Path(__file__).resolve().parents[2] / "docs/commands.md"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a user stands: small.onnx, pictures with annotations, pictures to calibrate on."""
    monkeypatch.setenv("DETECTOR_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    small_model(tmp_path)
    annotated(tmp_path)
    pictures(tmp_path / "calibration", 16)
    return tmp_path


@pytest.fixture
def one_runtime(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that has neither OpenVINO nor PyTorch: fewer processes, the same way through."""
    monkeypatch.setattr("detector.optimize.study.machine.find_spec", lambda _: None)
    monkeypatch.setattr("detector.optimize.study.request.torch_there", lambda: False)
    return folder


STUDY = ["optimize", "--model", "small.onnx", "--images", "images", "--annotations", "truth.json"]
SMALL = ["--size", "96x96", "--threads", "1", "--rounds", "3", "--quick"]


def said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code, and the one line on stderr."""
    code = call(arguments)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return code, lines[0]


def test_the_manual_s_commands_on_a_small_network(one_runtime: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As written there, but for the model: yolox-tiny-person would take minutes."""
    commands = [
        line for line in MANUAL.read_text(encoding="utf-8").splitlines() if line.startswith("detector optimize ")
    ]
    assert len(commands) == 2
    (one_runtime / "images").rename(one_runtime / "pictures")
    (one_runtime / "truth.json").rename(one_runtime / "pictures.json")
    study, again = (shlex.split(command)[1:] for command in commands)
    assert call([*study, "--model", "small.onnx", *SMALL, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["form"]["precision"] for row in document["cells"]].count("int8") == 1
    assert len(document["cells"]) == 3
    assert document["winner"] in {row["key"] for row in document["cells"]}
    assert Path("optimized/report.html").is_file()
    made = Path("optimized/model.onnx").read_bytes()
    Path("optimized/model.onnx").unlink()
    assert call(again) == 0
    assert "backend: onnxruntime" in capsys.readouterr().out
    assert Path("optimized/model.onnx").read_bytes() == made


@pytest.mark.usefixtures("folder")
def test_ctrl_c_keeps_what_is_done() -> None:
    command = [*COMMAND, *STUDY, "--size", "96x96", "--threads", "1", "--threads", "2", "--quick", "--rounds", "60"]
    cells = Path("optimized/cells")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + 90
            while not list(cells.glob("*.json")):  # the first group is done, the second is not
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            _, words = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    kept = len(list(cells.glob("*.json")))
    assert f"detector: {kept} of " in words
    assert "variants are measured and kept in optimized: the same command continues from there" in words
    assert "Traceback" not in words
    assert not list(Path("optimized").rglob("*.part"))


@pytest.mark.usefixtures("one_runtime")
def test_a_budget_that_no_variant_meets(capsys: pytest.CaptureFixture[str]) -> None:
    assert call([*STUDY, *SMALL, "--max-ap-drop", "-1", "--json"]) == 1
    told = capsys.readouterr()
    assert "is shown to lose at most -1 AP points" in told.err
    assert "optimized/report.html" in told.err
    assert json.loads(told.out)["winner"] is None
    assert "there is no winner" in Path("optimized/report.html").read_text()
    assert not Path("optimized/model.onnx").exists()


def test_models_that_will_not_do(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (folder / "small.onnx").read_bytes()
    (folder / "small.onnx").write_bytes(whole[: len(whole) // 2])
    code, line = said(STUDY, capsys)
    assert (code, "is not an ONNX model, or is cut short" in line) == (1, True)
    write_constant(folder / "small.onnx", {"what": np.zeros((1, 2, 2), np.float32)})
    code, line = said(STUDY, capsys)
    assert (code, "small.onnx: unknown outputs" in line) == (1, True)
    onnx.save(onnx.ModelProto(), str(folder / "small.onnx"))
    assert said(STUDY, capsys)[0] == 1


def test_pictures_that_will_not_do(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "none").mkdir()
    code, line = said([*STUDY, "--calibration", "none"], capsys)
    assert (code, "no pictures" in line) == (1, True)
    (folder / "images" / "01.png").unlink()
    code, line = said(STUDY, capsys)
    assert (code, "1 of 10 annotated pictures are not in images" in line) == (1, True)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["optimize"], "which model?"),
        (STUDY[:3], "0 --images and 0 --annotations"),
        ([*STUDY, "--size", "big"], "width and height in px"),
        ([*STUDY, "--size", "100x96"], "multiples of 32"),
        ([*STUDY, "--candidate", "a/m.onnx", "--candidate", "b/m.onnx"], "the same name"),
        (["optimize", "--recipe", "none.yaml"], "cannot read the recipe"),
    ],
)
def test_arguments_that_are_wrong(arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, line = said(arguments, capsys)
    assert code == 2
    assert reason in line


@pytest.mark.usefixtures("folder")
def test_no_room_on_the_disk() -> None:
    """The kernel refuses files of more than 4 KiB, as a full disk would: nothing half-written is left."""
    command = shlex.join([sys.executable, "-m", "detector", *STUDY, *SMALL])
    done = subprocess.run(["bash", "-c", f"ulimit -f 4; exec {command}"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "make room" in done.stderr
    assert "Traceback" not in done.stderr
    left = [path for name in ("optimized", "cache") for path in Path(name).rglob("*") if path.is_file()]
    assert all(path.stat().st_size == 0 for path in left if path.suffix == ".lock"), left
    assert not [path for path in left if path.suffix in (".onnx", ".part", ".html")]


@pytest.mark.usefixtures("one_runtime")
def test_a_picture_of_another_size_than_its_annotations_say(capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite("images/00.png", np.zeros((64, 64, 3), np.uint8))
    assert call([*STUDY, *SMALL]) == 1
    assert "the annotations say 96 x 96" in capsys.readouterr().err
