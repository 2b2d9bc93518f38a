"""The table's row of brokers: slow, half-open or refusing, they cost no frame rate, and no alert."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support import standing
from support.mosquitto import Mosquitto, RecordingSubscriber
from support.program import Program

pytestmark = [pytest.mark.fault, pytest.mark.alone, pytest.mark.timeout(300)]

CAMERAS = ("a", "b", "c")
FPS = 5  # the machine is not to be the bound
SETTLE_S, MEASURE_S = 4.0, 20.0
LOSS = 0.01
OWN_EDGES = 2 * len(CAMERAS)  # frames: those that the begin and the end of a measurement cut off


def _config(folder: Path, broker: Mosquitto) -> dict[str, Any]:
    return {
        "model": standing.model(folder),
        "cameras": dict.fromkeys(CAMERAS, standing.camera(folder, fps=FPS, repeat_s=2)),
        "mqtt": {"broker": f"mqtt://127.0.0.1:{broker.port}"},
    }


def _detected(program: Program) -> int:
    return sum(camera["detected"] for camera in program.status()["cameras"].values())


def _frames(program: Program, meanwhile: Callable[[], None]) -> float:
    """Those that are looked at in MEASURE_S, of all cameras; `meanwhile` again and again."""
    before, begun = _detected(program), time.monotonic()
    while time.monotonic() - begun < MEASURE_S:
        meanwhile()
    return (_detected(program) - before) * MEASURE_S / (time.monotonic() - begun)


def _idle() -> None:
    time.sleep(0.2)


def _slow(broker: Mosquitto) -> Callable[[], None]:
    """It works for a twentieth of a second, each second."""

    def turn() -> None:
        broker.signal(signal.SIGSTOP)
        time.sleep(0.95)
        broker.signal(signal.SIGCONT)
        time.sleep(0.05)

    return turn


def test_night_table_brokers_cost_no_frame_rate_and_no_alert(tmp_path: Path, broker: Mosquitto) -> None:
    subscriber = RecordingSubscriber(broker.port, "detector/alerts", durable="kept")
    with Program(tmp_path / "run", _config(tmp_path, broker)) as program:
        program.wait_ready()
        time.sleep(SETTLE_S)
        frames = {"well": _frames(program, _idle), "slow": _frames(program, _slow(broker))}
        broker.signal(signal.SIGSTOP)  # takes connections by the kernel's hand, and answers nothing
        frames["half-open"] = _frames(program, _idle)
        broker.signal(signal.SIGCONT)
        broker.save()
        broker.kill()
        frames["refuses"] = _frames(program, _idle)
        broker.start()
        program.wait_for(lambda: program.status()["outbox"]["pending_alerts"] == 0, "the alerts of all that time")
        frames["well again"] = _frames(program, _idle)
        assert program.stop() == 0
    seqs = {json.loads(heard.payload)["seq"] for heard in subscriber.heard}
    subscriber.close()
    print(json.dumps({name: round(count / MEASURE_S, 2) for name, count in frames.items()}))
    best = max(frames["well"], frames["well again"])
    assert best > 0.95 * FPS * len(CAMERAS) * MEASURE_S, "undisturbed it keeps up with its cameras"
    for name, count in frames.items():
        assert count >= (1 - LOSS) * best - OWN_EDGES, f"{name}: {frames}"
    assert seqs == set(range(1, 1 + max(seqs))), "each alert arrived"
