"""The command: consent first, then pictures; its words and exit codes."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
from pathlib import Path

import pytest
import yaml

from support import scenes
from support.program import COMMAND, once


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("capture-set")
    clip = scenes.clip(folder / "walk.mp4", range(0, 280, 5))
    path = folder / "detector.yaml"
    path.write_text(yaml.safe_dump({"cameras": {"porch": {"source": str(clip), "loop": True}}}), encoding="utf-8")
    return path


def test_it_gathers_with_consent(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    done = once(
        "capture-set",
        "-c",
        config,
        "--camera",
        "porch",
        "--count",
        "3",
        "--every",
        "1",
        "--out",
        out,
        "--yes",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["pictures"], document["new"], document["note"]) == (3, 3, None)
    assert document["bytes"] == sum(path.stat().st_size for path in out.glob("*.jpg"))
    again = once(
        "capture-set", "-c", config, "--camera", "porch", "--count", "99", "--every", "1", "--out", out, "--yes"
    )
    assert again.returncode == 0, again.stderr
    assert "the recording ended at" in again.stdout


def test_without_consent_nothing_is_stored(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    done = once("capture-set", "-c", config, "--camera", "porch", "--count", "3", "--out", out)
    assert done.returncode == 2
    assert "add --yes to consent" in done.stderr
    assert not out.exists()


@pytest.mark.parametrize(("answer", "code"), [(b"n\n", 130), (b"y\n", 0)])
def test_on_a_terminal_it_asks(answer: bytes, code: int, config: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    ours, theirs = pty.openpty()
    command = [*COMMAND, "capture-set", "-c", str(config), "--camera", "porch", "--count", "1", "--out", str(out)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as child:
        os.close(theirs)
        said = _until(ours, b"[y/N]")
        assert b"camera porch" in said
        os.write(ours, answer)
        _until(ours, None)
        assert child.wait(60) == code
    os.close(ours)
    assert len(list(out.glob("*.jpg"))) == (1 if code == 0 else 0)


def _until(terminal: int, words: bytes | None) -> bytes:
    """What the terminal says up to `words`, or to its end."""
    said = b""
    while words is None or words not in said:
        ready, _, _ = select.select([terminal], [], [], 60)
        assert ready, said
        try:
            said += os.read(terminal, 4096)
        except OSError:  # the other side has closed
            assert words is None, said
            break
    return said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--camera", "yard"], "no camera yard in the config; its cameras: porch"),
        (["--camera", "porch", "--every", "0"], "--every 0: must lie between"),
    ],
)
def test_wrong_arguments(arguments: list[str], says: str, config: Path, tmp_path: Path) -> None:
    done = once("capture-set", "-c", config, "--count", "3", "--out", tmp_path / "set", "--yes", *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
