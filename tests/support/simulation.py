"""The whole service on media time: hours in minutes, frame by frame, with real cameras, broker, disk and HTTP.

The clock stands while a picture is on its way through the service, and is put to the time of the next one then, so what
comes out does not depend on how busy the machine is. Where something is waited for that has a clock of its own (a broker
that starts, a camera that is dialled again) the media clock goes on in real time.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any

from detector.service.components import Components
from detector.service.service import Service

from .fed_camera import CodedFootage, FedCamera
from .media_clock import MediaClock

_CLIP_LAG_S = 2.0  # the ring holds 3 s more than a clip begins with
_STOP_S, _PICTURE_S = 60.0, 0.2
_PATIENCE_S = 120.0  # for a machine that is busy

Pictures = Mapping[str, tuple[bytes, ...]]


class WatchedService(Service):
    """A service whose parts a test may look at."""

    parts: Components

    def _start(self, parts: Components, closing: ExitStack) -> None:
        self.parts = parts
        super()._start(parts, closing)


class ServiceOnMediaTime:
    """`document`'s service over `cameras`; `still` is what each of them shows while nothing is played."""

    def __init__(
        self,
        document: dict[str, Any],
        *,
        clock: MediaClock,
        cameras: Mapping[str, FedCamera],
        still: dict[str, CodedFootage],
        still_every_s: float,
        fps: int,
    ) -> None:
        self.clock, self.still = clock, still
        self._document, self._cameras = document, cameras
        self._still_every_s, self._fps = still_every_s, fps
        self._shown = dict.fromkeys(cameras, 0)  # of the still pictures
        self._running: tuple[WatchedService, threading.Thread, list[int]] | None = None
        self.pictures = 0

    @property
    def parts(self) -> Components:
        assert self._running is not None
        return self._running[0].parts

    def start(self) -> None:
        """Until it runs and watches all its cameras."""
        running, codes = threading.Event(), list[int]()
        service = WatchedService(document=self._document, clock=self.clock, on_running=lambda _: running.set())
        thread = threading.Thread(target=lambda: codes.append(service.run()), name="service")
        thread.start()
        self._running = service, thread, codes
        self.wait(lambda: running.is_set() or not thread.is_alive(), "the start")
        assert thread.is_alive(), "the service did not start"
        self.wait_watched()

    def stop(self) -> int | None:
        """The exit code; None where it was not running."""
        if self._running is None:
            return None
        service, thread, codes = self._running
        service.stop_event.set()
        deadline = time.monotonic() + _STOP_S
        with self.clock.running():
            while thread.is_alive() and time.monotonic() < deadline:
                for name, camera in self._cameras.items():  # cameras do not pause, and a read ends with a picture
                    camera.send(self._next_still(name), self.clock.mono())
                thread.join(_PICTURE_S)
        self._running = None
        return codes[0] if codes else None

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """In real time, on the media clock too."""
        with self.clock.running():
            self._patiently(condition, what)

    def wait_watched(self) -> None:
        """Until the service is connected to every camera that is there."""
        self.wait(lambda: all(camera.connected for camera in self._cameras.values()), "connections to the cameras")

    def settle(self) -> None:
        """Until all that was found is written, sent and acknowledged."""
        output, storage = self.parts.output, self.parts.storage

        def idle() -> bool:
            counts = storage.outbox.stats()
            waiting = output.dispatcher.stats().waiting + counts.pending_alerts + counts.pending_events
            return waiting == 0 and output.client.status().unacknowledged == 0

        self.wait(idle, "an empty outbox")

    def quiet_until(self, mono: float) -> None:
        """Still pictures, one each `still_every_s`."""
        while (now := self.clock.mono()) < mono:
            self.show(min(now + self._still_every_s, mono), {name: self._next_still(name) for name in self._cameras})

    def play(self, camera: str, footage: CodedFootage) -> None:
        """One camera shows `footage` at its rate; the others' next pictures come after it."""
        self._play(camera, footage.pictures)

    def rest(self, camera: str, seconds: float) -> None:
        """One camera shows its still pictures at the rate of footage."""
        self._play(camera, (self._next_still(camera) for _ in range(round(seconds * self._fps))))

    def _play(self, camera: str, pictures: Iterable[tuple[bytes, ...]]) -> None:
        begin = self.clock.mono()
        for number, picture in enumerate(pictures, 1):
            self.show(begin + number / self._fps, {camera: picture})

    def show(self, mono: float, pictures: Pictures) -> None:
        """Each camera sends its picture at `mono`; until the service has looked at them."""
        self.clock.put(max(mono, self.clock.mono()))
        watched = [name for name in pictures if self._cameras[name].connected]
        for name in watched:
            self._cameras[name].send(pictures[name], mono)
            self.pictures += 1
        for name in watched:
            self._wait_shown(name)
        recorder = self.parts.output.clips.recorder
        if recorder.stats().open:
            self._patiently(lambda: self.clock.mono() - recorder.progress_mono < _CLIP_LAG_S, "the clips' thread")

    def get(self, path: str) -> bytes:
        assert self._running is not None
        url = self._running[0].page_url
        assert url is not None
        with urllib.request.urlopen(url.rstrip("/") + path, timeout=_PATIENCE_S) as answer:
            found: bytes = answer.read()
            return found

    def json(self, path: str) -> Any:
        return json.loads(self.get(path))

    def _next_still(self, camera: str) -> tuple[bytes, ...]:
        pictures = self.still[camera].pictures
        self._shown[camera] += 1
        return pictures[self._shown[camera] % len(pictures)]

    def _wait_shown(self, name: str) -> None:
        now, channel = self.clock.mono(), self.parts.detection.loop.channel(name)
        assert channel is not None

        def shown() -> bool:
            scene = channel.view.scene()
            return scene is not None and scene.frame.captured_mono >= now

        self._patiently(shown, f"camera {name}: its picture was not looked at")

    @staticmethod
    def _patiently(condition: Callable[[], object], what: str) -> None:
        """For what gives no event: first every 0.5 ms, as a picture takes, then more rarely."""
        deadline = time.monotonic() + _PATIENCE_S
        for turn in itertools.count():
            if condition():
                return
            assert time.monotonic() < deadline, f"in vain: {what}"
            time.sleep(0.0005 if turn < 100 else 0.005)
