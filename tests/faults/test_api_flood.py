"""The page's port under attack from this machine (row 13): the probes are answered, memory and detection stay.

The attackers are processes of their own at the lowest priority, bounded in number and time.
"""

from __future__ import annotations

import http.client
import multiprocessing
import os
import resource
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from support import sample
from support.program import Program

pytestmark = [pytest.mark.fault, pytest.mark.alone, pytest.mark.timeout(300)]
IDLE = 5000
ATTACK_S = 10.0
_FORK = multiprocessing.get_context("spawn")


def fetch(port: int, path: str) -> int:
    """The answer's status; 0 where there was none."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        client.request("GET", path)
        answer = client.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        return 0
    else:
        return answer.status
    finally:
        client.close()


def hold_idle(port: int, stop: Event) -> None:
    """IDLE connections that say nothing."""
    os.nice(19)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, IDLE + 100), most))
    with ExitStack() as stack:
        for _ in range(IDLE):
            if stop.is_set():
                return
            try:
                stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
            except OSError:
                continue
        stop.wait()


def fetch_pictures(port: int, stop: Event) -> None:
    """Fifty clients that ask for the newest picture again and again."""
    os.nice(19)

    def one() -> None:
        while not stop.is_set():
            fetch(port, "/api/cameras/door/latest.jpg")

    threads = [threading.Thread(target=one) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@contextmanager
def attack(how: Callable[[int, Event], None], port: int) -> Iterator[None]:
    stop = _FORK.Event()
    attacker = _FORK.Process(target=how, args=(port, stop))
    attacker.start()
    try:
        yield
    finally:
        stop.set()
        attacker.join(30)
        if attacker.is_alive():
            attacker.kill()


def rss_mib(program: Program) -> float:
    assert program.process is not None
    pages = int(Path(f"/proc/{program.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def wait_level(program: Program, seconds: float = 8.0) -> None:
    """Until its memory has not grown for so long: the first frames, plans and pictures are over."""
    highest, since, give_up = 0.0, time.monotonic(), time.monotonic() + 120
    while time.monotonic() - since < seconds:
        assert time.monotonic() < give_up, "its memory grows without an attack"
        if (now := rss_mib(program)) > highest + 0.5:
            highest, since = now, time.monotonic()
        time.sleep(0.5)


def probes(port: int, seconds: float) -> list[int]:
    answers, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        answers.append(fetch(port, "/healthz"))
        time.sleep(0.1)
    return answers


def detected_per_s(program: Program, seconds: float) -> float:
    first, begun = program.status()["cameras"]["door"]["detected"], time.monotonic()
    time.sleep(seconds)
    last = program.status()["cameras"]["door"]["detected"]
    return float(last - first) / (time.monotonic() - begun)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    sample.model()  # the service wants it too
    camera = {"source": str(sample.clip()), "loop": True, "detect_fps": 3, "motion": {"enabled": False}}
    with Program(tmp_path / "run", {"cameras": {"door": camera}, "mqtt": {"embedded": {"port": 0}}}) as running:
        running.wait_ready()
        for _ in range(20):  # each thread has drawn, and answered, once
            fetch(running.port, "/api/cameras/door/latest.jpg")
        wait_level(running)
        yield running
        assert running.stop() == 0


@pytest.mark.parametrize("how", [hold_idle, fetch_pictures], ids=["idle", "pictures"])
def test_night_13_probes_are_answered_and_memory_stays(program: Program, how: Callable[[int, Event], None]) -> None:
    before = rss_mib(program)
    with attack(how, program.port):
        answers = probes(program.port, ATTACK_S)
    assert answers.count(200) == len(answers), f"{answers.count(200)} of {len(answers)}"
    assert len(answers) >= 10
    time.sleep(2)
    assert rss_mib(program) - before <= 5.0


def test_night_13_detection_loses_less_than_5_percent(program: Program) -> None:
    calm, under_attack = [], []
    for _ in range(3):
        calm.append(detected_per_s(program, ATTACK_S))
        with attack(fetch_pictures, program.port):
            time.sleep(2)
            under_attack.append(detected_per_s(program, ATTACK_S))
    assert statistics.median(under_attack) >= 0.95 * statistics.median(calm), (calm, under_attack)
