"""What bench.glass measures, each as a process between an RTSP camera and a broker."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paho.mqtt.client as paho
import yaml

from .caches import environment
from .drawn import read_number
from .mqtt import free_port, listen
from .naive import TOPIC
from .rtsp import camera_url

ROOT = Path(__file__).resolve().parents[1]
_TICK = os.sysconf("SC_CLK_TCK")
_START_S = 120.0


class SubjectError(Exception):
    """It did not run; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A message at the subscriber: monotonic s, and the number of the picture that it speaks of.

    `stages_ms` is what the message itself tells of its way, from the picture in the service's hand.
    """

    mono: float
    number: int
    stages_ms: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Inbox:
    """All that a subscriber got: monotonic s, topic, payload."""

    messages: list[tuple[float, str, bytes]] = field(default_factory=list)


class Process:
    """A subject's process and its figures from the kernel; `said` takes what it writes to stderr."""

    def __init__(self, command: list[str], said: Path, *, cache: Path | None = None) -> None:
        self.begun = time.monotonic()
        self._said = said
        with said.open("wb") as stderr:
            self._child = subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=stderr, env=environment(cache)
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    def last_words(self) -> str:
        """The last line of stderr, or the last that names an error."""
        lines = self._said.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        errors = [line for line in lines if "Error" in line]
        return (errors or lines or ["it said nothing"])[-1].strip()

    @property
    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self._child.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    def memory_mib(self, key: str) -> float:
        """VmRSS now, VmHWM at most."""
        for line in Path(f"/proc/{self._child.pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith(key):
                return int(line.split()[1]) / 1024
        raise KeyError(key)

    def ended(self) -> bool:
        return self._child.poll() is not None

    def end(self) -> None:
        self._child.terminate()
        try:
            self._child.wait(15)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


class Subject(ABC):
    """One way from camera to broker.

    `camera_port` is where its camera is to stand, 0 anywhere; `cache` its own, None: the usual one.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.camera_port = 0
        self.cache: Path | None = None

    @abstractmethod
    def command(self, _folder: Path, url: str, broker: int) -> list[str]: ...

    @abstractmethod
    def done(self, _inbox: Inbox) -> int: ...

    @abstractmethod
    def arrivals(self, inbox: Inbox) -> Iterator[Arrival]: ...

    def why_not(self) -> str | None:
        return None

    def facts(self) -> dict[str, Any]:
        return {}


class ServiceSubject(Subject):
    """`detector run` with alerts at cooldown 0; `model` is the config's section, empty for the defaults.

    Every frame is looked at, or only moving ones where `gated`. `needs` is a package that it cannot do without,
    `motion` more of the config's section. With `tuned`, `detector tune` is to be run before it is measured.
    """

    def __init__(
        self,
        name: str,
        model: dict[str, Any],
        *,
        gated: bool = False,
        needs: str | None = None,
        tuned: bool = False,
        **motion: Any,
    ) -> None:
        super().__init__(name)
        self.model, self.tuned = model, tuned
        self._motion = {"enabled": gated, **motion}
        self._needs, self._port = needs, 0

    def command(self, folder: Path, url: str, broker: int) -> list[str]:
        self._port = free_port()
        camera = {"source": url, "motion": self._motion, "alert": {"cooldown_s": 0}}
        config = {
            "model": self.model,
            "cameras": {"cam": camera},
            "mqtt": {"broker": f"mqtt://127.0.0.1:{broker}"},
            "api": {"port": self._port},
            "data_dir": str(folder / "data"),
        }
        path = folder / "detector.yaml"
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        return [sys.executable, "-m", "detector", "run", "-c", str(path)]

    def tune(self, folder: Path, clip: Path) -> dict[str, Any]:
        """`detector tune` on `clip`, its answer; raises SubjectError.

        A choice by pictures holds for a camera's very source, so the camera stands at one port from now on.
        """
        self.camera_port = free_port()
        command = self.command(folder, camera_url(self.camera_port), free_port())
        config = command[-1]
        done = subprocess.run(
            [sys.executable, "-m", "detector", "tune", "-c", config, "--pictures", str(clip), "--json"],
            cwd=ROOT, env=environment(self.cache), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise SubjectError(f"{self.name}: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}")
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    @property
    def chooses(self) -> bool:
        """Its config leaves the form of the model to the service."""
        return bool(self.model.get("backend", "auto") == "auto")

    def status(self) -> dict[str, Any]:
        """The status document; empty while nobody answers."""
        with suppress(OSError), urllib.request.urlopen(self.url("/api/status"), timeout=5) as answer:
            document: dict[str, Any] = json.load(answer)
            return document
        return {}

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._port}{path}"

    def done(self, _inbox: Inbox) -> int:
        status = self.status()
        return int(status["cameras"]["cam"]["detected"] or 0) if status else 0

    def facts(self) -> dict[str, Any]:
        """What runs, and of every frame looked at, alerts or not: ms from picture in hand to the rules' word."""
        status = self.status()
        if not status:
            return {}
        chosen = {key: status["model"].get(key) for key in ("backend", "precision", "choice")}
        return {**chosen, "frame_ms": status["cameras"]["cam"]["latency_ms"]}

    def settled(self) -> bool:
        """`backend: auto` has chosen what it can without having seen many people; true where it has no choice."""
        choice = self.status().get("model", {}).get("choice") or {"state": "off", "taken": None}
        state, taken = choice["state"], choice["taken"]
        return bool(state in ("off", "settled") or (state == "waiting" and taken is not None))

    def why_not(self) -> str | None:
        if self._needs is not None and importlib.util.find_spec(self._needs) is None:
            return f"the {self._needs} package is not installed"
        return None

    def arrivals(self, inbox: Inbox) -> Iterator[Arrival]:
        """Each alert; the picture of which it speaks is the snapshot that was published just before it."""
        jpeg = b""
        for mono, topic, payload in inbox.messages:
            if topic == "detector/cam/person/snapshot":
                jpeg = payload
            elif topic == "detector/alerts" and jpeg:
                yield Arrival(mono=mono, number=number_in(jpeg), stages_ms=_stages(payload))
                jpeg = b""


def number_in(jpeg: bytes) -> int:
    """The number that a picture of the clip carries."""
    return read_number(np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8))


