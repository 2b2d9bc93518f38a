"""The README's commands, run as they stand there: only ports are put in, since others may hold the usual ones."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
import yaml

from detector.capture.factory import file_source
from support.caches import private_cache
from support.mosquitto import free_port
from support.program import Program

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"(?P<skip><!-- not run by the tests: [^>]+ -->\n)?```sh\n(?P<text>.*?)```", re.DOTALL)
COMMANDS = [
    line
    for block in BLOCK.finditer((ROOT / "README.md").read_text(encoding="utf-8"))
    if not block["skip"]
    for line in block["text"].splitlines()
]
BROKER = free_port()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, model: Path, clip: Path) -> Iterator[Program]:
    config: dict[str, Any] = {
        "model": {"name": str(model)},
        "cameras": {"porch": {"source": str(clip), "loop": True, "alert": {"cooldown_s": 0}}},
        "mqtt": {"embedded": {"port": BROKER}},
    }
    with Program(tmp_path_factory.mktemp("service"), config) as program:
        program.wait_ready()
        yield program


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, clip: Path, model: Path) -> Path:
    """A folder with what the README's examples name."""
    folder = tmp_path_factory.mktemp("user")
    shutil.copy(clip, folder / "clip.mp4")
    shutil.copy(model, folder / "model.onnx")
    private_cache(folder / "cache")
    (folder / "replay.yaml").write_text(
        yaml.safe_dump({"model": {"threads": 1}, "cameras": {"porch": {"source": "clip.mp4"}}}), encoding="utf-8"
    )  # one thread: half of the forms that `tune` measures
    source = file_source(clip)
    source.open()
    images = [source.read().image for _ in range(130)]
    source.close()
    (folder / "pictures").mkdir()
    cv2.imwrite(str(folder / "pictures" / "street.png"), images[120].bgr())
    (folder / "pictures.json").write_text(
        json.dumps(
            {
                "images": [{"id": 1, "file_name": "street.png", "width": images[0].width, "height": images[0].height}],
                "annotations": [
                    {"id": 1, "image_id": 1, "category_id": 1, "bbox": [300, 10, 200, 250], "area": 50000, "iscrowd": 0}
                ],
                "categories": [{"id": 1, "name": "person"}],
            }
        ),
        encoding="utf-8",
    )
    return folder


def _run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    if command.startswith("detector tune"):
        env["DETECTOR_CACHE"] = str(folder / "cache")  # whoever runs the tests keeps the choice that he has
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=env, capture_output=True, text=True, timeout=100, check=False
    )


def test_there_are_commands_to_test() -> None:
    assert len(COMMANDS) >= 12


def _timed(command: str) -> Any:
    """Those that make a model take long: they run with test-optimize."""
    making = command.startswith(
        tuple(f"detector {verb}" for verb in ("tune", "quantize", "compile", "prune", "export"))
    )
    return pytest.param(command, marks=pytest.mark.optimize) if making else command


@pytest.mark.parametrize("command", [_timed(c) for c in COMMANDS if not c.startswith("make ")])
def test_a_command_of_the_readme_works(command: str, folder: Path, service: Program) -> None:
    if command.startswith("mosquitto_sub"):
        if shutil.which("mosquitto_sub") is None:
            pytest.skip("mosquitto_sub is not installed (Debian: mosquitto-clients)")
        command += f" -p {BROKER} -W 60"
    if command.startswith("curl") and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    result = _run(command.replace("127.0.0.1:8080", f"127.0.0.1:{service.port}"), folder)
    assert result.returncode == 0, result.stderr
    assert result.stdout or "--output" in command
    if "json" in command and result.stdout.startswith("{"):
        json.loads(result.stdout.splitlines()[0])


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make ")])
def test_a_make_target_of_the_readme_exists(command: str) -> None:
    # What they do is tested by CI, which calls them, and by test_fresh_clone.
    assert _run(f"{command} --dry-run", ROOT).returncode == 0


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text(encoding="utf-8")):
        assert target.startswith("https://") or (ROOT / target).exists(), target
