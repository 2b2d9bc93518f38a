"""`detector build` as a user runs it; with TensorRT-RTX it builds for real."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from detector.capture.pictures import clip_pictures
from detector.inference.tensorrt.library import flavour
from support.studies import pictures

BUILD = [sys.executable, "-m", "detector", "build"]


def run(*arguments: str | Path, cache: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DETECTOR_CACHE": str(cache)}
    command = [*BUILD, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment, check=False)


def test_o13_without_tensorrt_one_line_says_how_to_get_it(tmp_path: Path) -> None:
    if flavour() is not None:
        pytest.skip("TensorRT is here")
    done = run("yolox-nano", cache=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "apt install python3-libnvinfer" in done.stderr
    assert "--system-site-packages" in done.stderr


@pytest.mark.optimize
def test_o13_an_engine_is_built_where_the_service_looks(shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs the extra tensorrt-rtx (make test-optimize)")
    done = run(shared / "models/yolox_nano.onnx", "--json", cache=tmp_path)
    assert done.returncode == 1, done.stderr  # no GPU to check it on
    answer = json.loads(done.stdout)
    assert (answer["precision"], answer["gpu"], answer["accepted"]) == ("fp16", "none", None)
    assert Path(answer["engine"]).parent == tmp_path / "engines"
    assert Path(answer["engine"]).stat().st_size == answer["bytes"]
    plain = run(
        shared / "models/yolox_nano.onnx", "--precision", "fp32", "--output", tmp_path / "f.engine", cache=tmp_path
    )
    assert plain.returncode == 1, plain.stderr
    assert "f.engine: fp32" in plain.stdout
    assert plain.stderr.startswith(f"detector: {tmp_path / 'f.engine'} was built but not checked")
    assert "there is no GPU here to run it on; run detector build" in plain.stderr


@pytest.fixture(scope="module")
def street(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of sixteen frames of vtest: nothing of the pictures that are judged by."""
    folder = tmp_path_factory.mktemp("street")
    for number, image in enumerate(clip_pictures(shared / "media/video/vtest.avi", count=16, every=40)):
        cv2.imwrite(str(folder / f"{number:02}.png"), image.bgr())
    return folder


@pytest.mark.optimize
def test_int8_is_made_judged_by_ground_truth_and_built(shared: Path, tmp_path: Path, street: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs the extra tensorrt-rtx (make test-optimize)")
    truth: list[str | Path] = [
        "--images",
        shared / "media/coco/images",
        "--annotations",
        shared / "media/coco/person_instances.json",
    ]
    model = shared / "models/yolox_tiny_humanart.onnx"
    done = run(model, "--precision", "int8", "--calibration", street, *truth, "--json", cache=tmp_path)
    assert done.returncode == 1, done.stderr  # no GPU to check it on
    answer = json.loads(done.stdout)
    assert (answer["precision"], answer["accepted"]) == ("int8", None)
    assert answer["int8_form"]["accepted"]
    assert answer["int8_form"]["ap_drop"] <= 0.5


@pytest.mark.optimize
def test_a_refused_int8_gives_way_to_fp16_and_it_is_said(shared: Path, tmp_path: Path, street: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs the extra tensorrt-rtx (make test-optimize)")
    images = shared / "media/coco/images"
    done = run(shared / "models/yolox_nano.onnx", "--calibration", street, "--images", images, "--json", cache=tmp_path)
    assert done.returncode == 1, done.stderr  # no GPU to check it on
    answer = json.loads(done.stdout)
    assert answer["precision"] == "fp16"
    assert answer["note"].startswith("int8 was refused: it misses ")
    assert not answer["int8_form"]["accepted"]


@pytest.mark.optimize
def test_a_model_for_one_picture_is_built_for_four(shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs the extra tensorrt-rtx (make test-optimize)")
    done = run(shared / "models/yolox_tiny_humanart.onnx", "--batch", "4", "--json", cache=tmp_path)
    assert done.returncode == 1, done.stderr  # no GPU to check it on
    assert json.loads(done.stdout)["batch"] == 4


@pytest.mark.optimize
def test_mistakes_are_one_line(shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs the extra tensorrt-rtx (make test-optimize)")
    model = shared / "models/yolox_nano.onnx"
    (tmp_path / "short.onnx").write_bytes(model.read_bytes()[:3_000_000])
    few = pictures(tmp_path / "few", 3)
    for arguments, code, words in (
        ([tmp_path / "none.onnx"], 1, "no model file"),
        ([tmp_path / "short.onnx"], 1, "is cut short"),
        ([model, "--output", tmp_path / "x.onnx"], 2, "an engine's file ends in .engine"),
        ([model, "--precision", "int8"], 2, "int8 needs --calibration DIR, at least 16 different pictures"),
        ([model, "--precision", "fp16", "--calibration", tmp_path], 2, "--calibration is for int8 of an fp32 model"),
        ([model, "--calibration", few, "--images", few], 2, "--calibration and --images have 3 pictures in common"),
        ([model, "--calibration", tmp_path], 1, "no pictures"),
        ([model, "--annotations", tmp_path / "a.json"], 2, "--annotations needs --images"),
        ([model, "--batch", "0"], 2, "batch"),
        ([model, "--precision", "int3"], 2, "int3"),
        ([model, "--workspace-mib", "0"], 2, "workspace"),
    ):
        done = run(*arguments, cache=tmp_path)
        assert done.returncode == code, done
        assert words in done.stderr
        assert done.stderr.startswith("detector: ")
        assert done.stderr.count("\n") == 1
    assert list(tmp_path.glob("**/*.engine")) == []


@pytest.mark.optimize
def test_ctrl_c_stops_the_build_and_leaves_nothing(shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs the extra tensorrt-rtx (make test-optimize)")
    ours, theirs = pty.openpty()
    output = tmp_path / "m.engine"
    command = [*BUILD, str(shared / "models/yolov8n.onnx"), "--output", str(output)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs) as child:
        os.close(theirs)
        shown = _until(ours, b"reading the model")  # the bar is at work
        child.send_signal(signal.SIGINT)
        shown += _until(ours, b"no engine was written")
        assert child.wait(60) == 1
    os.close(ours)
    assert b"%" in shown
    assert list(tmp_path.iterdir()) == []


def _until(terminal: int, word: bytes) -> bytes:
    shown = b""
    while word not in shown:
        try:
            piece = os.read(terminal, 4096)
        except OSError:
            pytest.fail(f"it ended without {word!r}: {shown!r}")
        shown += piece
    return shown
