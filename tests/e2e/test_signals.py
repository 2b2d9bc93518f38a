"""SIGTERM while starting, SIGHUP while running: the real program as a process."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from support import scenes
from support.inference import WALKER, end_to_end_model
from support.program import Program

STOP_S = 5.0


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One camera on a clip, a small model, and the embedded broker."""
    folder = tmp_path_factory.mktemp("signals")
    clip = scenes.clip(folder / "walk.mp4", [*range(20, 200, 8)])
    model = {
        "name": str(end_to_end_model(folder / "walker.onnx", [WALKER])),
        "backend": "onnxruntime",
        "threads": 1,
        "probe": False,
    }
    return {
        "model": model,
        "cameras": {"door": {"source": str(clip), "loop": True}},
        "mqtt": {"broker": "embedded", "embedded": {"port": 0}},
    }


def _stop_after(folder: Path, config: dict[str, Any], seconds: float) -> tuple[int, float, str]:
    """Exit code, seconds from SIGTERM to the end, and what it printed."""
    with Program(folder, config) as program:
        time.sleep(seconds)
        begun = time.monotonic()
        code = program.stop(timeout=20)
        return code, time.monotonic() - begun, program.log()


# Before Python has set its handlers (0.3 s here), a SIGTERM ends it as the system does: nothing has started then.
@pytest.mark.parametrize("seconds", [0.8, 1.1, 1.5, 2.5])
def test_a_stop_while_starting_ends_it_soon(tmp_path: Path, config: dict[str, Any], seconds: float) -> None:
    code, took, log = _stop_after(tmp_path / "run", config, seconds)
    assert code in (0, -signal.SIGTERM), log
    assert took < STOP_S, log
    assert "Traceback" not in log


@pytest.mark.fault
@pytest.mark.alone
@pytest.mark.timeout(600)
def test_a_hundred_stops_while_starting_end_it_soon(tmp_path: Path, config: dict[str, Any]) -> None:
    slowest = 0.0
    for number in range(100):
        code, took, log = _stop_after(tmp_path / f"run{number % 3}", config, 0.2 + 0.015 * number)
        assert code in (0, -signal.SIGTERM), log
        assert took < STOP_S, log
        slowest = max(slowest, took)
    print(f"the slowest of 100 took {slowest:.2f} s")


def _rewrite(program: Program, **camera: Any) -> None:
    document = yaml.safe_load(program.path.read_text())
    document["cameras"]["door"].update(camera)
    program.path.write_text(yaml.safe_dump(document))


def test_sighup_reads_the_file_again(tmp_path: Path, config: dict[str, Any]) -> None:
    with Program(tmp_path / "run", config) as program:
        program.wait_ready()
        assert program.process is not None
        _rewrite(program, detect_fps=3)
        program.process.send_signal(signal.SIGHUP)
        program.wait_for(lambda: program.status()["cameras"]["door"]["detect_fps_limit"] == 3, "the new limit")
        _rewrite(program, detect_fps=-1)
        program.process.send_signal(signal.SIGHUP)
        program.wait_for(lambda: "the old configuration stays" in program.log(), "the refusal")
        assert program.status()["cameras"]["door"]["detect_fps_limit"] == 3
        assert program.stop() == 0