def _stages(payload: bytes) -> dict[str, float]:
    told = json.loads(payload).get("latency_ms", {})
    return {stage: float(ms) for stage in ("capture_to_confirm", "confirm_to_publish") if (ms := told.get(stage))}


class Naive(Subject):
    """A loop of bench.naive; every frame is a message."""

    def __init__(self, name: str, kind: str, model: str) -> None:
        super().__init__(name)
        self._kind, self._model = kind, model

    def command(self, _folder: Path, url: str, broker: int) -> list[str]:
        return [sys.executable, "-m", "bench.naive", self._kind, url, str(broker), self._model]

    def done(self, _inbox: Inbox) -> int:
        return sum(topic == TOPIC for _, topic, _ in _inbox.messages)

    def arrivals(self, inbox: Inbox) -> Iterator[Arrival]:
        for mono, topic, payload in inbox.messages:
            if topic == TOPIC:
                yield Arrival(mono=mono, number=json.loads(payload)["number"])

    def why_not(self) -> str | None:
        if self._kind == "ultralytics" and importlib.util.find_spec("ultralytics") is None:
            return "the ultralytics package is not installed"
        return None


@contextmanager
def inbox(port: int) -> Iterator[Inbox]:
    """A subscriber to everything at the broker, which notes when each message came."""
    box = Inbox()

    def received(_client: object, _data: object, message: paho.MQTTMessage) -> None:
        box.messages.append((time.monotonic(), message.topic, bytes(message.payload)))

    client = listen(port, "#", received)
    client.loop_start()
    try:
        yield box
    finally:
        client.disconnect()
        client.loop_stop()


def wait_for(condition: Callable[[], bool], process: Process, name: str) -> None:
    deadline = time.monotonic() + _START_S
    while not condition():
        if process.ended() or time.monotonic() > deadline:
            raise SubjectError(f"{name}: no frame was looked at: {process.last_words()}")
        time.sleep(0.02)
