"""Commands that take a model: names of the registry are understood by each, and wrong ones are exit 2 (O10)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from support.brought import COCO, classes_of, corners, joined_rows, scores, write


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "detector", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=100, env={**os.environ, **environment}, check=False
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["export", "nosuch", "--size", "416x320"],
        ["quantize", "nosuch"],
        ["detect", "picture.jpg", "--model", "nosuch"],
        ["models", "get", "nosuch"],
        ["models", "inspect", "nosuch"],
        ["compile", "nosuch", "--target", "onnxruntime"],
    ],
)
def test_o10_an_unknown_name_is_a_wrong_argument(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2, done
    assert done.stderr.startswith("detector: unknown model 'nosuch': ")
    assert "yolox-tiny-person" in done.stderr
    assert done.stderr.count("\n") == 1


def test_o10_prune_takes_checkpoints_alone() -> None:
    for model in ("yolox-tiny-person", "model.onnx"):
        done = run("prune", model)
        assert done.returncode == 2
        assert "only a PyTorch checkpoint (.pt) can be pruned" in done.stderr


def test_o10_export_takes_a_name(shared: Path, tmp_path: Path) -> None:
    output = tmp_path / "small.onnx"
    done = run(
        "export",
        "yolox-nano",
        "--size",
        "416x320",
        "--output",
        output,
        "--json",
        DETECTOR_MODELS=str(shared / "models"),
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["input"] == [416, 320]
    assert output.is_file()


@pytest.mark.parametrize("size", ["415x320", "100"])
def test_o10_a_size_that_is_none_is_a_wrong_argument(size: str) -> None:
    done = run("export", "yolox-nano", "--size", size)
    assert done.returncode == 2
    assert done.stderr == f"detector: --size {size}: both sides must be multiples of 32\n"


def test_inspect_says_what_a_file_is_taken_for(tmp_path: Path) -> None:
    rows = joined_rows(corners(300), scores(300, 1), classes_of(300))
    path = write(tmp_path / "m.onnx", {"output0": rows}, COCO | {"description": "Ultralytics YOLO26n"})
    done = run("models", "inspect", path, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["understood"]
    assert told["inputs"] == ["images float32 [1, 3, 640, 640]"]
    assert told["outputs"] == ["output0 float32 [1, 300, 6]"]
    assert told["metadata"]["description"] == "Ultralytics YOLO26n"
    assert (told["layout"]["kind"], told["layout"]["boxes"], told["layout"]["person"]) == ("end-to-end", "xyxy", 0)
    assert told["input"]["placement"] == "center"
    text = run("models", "inspect", path).stdout
    assert "end-to-end: boxes xyxy, px" in text
    assert "model.person_class" in text


def test_inspect_names_the_key_where_a_file_is_not_understood(tmp_path: Path) -> None:
    outputs = {"dets": np.zeros((1, 300, 4)), "labels": np.full((1, 300, 7), -3.0)}
    path = write(tmp_path / "m.onnx", outputs)
    done = run("models", "inspect", path)
    assert done.returncode == 1
    assert "dets float32 [1, 300, 4]" in done.stdout
    assert "7 classes and no names" in done.stderr
    assert "model.person_class: NUMBER" in done.stderr
    assert "Traceback" not in done.stderr
    done = run("models", "inspect", path, "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert not told["understood"]
    assert told["why"].startswith("this model has 7 classes")
    text = tmp_path / "text.onnx"
    text.write_text("no model")
    done = run("models", "inspect", text)
    assert (done.returncode, done.stdout) == (1, "")
    assert "is not an ONNX model" in done.stderr
