"""`detector specialise` with arguments that cannot be meant: one line that says what to do, before anything long."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from support.program import once


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("specialise")
    path = folder / "detector.yaml"
    cameras = {"porch": {"source": "porch.mp4"}}
    path.write_text(yaml.safe_dump({"cameras": cameras, "data_dir": str(folder / "data")}), encoding="utf-8")
    (folder / "pictures").mkdir()
    return path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--camera", "yard", "--pictures", "."], "no camera yard in the config; its cameras: porch"),
        (["--camera", "porch"], "give pictures of the camera: --pictures PATH, or --from-history"),
        (["--camera", "porch", "--from-history"], "gather some with detector capture-set"),
        (["--camera", "porch", "--pictures", ".", "--judge", "0.95"], "--judge 0.95: must lie in 0.1..0.9"),
        (["--camera", "porch", "--pictures", ".", "--rate", "2"], "--rate 2: must lie in 0..1"),
        (["--camera", "porch", "--pictures", ".", "--max-loss", "-1"], "--max-loss -1: must lie in 0..1"),
        (["--camera", "porch", "--pictures", "a.mp4", "--annotations", "a.json"], "--annotations are of one folder"),
        (["--camera", "porch", "--pictures", ".", "--size", "100x100"], "both sides must be multiples of 32"),
        (["--camera", "porch", "--pictures", ".", "-o", "small.pt"], "its name must end in .onnx"),
        (["--camera", "porch", "--pictures", ".", "-o", "nowhere/a.onnx"], "there is no folder nowhere"),
    ],
)
def test_wrong_arguments(config: Path, arguments: list[str], said: str) -> None:
    done = once("specialise", "-c", config, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (config.parent / "data").exists()
