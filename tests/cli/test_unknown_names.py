"""A name that the registry does not know is a wrong argument: exit 2 from every command that takes a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from detector.cli.app import call

COMMANDS = {
    "detect": ["detect", "x.jpg", "--model", "nosuch"],
    "quantize": ["quantize", "nosuch"],
    "export": ["export", "nosuch"],
    "prune": ["prune", "nosuch"],
    "build": ["build", "nosuch"],
    "compile": ["compile", "nosuch", "--target", "onnxruntime"],
    "compile for TensorRT": ["compile", "nosuch", "--target", "tensorrt"],
    "evaluate": ["evaluate", "--model", "nosuch", "--images", ".", "--annotations", "x.json"],
    "bench": ["bench", "--model", "nosuch"],
    "optimize": ["optimize", "--model", "nosuch", "--calibration", ".", "--images", ".", "--annotations", "x.json"],
    "models get": ["models", "get", "nosuch"],
}


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_an_unknown_name_is_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert call(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "nosuch" in lines[0]


@pytest.mark.parametrize("command", [["replay", "--camera", "a", "x.mp4"], ["tune", "--size", "640x480"]])
def test_an_unknown_name_in_the_config_is_exit_2(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("cameras: {a: {source: x.mp4}}\nmodel: {name: nosuch}\n", encoding="utf-8")
    assert call([command[0], "-c", str(path), *command[1:]]) == 2
    assert "nosuch" in capsys.readouterr().err
