"""`detector prune` as a user runs it: figures, files that others read, faults said in one line."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from detector.cli.app import call
from detector.inference.factory import load_detector
from support.program import COMMAND

pytestmark = pytest.mark.optimize
ROOT = Path(__file__).resolve().parents[3]
QUICK = ("--size", "160", "--train-size", "96", "--batch", "2", "--threads", "1")


def run(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command, in this process: PyTorch takes seconds to load."""
    said, words = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(words):
        code = call([*map(str, arguments)])
    return code, said.getvalue(), words.getvalue()


@pytest.fixture(scope="module")
def exam(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Eight annotated photos."""
    document = json.loads((shared / "media" / "coco" / "person_instances.json").read_text())
    chosen = {entry["image_id"] for entry in document["annotations"]}
    document["images"] = [entry for entry in document["images"] if entry["id"] in chosen][:8]
    kept = {entry["id"] for entry in document["images"]}
    document["annotations"] = [entry for entry in document["annotations"] if entry["image_id"] in kept]
    folder = tmp_path_factory.mktemp("exam")
    for entry in document["images"]:
        shutil.copy(shared / "media" / "coco" / "images" / entry["file_name"], folder)
    path = folder / "eight.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return folder, path


@pytest.mark.timeout(400)  # many CPU seconds, and the machine may be busy
def test_it_prunes_tunes_and_tells(checkpoint: Path, exam: tuple[Path, Path], torch: Any, tmp_path: Path) -> None:
    output = tmp_path / "small.pt"
    judged = ("--images", exam[0], "--annotations", exam[1])
    taught = ("--data", exam[0], "--data-annotations", exam[1], "--finetune", "3")
    code, said, _ = run("prune", checkpoint, "--macs", "0.9", "-o", output, *taught, *judged, *QUICK, "--json")
    assert code == 0
    document = json.loads(said)
    stages = document["stages"]
    assert list(stages) == ["before", "pruned", "tuned"]
    assert stages["pruned"]["macs"] == stages["tuned"]["macs"] <= 0.9 * stages["before"]["macs"]
    assert all(0.0 <= stage["ap"] <= stage["ap50"] for stage in stages.values())
    assert stages["pruned"]["ap"] < stages["before"]["ap"], "what pruning costs is shown"
    assert (document["finetune"]["steps"], document["finetune"]["annotated"]) == (3, 8)
    assert {engine: sorted(times) for engine, times in document["latency_ms"].items()} == {
        "onnxruntime": ["after", "before"],
        "pytorch": ["after", "before"],
    }
    assert document["bytes"] == output.stat().st_size < checkpoint.stat().st_size
    assert [path.name for path in tmp_path.iterdir()] == ["small.pt"]
    _ultralytics_reads(output, stages["tuned"]["parameters"])


def _ultralytics_reads(path: Path, parameters: int) -> None:
    """Its own loader, with its own classes alone."""
    from detector.optimize.export import ultralytics_models

    loaded, _ = ultralytics_models._tasks().load_checkpoint(str(path))
    assert sum(parameter.numel() for parameter in loaded.parameters()) == parameters
    assert all(type(module).__module__.startswith(("torch", "ultralytics")) for module in loaded.modules())


@pytest.mark.timeout(400)  # many CPU seconds, and the machine may be busy
def test_an_onnx_model_comes_out_too(checkpoint: Path, exam: tuple[Path, Path], torch: Any, tmp_path: Path) -> None:
    output = tmp_path / "small.onnx"
    code, said, _ = run(
        "prune", checkpoint, "--macs", "0.95", "-o", output, *QUICK, "--images", exam[0], "--annotations", exam[1]
    )
    assert code == 0
    assert "not fine-tuned" in said
    detector = load_detector(path=output, name="small")
    assert (detector.layout.kind, detector.input_size) == ("end-to-end", (160, 160))
    detector.close()


@pytest.mark.timeout(400)  # many CPU seconds, and the machine may be busy
def test_ctrl_c_keeps_what_was_learned(checkpoint: Path, square_pictures: Path, torch: Any, tmp_path: Path) -> None:
    output = tmp_path / "small.pt"
    arguments = [
        "prune",
        checkpoint,
        "--macs",
        "0.95",
        "-o",
        output,
        "--data",
        square_pictures,
        "--finetune",
        "100000",
        *QUICK,
    ]
    waiting = tmp_path / "small.pt.tuning"
    with subprocess.Popen([*COMMAND, *map(str, arguments)], stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        while not waiting.exists():
            assert child.poll() is None, child.stderr.read()
            time.sleep(0.1)
        child.send_signal(signal.SIGINT)
        said = child.stderr.read()
        assert child.wait(60) == 130, said
    assert f"kept in {waiting}" in said
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--macs", "1.5"], 2, "--macs 1.5: the share"),
        (["--finetune", "5"], 2, "--data DIR is missing"),
        (["--finetune", "many"], 2, "--finetune many"),
        (["--size", "333"], 2, "multiples of 32"),
        (["--images", "."], 2, "go together"),
        (["--output", "x.engine"], 2, "must end in .pt or .onnx"),
        (["--data", "nowhere"], 1, "no folder nowhere"),
    ],
)
def test_faults_are_one_line(arguments: list[str], code: int, says: str, checkpoint: Path, torch: Any) -> None:
    found, said, words = run("prune", checkpoint, *arguments)
    assert (found, said) == (code, "")
    assert says in words
    assert len(words.splitlines()) == 1


def test_the_manual_s_command_is_one_that_works(torch: Any) -> None:
    """Every option that the manual's `detector prune` names is one of the command's."""
    text = (ROOT / "docs/commands.md").read_text(encoding="utf-8").replace("\\\n", " ")
    commands = re.findall(r"^detector prune .*$", text, re.MULTILINE)
    assert commands
    _, told, _ = run("prune", "--help")
    assert all(option in told for command in commands for option in re.findall(r"--[a-z-]+", command))
