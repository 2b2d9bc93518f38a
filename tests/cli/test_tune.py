"""The command: which pictures are whose, its words, its table, its JSON and its exit codes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import onnx
import pytest
import yaml

from detector.cli.app import call
from support.networks import network


@pytest.fixture(autouse=True)
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of its own, no OpenVINO, and room for the table."""
    monkeypatch.setenv("DETECTOR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setitem(sys.modules, "openvino", None)


def config(folder: Path, *cameras: str, **model: object) -> Path:
    onnx.save(network("dense", width=160, height=160), str(folder / "small.onnx"))
    path = folder / "detector.yaml"
    document = {
        "model": {"name": str(folder / "small.onnx"), "threads": 1, **model},
        "cameras": {name: {"source": f"{name}.mp4"} for name in cameras or ("porch",)},
    }
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def tune(path: Path, *arguments: str) -> int:
    return call(["tune", "-c", str(path), *arguments])


def test_json_is_all_that_is_on_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tune(config(tmp_path), "--size", "640x480", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["taken"], document["shapes"]) == ("onnxruntime fp32, 1 thread", ["160x128"])
    (candidate,) = document["candidates"]
    assert candidate["ms"] > 0
    assert candidate["refused"] is None
    assert "none were given" in document["without_int8"]
    assert (document["scenes"], document["pictures"]) == ([], {})
    kept = json.loads(Path(document["kept"]).read_text(encoding="utf-8"))
    assert kept["why"] == document["why"]


def test_the_table_says_what_was_assumed_and_when_it_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tune(config(tmp_path, "porch", "yard")) == 0
    said = capsys.readouterr().out
    assert "small.onnx at 160x96" in said
    assert "porch, yard: assumed to give 1920x1080; if not, add --size WxH" in said
    assert "INT8 was not tried: it is calibrated on pictures, and none were given (--pictures)" in said
    assert "chosen: onnxruntime fp32, 1 thread" in said
    assert "a running service switches to it within seconds, any other at its next start" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--pictures", "set"], "--pictures set: say of which camera, as porch=set; known: porch, yard"),
        (["--pictures", "attic=set"], "no enabled camera attic in the config; its enabled cameras: porch, yard"),
        (["--pictures", "porch=gone"], "--pictures porch=gone: no such file or folder: gone"),
        (["--size", "big"], "--size big: give width and height in px as 640x384"),
        (
            ["--pictures", "porch=.", "--pictures", "yard=.", "--size", "640x480"],
            "--size 640x480: every camera has pictures",
        ),
        (["--pictures", "porch=."], "no pictures"),
    ],
)
def test_wrong_arguments(
    arguments: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = config(tmp_path, "porch", "yard")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert tune(path, *arguments) == 2
    said = capsys.readouterr()
    assert says in said.err
    assert said.out == ""
    assert not (tmp_path / "cache" / "choices").exists()


def test_what_is_configured_is_not_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tune(config(tmp_path, backend="onnxruntime")) == 2
    assert "model.backend: is onnxruntime, so there is nothing to choose: set auto" in capsys.readouterr().err


def test_a_damaged_picture_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a=b.jpg").write_bytes(b"nothing")
    assert tune(config(tmp_path), "--pictures", str(tmp_path / "a=b.jpg")) == 1
    assert "a=b.jpg is not a picture that can be read" in capsys.readouterr().err
