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
    """Sixteen annotated photos."""
    document = json.loads((shared / "media" / "coco" / "person_instances.json").read_text())
    chosen = {entry["image_id"] for entry in document["annotations"]}
    document["images"] = [entry for entry in document["images"] if entry["id"] in chosen][:16]
    kept = {entry["id"] for entry in document["images"]}
    document["annotations"] = [entry for entry in document["annotations"] if entry["image_id"] in kept]
    folder = tmp_path_factory.mktemp("exam")
    for entry in document["images"]:
        shutil.copy(shared / "media" / "coco" / "images" / entry["file_name"], folder)
    path = folder / "photos.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return folder, path


@pytest.mark.timeout(400)  # many CPU seconds, and the machine may be busy
def test_o11_it_prunes_tunes_and_tells(checkpoint: Path, exam: tuple[Path, Path], torch: Any, tmp_path: Path) -> None:
    output = tmp_path / "small.pt"
    judged = ("--images", exam[0], "--annotations", exam[1])
    taught = ("--data", exam[0], "--data-annotations", exam[1], "--finetune", "3")
    code, said, words = run("prune", checkpoint, "--macs", "0.9", "-o", output, *taught, *judged, *QUICK, "--json")
    assert code == 0
    plan = words.splitlines()
    assert re.fullmatch(r"plan: about \d+ (s|min) in all, by one step of each kind measured now", plan[0])
    assert [line.split(":")[0].strip() for line in plan[1:7]] == [
        "prune to 90% of the work",
        "judge the original in ONNX Runtime",
        "judge the pruned",
        plan[4].split(":")[0].strip(),
        "judge the tuned",
        "time and write",
    ]
    assert re.fullmatch(r"  fine-tune 3 steps of 2 pictures \([\d.e-]+ s each\): about \d+ s", plan[4])
    assert f"kept in {output}.work at least once a minute" in plan[7]
    document = json.loads(said)
    stages = document["stages"]
    assert list(stages) == ["before", "pruned", "tuned"]
    assert stages["pruned"]["macs"] == stages["tuned"]["macs"] <= 0.9 * stages["before"]["macs"]
    assert all(0.0 <= stage["ap"] <= stage["ap50"] for stage in stages.values())
    assert stages["pruned"]["ap"] < stages["before"]["ap"], "what pruning costs is shown"
    assert (document["finetune"]["steps"], document["finetune"]["annotated"]) == (3, 8)
    assert document["pictures"] == (  # the same folder twice: O9
        "16 pictures were in both --data and --images: by their content 8 pictures teach and 8 others judge"
    )
    assert all(stage["bound"] >= stage["drop"] for stage in stages.values())
    assert (stages["before"]["drop"], stages["before"]["bound"]) == (0.0, 0.0)
    times = document["latency_ms"]["onnxruntime"]
    assert document["speedup"] == pytest.approx(times["before"] / times["after"], abs=0.001)
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


def started(checkpoint: Path, output: Path, data: Path, steps: int) -> subprocess.Popen[str]:
    arguments = [
        "prune",
        checkpoint,
        "--macs",
        "0.95",
        "-o",
        output,
        "--data",
        data,
        "--finetune",
        steps,
        *QUICK,
        "--json",
    ]
    return subprocess.Popen([*COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.timeout(400)  # many CPU seconds, and the machine may be busy
def test_o11_ctrl_c_keeps_what_was_learned(checkpoint: Path, square_pictures: Path, torch: Any, tmp_path: Path) -> None:
    output = tmp_path / "small.pt"
    waiting = tmp_path / "small.pt.work" / "tuning"
    with started(checkpoint, output, square_pictures, 100000) as child:
        assert child.stderr is not None
        while not waiting.exists():
            assert child.poll() is None, child.stderr.read()
            time.sleep(0.1)
        child.send_signal(signal.SIGINT)
        said = child.stderr.read()
        assert child.wait(60) == 130, said
    assert f"kept in {waiting.parent}: the same command continues from there" in said
    assert not output.exists()
    code, _, words = run("prune", checkpoint, "--macs", "0.9", "-o", output, "--data", square_pictures, *QUICK)
    assert code == 1
    assert "is the work of another run" in words


@pytest.mark.timeout(400)  # as above
def test_o11_a_killed_run_continues(checkpoint: Path, square_pictures: Path, torch: Any, tmp_path: Path) -> None:
    """SIGKILL once the pruned network is kept; the next run does not prune again."""
    output = tmp_path / "small.pt"
    work = tmp_path / "small.pt.work"
    with started(checkpoint, output, square_pictures, 6) as child:
        assert child.stderr is not None
        while not (work / "tuning").exists():
            assert child.poll() is None, child.stderr.read()
            time.sleep(0.02)
        child.kill()
        child.wait(60)
    assert not output.exists()
    kept = json.loads((work / "progress.json").read_text())["stages"]
    assert "pruned network" in kept
    with started(checkpoint, output, square_pictures, 6) as child:
        assert child.stdout is not None
        said, words = child.communicate(timeout=300)
    assert child.returncode == 0, words
    assert "  prune to 95% of the work: done" in words
    assert f"continues from {work}: done are pruned network" in words
    assert json.loads(said)["finetune"]["steps"] == 6
    assert output.is_file()
    assert not work.exists()


def test_o11_a_registry_name_that_has_a_checkpoint(
    checkpoint: Path, torch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found in $DETECTOR_MODELS, in the cache, or here; a name without one says what is missing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DETECTOR_CACHE", str(tmp_path / "cache"))
    code, _, words = run("prune", "yolov8n")
    assert code == 2
    assert "yolov8n is an ONNX model, and only a PyTorch checkpoint (.pt) can be pruned: get its yolov8n.pt" in words
    monkeypatch.setenv("DETECTOR_MODELS", str(checkpoint.parent))
    code, said, words = run("prune", "yolov10n", "--macs", "0.95", "-o", "small.pt", *QUICK, "--json")
    assert code == 0, words
    assert json.loads(said)["model"] == str(checkpoint)


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
