"""Does every thread progress, which camera is dark, what should an operator know."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from detector.alerts.outbox_entries import OutboxStats
from detector.analytics.tamper import EXPLAINED, TamperKind
from detector.api.control import Health, Ready
from detector.capture.camera import CaptureStats
from detector.core.clock import Clock
from detector.core.threads import ServiceThread
from detector.mqtt.client import ClientStatus

from .config_store import ConfigStore
from .model_host import ModelHost
from .overload import LoadMeter

log = logging.getLogger(__name__)

STALE_S = 10.0  # a thread whose loop did not turn for this long hangs
FAILING_S = 10.0  # a model that failed this long is more than a hiccup
STALE_FRAME_S = 5.0
UNANSWERED_S = 10.0  # a broker acknowledges within milliseconds, over a bad line within seconds
UNSYNCED_S = 3600.0  # a time service has its minutes after a start

CameraStats = Callable[[], Mapping[str, CaptureStats]]
Threads = Callable[[], Iterable[ServiceThread]]


class Broker(Protocol):
    """What is asked of the MQTT client."""

    def status(self) -> ClientStatus: ...


class OutboxCounts(Protocol):
    """What is asked of the outbox; must not wait for the disk."""

    def stats(self) -> OutboxStats: ...


class HealthMonitor:
    """`check` is called twice a second from the main thread; the rest from any."""

    def __init__(
        self,
        *,
        threads: Threads,
        cameras: CameraStats,
        model: ModelHost,
        broker: Broker,
        outbox: OutboxCounts,
        load: LoadMeter,
        store: ConfigStore,
        clock: Clock,
        clock_unsynced_s: Callable[[], float] = lambda: 0.0,
        tamper: Callable[[str], TamperKind | None] = lambda _: None,
        more_problems: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._tamper, self._more_problems = tamper, more_problems
        self._clock_unsynced_s = clock_unsynced_s
        self._threads, self._cameras, self._model = threads, cameras, model
        self._broker, self._outbox, self._load = broker, outbox, load
        self._store, self._clock = store, clock
        self._problem: str | None = None

    def check(self) -> bool:
        """Whether every thread progresses; a change of that is logged."""
        health = self.health()
        problem = None if health.ok else f"{health.stage}: {health.detail}"
        if problem != self._problem:
            log.log(logging.ERROR if problem else logging.INFO, "%s", problem or "every thread progresses again")
            self._problem = problem
        return health.ok

    def health(self) -> Health:
        """The first thread that hangs or has ended, if any."""
        for name, fault in self.faults():
            return Health(ok=False, stage=name, detail=fault)
        return Health(ok=True)

    def faults(self) -> Iterator[tuple[str, str]]:
        """(thread, what is wrong with it) of each that is not well."""
        now = self._clock.mono()
        for thread in self._threads():
            if not thread.alive:
                yield thread.name, _ended(thread)
        background = {thread.name for thread in self._threads() if thread.background_s is not None}
        for name, age in self.ages().items():
            if name not in background and age > self._patience(name):
                yield name, f"no progress for {age:.0f} s"
        since = self._model.failing_since
        if since is not None and now - since > FAILING_S:
            yield "inference", f"failing for {now - since:.0f} s: {self._model.error}"

    def background_faults(self) -> Iterator[tuple[str, str]]:
        """Those of threads that the service goes on without: a disk that hangs is no reason to start it again."""
        ages = self.ages()
        for thread in self._threads():
            age = ages.get(thread.name)
            if thread.background_s is not None and age is not None and age > thread.background_s:
                yield thread.name, f"no progress for {age:.0f} s"

    def _patience(self, name: str) -> float:
        settings = self._store.config.cameras.get(name.removeprefix("camera-"))
        # A read may block for its whole time-out, opening for another, before the loop turns again.
        return max(STALE_S, 2 * settings.timeout_s + 1.0) if settings is not None else STALE_S

    def ages(self) -> dict[str, float]:
        """Seconds since each thread last progressed."""
        now = self._clock.mono()
        ages = {t.name: now - t.heartbeat.progress_mono for t in self._threads() if t.heartbeat is not None}
        return ages | {f"camera-{name}": now - stats.progress_mono for name, stats in self._cameras().items()}

    def ready(self) -> Ready:
        """Whether the model is loaded and every enabled camera has given a frame."""
        missing = {name: stats for name, stats in self._cameras().items() if stats.frames == 0}
        reasons = [f"camera {name} has given no frame yet: {s.error or s.state}" for name, s in missing.items()]
        stages = [f"camera-{name}" for name in missing]
        if self._model.detector is None:
            reasons.insert(0, "the model is not loaded")
            stages.insert(0, "model")
        return Ready(ok=not reasons, reasons=tuple(reasons), stages=tuple(stages))

    def problems(self) -> list[str]:
        """What an operator should know, one plain line each; empty when all is well."""
        return [
            *(f"{name}: {fault}" for name, fault in [*self.faults(), *self.background_faults()]),
            *self._camera_problems(),
            *self._load_problems(),
            *self._clock_problems(),
            *self._delivery_problems(),
            *self._more_problems(),
        ]

    def _camera_problems(self) -> Iterator[str]:
        now = self._clock.mono()
        for name, stats in self._cameras().items():
            if stats.state != "online":
                yield f"camera {name} is {stats.state}: {stats.error or 'no frame yet'}"
            elif stats.last_frame_mono is not None and now - stats.last_frame_mono > STALE_FRAME_S:
                yield f"camera {name}: its last frame is {now - stats.last_frame_mono:.0f} s old"
            elif (kind := self._tamper(name)) is not None:
                yield f"camera {name}: {EXPLAINED[kind]}"

    def _load_problems(self) -> Iterator[str]:
        load = self._load.overload
        if load is not None:
            yield (
                f"overloaded: {load.looked_at:.0f} of {load.due:.0f} frames/s are looked at; "
                "lower detect_fps or choose a smaller model"
            )

    def _clock_problems(self) -> Iterator[str]:
        unsynced_s = self._clock_unsynced_s()
        if unsynced_s > UNSYNCED_S:
            yield (
                f"the clock has not been known to be right for {unsynced_s / 3600:.0f} h: times may be wrong and old "
                "visits are kept; start a time service (timedatectl set-ntp true)"
            )

    def _delivery_problems(self) -> Iterator[str]:
        broker, outbox = self._broker.status(), self._outbox.stats()
        if broker.state != "connected":
            yield "; ".join(
                filter(None, (f"broker {broker.address}: {broker.error or broker.state}", outbox.alerts_wait()))
            )
        elif broker.unacknowledged_s is not None and broker.unacknowledged_s > UNANSWERED_S:
            yield (
                f"broker {broker.address}: it takes messages and does not acknowledge them: {broker.unacknowledged} "
                f"wait, the oldest for {broker.unacknowledged_s:.0f} s"
            )
        yield from broker.left_out
        if outbox.fault:
            yield f"outbox: {outbox.fault}"


def _ended(thread: ServiceThread) -> str:
    return f"ended: {thread.failure}" if thread.failure else "ended"
