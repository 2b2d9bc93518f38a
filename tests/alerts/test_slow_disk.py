"""A disk whose syncs take half a second, or seconds: who waits for it, and who must not."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.dispatcher import alerts_in, has
from support.mosquitto import Mosquitto, RecordingSubscriber
from support.outboxes import on_disk
from support.slow_disk import SlowDisk

_CHILD = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from support.dispatcher import running_dispatcher
from support.messages import make_alert, make_change
with running_dispatcher(Path(sys.argv[2]), int(sys.argv[3])) as delivery:
    for line in sys.stdin:
        word, _, number = line.partition(" ")
        began, dispatcher = time.monotonic(), delivery.dispatcher
        if word == "alert":
            dispatcher.save_state("alarm", {"n": int(number)})
            dispatcher.change(make_change(int(number)))
            dispatcher.alert(make_alert(int(number)))
            dispatcher.restate()
            delivery.outbox.get_state("alarm"), delivery.history.events(), dispatcher.stats(), delivery.link.status()
        stats = delivery.outbox.stats()
        answer = {"took": time.monotonic() - began, "fault": stats.fault, "in_memory": stats.in_memory}
        answer["connected"] = delivery.link.session() is not None
        print(json.dumps(answer), flush=True)
"""


class DispatcherProcess:
    """A dispatcher in a process of its own, on a slow disk."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, line: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def wait_for(self, wanted: dict[str, Any]) -> dict[str, Any]:
        deadline = time.monotonic() + 20
        while not wanted.items() <= (answer := self.ask("look")).items():
            assert time.monotonic() < deadline, answer
            time.sleep(0.05)
        return answer


@contextmanager
def child(folder: Path, port: int, disk: SlowDisk) -> Iterator[DispatcherProcess]:
    tests = str(Path(__file__).resolve().parents[1])
    command = [sys.executable, "-c", _CHILD, tests, str(folder), str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=disk.env) as process:
        made = DispatcherProcess(process)
        made.wait_for({"connected": True})
        yield made
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(20) == 0


def test_a_sync_of_half_a_second_delays_the_alert_and_nothing_else(broker: Mosquitto, tmp_path: Path) -> None:
    subscriber, disk = RecordingSubscriber(broker.port, "p/#"), SlowDisk(tmp_path)
    with child(tmp_path / "data", broker.port, disk) as delivery:
        delivery.ask("alert 0")  # the first write to a new log syncs twice
        subscriber.wait_for(has("alert-0"))
        delivery.wait_for({"in_memory": 0})
        disk.set_ms(500)
        began = time.monotonic()
        answer = delivery.ask("alert 1")
        assert answer["took"] < 0.4, "what the inference loop, HTTP and MQTT threads call must not wait"
        subscriber.wait_for(has("alert-1"))
        assert time.monotonic() - began > 0.45, "written to disk before it is sent"
        assert delivery.ask("look")["fault"] is None
        disk.set_ms(0)
    subscriber.close()


def test_a_sync_of_seconds_lets_the_alert_out_within_a_second_and_is_told(broker: Mosquitto, tmp_path: Path) -> None:
    subscriber, disk = RecordingSubscriber(broker.port, "p/#"), SlowDisk(tmp_path)
    with child(tmp_path / "data", broker.port, disk) as delivery:
        delivery.wait_for({"in_memory": 0})
        disk.set_ms(4000)
        for number in (1, 2):
            began = time.monotonic()
            assert delivery.ask(f"alert {number}")["took"] < 1.0
            subscriber.wait_for(has(f"alert-{number}"))
            assert time.monotonic() - began < 2.0  # 1 s, and what a busy machine adds
        assert "takes longer" in delivery.ask("look")["fault"]
        disk.set_ms(0)
        delivery.wait_for({"in_memory": 0, "fault": None})
    subscriber.close()
    assert [alert["seq"] for alert in alerts_in(subscriber.heard)] == [1, 2]
    assert on_disk(tmp_path / "data" / "outbox.db") == []
