"""The commands of the README and of docs/, run as written; only ports are changed, since others may use the usual ones."""

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
import typer
import yaml

from detector.capture.factory import file_source
from detector.cli.app import app
from detector.config import document
from support.caches import private_cache
from support.mosquitto import free_port
from support.program import Program

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(?P<skip><!-- not run by the tests: [^>]+ -->\n)?```sh\n(?P<text>.*?)```", re.DOTALL)
YAML = re.compile(r"```yaml\n(.*?)```", re.DOTALL)


def commands(page: Path, *, skipped: bool = False) -> list[str]:
    """The command lines of a page's blocks, without those that are not run unless `skipped`."""
    blocks = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [line for block in blocks if skipped or not block["skip"] for line in block["text"].splitlines()]


COMMANDS = list(dict.fromkeys(command for page in PAGES for command in commands(page)))
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
    """A folder with the files that the examples name."""
    folder = tmp_path_factory.mktemp("user")
    shutil.copy(clip, folder / "clip.mp4")
    shutil.copy(model, folder / "model.onnx")
    private_cache(folder / "cache")
    (folder / "replay.yaml").write_text(
        yaml.safe_dump({"model": {"threads": 1}, "cameras": {"porch": {"source": "clip.mp4"}}}), encoding="utf-8"
    )  # one thread: half of the variants that `tune` measures
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
        env["DETECTOR_CACHE"] = str(folder / "cache")  # the user's own choice is kept
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=env, capture_output=True, text=True, timeout=100, check=False
    )


def test_there_are_commands_to_test() -> None:
    assert len(COMMANDS) >= 12


def _timed(command: str) -> Any:
    """Commands that make a model take long: they run with test-optimize."""
    making = command.startswith(tuple(f"detector {verb}" for verb in ("tune", "quantize", "compile", "export")))
    return pytest.param(command, marks=pytest.mark.optimize) if making else command


@pytest.mark.slow
@pytest.mark.parametrize("command", [_timed(c) for c in COMMANDS if not c.startswith("make ")])
def test_a_documented_command_works(command: str, folder: Path, service: Program) -> None:
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
def test_a_documented_make_target_exists(command: str) -> None:
    # What they do is tested by CI, which calls them, and by test_fresh_clone.
    assert _run(f"{command} --dry-run", ROOT).returncode == 0


def _subcommands() -> dict[str, Any]:
    group: Any = typer.main.get_command(app)  # of the click that Typer carries
    found: dict[str, Any] = group.commands
    return found


def test_the_manual_has_a_section_for_each_command() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "docs/commands.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(headings) == sorted(_subcommands())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_exist(page: Path) -> None:
    """Also in the blocks that are not run."""
    known = _subcommands()
    for line in commands(page, skipped=True):
        program, _, rest = line.partition(" ")
        if Path(program).name != "detector":
            continue
        name, *arguments = rest.split()
        options = {option for parameter in known[name].params for option in parameter.opts}
        assert {word for word in arguments if word.startswith("-")} <= options, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_are_valid(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MQTT_PASSWORD", "secret")
    for text in YAML.findall(page.read_text(encoding="utf-8")):
        settings = yaml.safe_load(text)
        if "scrape_configs" not in settings:  # Prometheus' own
            document.validate({"cameras": {"porch": {"source": "clip.mp4"}}, **settings})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", page.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        file = page.parent / target if target else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-") for h in headings}, anchor
