"""The table's first row: any thread of the running program stops where it is, as in a native call that never returns."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from support import standing
from support.program import Program
from support.stopped_threads import by_name, stopped
from support.watchdog import Watchdog

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]

ASKED = ("broker", "clips", "mqtt", "dispatch", "inference", "camera-door")
GOES_ON_WITHOUT = ("outbox", "history")
HUNGRY_WITHIN_S = 15.0  # after 10 s it counts as hung; the rest is for a busy machine
FED_S = 3.0  # it is fed twice a second


@dataclass(frozen=True)
class WatchedProgram:
    program: Program
    watchdog: Watchdog

    @property
    def pid(self) -> int:
        assert self.program.process is not None
        return self.program.process.pid

    @contextmanager
    def hung(self, name: str) -> Iterator[None]:
        """That thread stands still, and none but it: one that stops with the interpreter's lock stops all of them."""
        for turn in range(40):
            time.sleep(0.03 * (turn % 17))  # the loops' periods differ: at some moment it waits for work
            with stopped(by_name(self.pid)[name]):
                if self.watchdog.fed_within(FED_S):
                    yield
                    return
            self.wait_well()
        raise AssertionError(f"{name} holds the interpreter's lock each time")

    def wait_well(self) -> None:
        self.program.wait_for(lambda: self.watchdog.fed_within(FED_S), "the watchdog fed")

    def stage(self) -> str | None:
        """The one that /healthz names as hung."""
        code, body = self.program.get("/healthz")
        return None if code == 200 else str(json.loads(body)["stage"])


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedProgram]:
    folder = tmp_path_factory.mktemp("hung")
    config = {
        "model": standing.model(folder),
        "cameras": {"door": standing.camera(folder, fps=5, repeat_s=1)},
        "mqtt": {"embedded": {"port": 0}},  # other workers have brokers, too
    }
    with Watchdog(folder) as watchdog, Program(folder / "run", config, env=watchdog.env) as program:
        program.wait_ready()
        yield WatchedProgram(program, watchdog)
        assert program.stop() == 0
        assert "Traceback" not in program.log()


@pytest.mark.parametrize("name", ASKED)
def test_a_hung_thread_is_named_and_the_watchdog_starves(watched: WatchedProgram, name: str) -> None:
    with watched.hung(name):
        assert watched.watchdog.wait_hungry() < HUNGRY_WITHIN_S < watched.watchdog.interval_s
        # The main thread may have waited for it at once: then it is hungry before it has a name.
        watched.program.wait_for(lambda: watched.stage() == name, f"{name} named", timeout=HUNGRY_WITHIN_S)
    watched.wait_well()


def test_a_hung_api_starves_the_watchdog_too(watched: WatchedProgram) -> None:
    """Nobody can ask it, so its log tells."""
    with watched.hung("api"):
        assert watched.watchdog.wait_hungry() < HUNGRY_WITHIN_S
        assert "api: no progress for 10 s" in watched.program.log()
    watched.wait_well()


@pytest.mark.parametrize("name", GOES_ON_WITHOUT)
def test_one_that_only_writes_is_told_and_the_rest_goes_on(watched: WatchedProgram, name: str) -> None:
    with watched.hung(name):
        expected = f"{name}: no progress for "
        told = lambda: any(one.startswith(expected) for one in watched.program.status()["problems"])  # noqa: E731
        watched.program.wait_for(told, expected, timeout=HUNGRY_WITHIN_S)
        assert not watched.program.status()["stages"][name]["ok"]
        assert watched.watchdog.fed_within(FED_S)
    watched.program.wait_for(lambda: watched.program.status()["stages"][name]["ok"], f"{name} goes on")


def test_every_thread_of_the_service_is_under_watch(watched: WatchedProgram) -> None:
    named = set(by_name(watched.pid))
    assert {*ASKED, *GOES_ON_WITHOUT, "api"} <= named
    assert {name[:15] for name in watched.program.status()["stages"]} >= named - {"python"}
