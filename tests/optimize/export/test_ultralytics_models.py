"""Checkpoints are opened quietly, and never run what is in them."""

from __future__ import annotations

import importlib.util
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from detector.cli.app import call
from detector.core.errors import ModelError
from detector.optimize.export import ultralytics_models


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="PyTorch is here")
def test_without_pytorch_one_line_says_how_to_get_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.pt").write_bytes(b"PK")
    assert call(["export", str(tmp_path / "m.pt")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("detector: PyTorch is not installed: docs/commands.md")
    assert said.count("\n") == 1


def needs_ultralytics() -> None:
    pytest.importorskip("torch", reason="needs the extra optimize (make test-optimize)")
    if importlib.util.find_spec("ultralytics") is None:
        pytest.skip("needs ultralytics (detector/optimize/requirements.txt)")


class _Trap:
    """Unpickled, it writes a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._path,)


WATCHED = """
import sys
from pathlib import Path
events = []
ours = {"socket.connect", "socket.getaddrinfo", "socket.bind", "subprocess.Popen", "os.system", "os.exec"}
sys.addaudithook(lambda event, _: events.append(event) if event in ours else None)
from detector.optimize.export import ultralytics_models
model = ultralytics_models.load(Path(sys.argv[1]))
import os, threading
assert sum(p.numel() for p in model.parameters()) > 2_000_000 and not model.training
assert threading.active_count() == 1, threading.enumerate()
assert "OMP_NUM_THREADS" not in os.environ
assert "torchvision" not in sys.modules
print(events)
"""


@pytest.mark.optimize
def test_loading_calls_nobody_and_leaves_nothing(checkpoint: Path, tmp_path: Path) -> None:
    needs_ultralytics()
    environment = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "YOLO_CONFIG_DIR")}
    environment |= {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", WATCHED, str(checkpoint)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.optimize
def test_a_pickle_that_would_run_code_does_not(tmp_path: Path) -> None:
    needs_ultralytics()
    import torch

    fired = tmp_path / "fired"
    path = tmp_path / "trap.pt"
    torch.save({"model": _Trap(fired)}, path)
    with pytest.raises(ModelError, match=r"trap.pt cannot be opened as an ultralytics checkpoint"):
        ultralytics_models.load(path)
    path.write_bytes(pickle.dumps({"model": _Trap(fired)}))
    with pytest.raises(ModelError, match="bare pickles can run any code and are not opened"):
        ultralytics_models.load(path)
    assert not fired.exists()


@pytest.mark.optimize
def test_files_that_are_no_checkpoints(checkpoint: Path, tmp_path: Path) -> None:
    needs_ultralytics()
    import torch

    short, zipped, weights = (tmp_path / name for name in ("short.pt", "zipped.pt", "weights.pt"))
    short.write_bytes(checkpoint.read_bytes()[:100_000])
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("readme.txt", "nothing")
    torch.save({"layer.weight": torch.zeros(3)}, weights)
    for path, words in (
        (tmp_path / "none.pt", "is not there"),
        (tmp_path, "is not there, or is no file"),
        (short, "is not a PyTorch checkpoint, or is cut short"),
        (zipped, "cannot be opened as an ultralytics checkpoint"),
        (weights, "holds no such model, perhaps weights alone"),
    ):
        with pytest.raises(ModelError, match=words) as caught:
            ultralytics_models.load(path)
        assert "\n" not in str(caught.value)


@pytest.mark.optimize
def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    needs_ultralytics()
    import torch

    model = ultralytics_models.build("yolov8n.yaml", seed=3)
    ultralytics_models.save(model, tmp_path / "m.pt")
    again = ultralytics_models.load(tmp_path / "m.pt")
    picture = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(picture)[0], again(picture)[0])
    assert [path.name for path in tmp_path.iterdir()] == ["m.pt"]
    with pytest.raises(ModelError, match="cannot be written"):
        ultralytics_models.save(model, tmp_path / "m.pt" / "no.pt")


@pytest.mark.optimize
def test_own_classes_are_rebuilt_when_they_are_named(tmp_path: Path) -> None:
    needs_ultralytics()
    model = ultralytics_models.build("yolov8n.yaml")
    model.model[0].act = own()()
    ultralytics_models.save(model, tmp_path / "m.pt")
    with pytest.raises(ModelError, match="cannot be opened"):
        ultralytics_models.load(tmp_path / "m.pt")
    assert type(ultralytics_models.load(tmp_path / "m.pt", known=[own()]).model[0].act) is own()


def own() -> type:
    """A module of ours, made where PyTorch is, and found under its name again."""
    import torch

    if "Doubling" not in globals():
        made = type("Doubling", (torch.nn.Module,), {"forward": lambda _, x: x * 2, "__module__": __name__})
        globals()["Doubling"] = made
    found: type = globals()["Doubling"]
    return found
