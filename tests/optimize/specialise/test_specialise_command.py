"""`detector specialise` as a user runs it: one file where a student holds, none where it does not; stopped, it goes on."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from detector.capture.pictures import clip_frames
from detector.inference.factory import load_detector
from support.mosquitto import wait_until
from support.program import COMMAND

pytestmark = [pytest.mark.optimize, pytest.mark.timeout(600)]  # many CPU seconds, and the machine may be busy
TEACHERS = ("--teacher", "yolox-tiny-person", "--teacher", "yolox-nano")
COUNT = 110


@pytest.fixture(scope="module")
def street(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a config, and pictures of a street, half their size."""
    folder = tmp_path_factory.mktemp("street")
    (folder / "pictures").mkdir()
    for number, frame in enumerate(clip_frames(shared / "media" / "video" / "vtest.avi")):
        if number == 7 * COUNT:
            break
        if number % 7 == 0:
            cv2.imwrite(str(folder / "pictures" / f"{number:04d}.jpg"), cv2.resize(frame.image.bgr(), (384, 288)))
    model = {"name": "yolox-nano", "backend": "onnxruntime"}
    cameras = {"street": {"source": "street.mp4"}}
    (folder / "detector.yaml").write_text(yaml.safe_dump({"model": model, "cameras": cameras}), encoding="utf-8")
    return folder


def command(street: Path, output: Path, *more: str | Path, pictures: str = "pictures") -> list[str]:
    head = [*COMMAND, "specialise", "-c", street / "detector.yaml", "--camera", "street", "-o", output]
    return [*map(str, head), "--pictures", str(street / pictures), "--batch", "2", *TEACHERS, *map(str, more)]


def run(street: Path, output: Path, *more: str | Path, pictures: str = "pictures") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(street, output, *more, pictures=pictures), capture_output=True, text=True, check=False, cwd=street
    )


def test_a_student_that_holds_becomes_one_file(street: Path, torch: Any, tmp_path: Path) -> None:
    output = tmp_path / "street.onnx"
    done = run(street, output, "--size", "416x320", "--steps", "4", "--rate", "1e-6", "--max-loss", "0.1", "--json")
    assert done.returncode == 0, done.stderr
    assert "the first 73 pictures teach, the last 37 judge" in done.stderr
    told = json.loads(done.stdout)
    assert told["offered"] == [416, 320]
    assert told["lights"] == ["day"]
    verdict = told["tried"]["416x320"]["day"]
    assert verdict["pictures"] == 37
    assert verdict["persons"] >= 40
    assert 0.5 < verdict["student"]["ap50"] <= 1.0
    assert "all pictures are of one hour" in told["notes"][0]
    assert [path.name for path in tmp_path.iterdir()] == ["street.onnx"]
    detector = load_detector(path=output, name="street", backend="onnxruntime", threads=1)
    try:
        assert detector.input_size == (416, 320)
        boxes, _, _ = detector.detect_image(next(iter(clip_frames_of(street))))
        assert len(boxes) >= 1
    finally:
        detector.close()


def clip_frames_of(street: Path) -> Any:
    from detector.capture.pictures import folder_pictures

    return folder_pictures(street / "pictures", count=4)


def test_one_that_does_not_hold_is_refused(street: Path, torch: Any, tmp_path: Path) -> None:
    output = tmp_path / "street.onnx"
    done = run(street, output, "--size", "96x64", "--steps", "1")
    assert done.returncode == 1
    assert "no specialist for street: 96x64 by day: AP50: " in done.stderr.splitlines()[-1]
    assert "the model that serves stays as it is" in done.stderr.splitlines()[-1]
    assert "general" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_killed_it_goes_on_to_the_same_file(street: Path, torch: Any, tmp_path: Path) -> None:
    small = ("--size", "96x64", "--steps", "60", "--max-loss", "1", "--judge", "0.4")
    whole, part = tmp_path / "whole.onnx", tmp_path / "part.onnx"
    first = run(street, whole, *small)
    process = subprocess.Popen(command(street, part, *small), cwd=street, stderr=subprocess.DEVNULL)
    try:
        checkpoint = part.with_name("part.onnx.work") / "96x64.checkpoint"
        wait_until(lambda: checkpoint.exists() or process.poll() is not None, "the first checkpoint")
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    again = run(street, part, *small)
    assert "continues from" in again.stderr
    assert "2 teachers look at 110 pictures: done" in again.stderr
    assert (first.returncode, first.stderr.splitlines()[-1]) == (again.returncode, again.stderr.splitlines()[-1])
    assert whole.exists() == part.exists()
    if whole.exists():
        assert whole.read_bytes() == part.read_bytes()


def test_pictures_without_people_are_refused(street: Path, torch: Any, tmp_path: Path) -> None:
    (street / "nobody").mkdir()
    view = np.random.default_rng(3).integers(80, 160, (6, 8, 3), np.uint8)
    for number in range(COUNT):
        pixels = cv2.resize(view, (384, 288))
        pixels[:20, number : number + 10] = 0
        cv2.imwrite(str(street / "nobody" / f"{number:04d}.png"), pixels)
    done = run(street, tmp_path / "street.onnx", pictures="nobody")
    assert done.returncode == 2
    said = done.stderr.splitlines()[-1]
    assert "the teachers agree on 0 persons in the 73 pictures that would teach: at least 100 are needed" in said
    assert list(tmp_path.iterdir()) == []
