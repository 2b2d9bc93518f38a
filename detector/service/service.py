"""The service from start to stop: start every thread, see that they progress, stop them in reverse."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from detector.alerts.notify.notifications import Notifications
from detector.config import document as config_file
from detector.config.device_id import keep_id
from detector.config.schema import Config
from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.errors import RESTART_CODE
from detector.core.frigate import with_stats
from detector.core.progress import Progress, quiet
from detector.core.threads import STOP_S, Heartbeat, HeartbeatEvent, ServiceThread
from detector.inference.factory import tensorrt_usable
from detector.models.loading import resolve

from .components import Components, build
from .config_store import ConfigStore
from .data_dir import locked_data_dir
from .file_reload import FileReload
from .model_host import ModelHost
from .process import gc_frozen, limit_allocator_arenas, use_one_opencv_thread
from .systemd import Notifier

log = logging.getLogger(__name__)

CHECK_S = 0.5
STOP_TOTAL_S = 4.0  # a supervisor, or a person, does not wait longer for the end
LAST_S = 0.2  # for each thread once that is over
START_S = 60.0  # a machine that boots, or is busy, imports the API ten times as slowly; a restart would not help it
LOOK_S = 0.05  # how often a start looks whether it is to stop
LOAD_S = 600.0  # an engine may have to come off a slow card
DISK_S = 10.0  # a thread that only writes, and does not: it is told; alerts go out from memory meanwhile
BACKGROUND_S = 300.0  # one that has long turns
BUILD_STOP_S = 30.0  # an engine build looks up between its steps, and loading one cannot be cut short
CAMERA_STOP_S = 2.0
NOTIFY_STOP_S = 0.5  # a service that does not answer is not waited for: its alerts are on the disk
CLIP_STOP_S = 2.0  # what is being written then is finished shorter, or removed with the next start
SELF_TEST_STOP_S = 1.0  # a test under way waits for the model
DRAIN_S = 2.0  # for the broker to acknowledge what is under way


@dataclass(frozen=True, slots=True)
class ThreadRow:
    """One thread of the service. `wanted` False: this configuration does without it.

    `heartbeat` None: its stop event is. `background_s`: as ServiceThread's.
    """

    name: str
    run: Callable[[threading.Event], None]
    heartbeat: Heartbeat | None = None
    stop_s: float = STOP_S
    background_s: float | None = None
    wanted: bool = True


class _StopRequestedError(Exception):
    """Told to stop while it starts."""


class Service:
    """Everything between a config and a running detector.

    `document` is the config as written, `path` where it came from (None: nowhere, changes are not
    kept). `stop_event` ends `run`, `reload_event` has the file read again; a signal handler need do no more
    than set them.
    """

    def __init__(
        self,
        *,
        document: config_file.Document,
        path: Path | None = None,
        clock: Clock = SYSTEM_CLOCK,
        notifier: Notifier | None = None,
        progress: Progress = quiet,
        on_running: Callable[[Service], None] = lambda _service: None,
    ) -> None:
        self.config: Config = config_file.validate(document)
        self.stop_event = threading.Event()
        self.reload_event = threading.Event()
        self.broker_address: tuple[str, int] | None = None
        self.page_url: str | None = None
        self._store = ConfigStore(document=document, path=path, config=self.config)
        self._clock, self._progress, self._on_running = clock, progress, on_running
        self._notifier = notifier or Notifier()
        self._stop_by: float | None = None  # monotonic s

    def run(self, *, duration_s: float | None = None) -> int:
        """Start, watch until told to stop or `duration_s` of running is over, stop; returns the exit code.

        Raises DetectorError when it cannot start; what had started is stopped again.
        """
        limit_allocator_arenas()
        use_one_opencv_thread()
        with ExitStack() as closing:
            closing.enter_context(locked_data_dir(self.config.data_dir))
            keep_id(self.config)
            try:
                resolved = resolve(self.config.model, self._unless_stopped(self._progress))
                parts = build(self._store, resolved, clock=self._clock, closing=closing)
                self._start(parts, closing)
            except _StopRequestedError:
                log.info("told to stop while starting")
                return 0
            self._notifier.ready()
            log.info("running: %s", self._summary(parts))
            self._on_running(self)
            with gc_frozen():
                code = self._watch(parts, None if duration_s is None else self._clock.mono() + duration_s)
            self._notifier.stopping()
            log.info("stopping")
        log.info("stopped")
        return code

    def _start(self, parts: Components, closing: ExitStack) -> None:
        # Output first: nothing may come in before it can go out.
        self._start_threads(self._output_rows(parts), parts, closing)
        if parts.output.broker is not None:
            parts.output.broker.wait_started(START_S)
            self.broker_address = (self.config.mqtt.embedded.host, parts.output.broker.port)
        detection = parts.detection
        for name, settings in self.config.cameras.items():
            detection.switches.open_channel(name, settings)
        closing.callback(lambda: detection.cameras.stop(self._left(CAMERA_STOP_S)))
        detection.cameras.apply(self.config.cameras)
        # The model loads, cameras connect and the API is imported at the same time: together they take as long.
        self._start_threads(self._api_rows(parts), parts, closing)
        if parts.api is not None:
            self.page_url = parts.api.wait_started(START_S)
            parts.announcer.api_port = parts.api.port
        self._wait_loaded(detection.model)
        detection.alarm.announce()
        detection.arming.announce()
        if parts.output.frigate is not None:
            parts.output.frigate.announce()
        parts.announcer.announce()
        self._start_threads(self._change_rows(parts), parts, closing)

    def _output_rows(self, parts: Components) -> list[ThreadRow]:
        broker, output, loop = parts.output.broker, parts.output, parts.detection.loop

        def dispatch(stop: threading.Event) -> None:
            output.dispatcher.run(stop)
            if not output.dispatcher.drain(self._clock.mono() + DRAIN_S):
                log.warning("not everything was acknowledged: alerts stay on disk and go out with the next start")

        return [
            *([] if broker is None else [ThreadRow("broker", broker.run, broker)]),
            ThreadRow("outbox", parts.storage.outbox.run, parts.storage.outbox, background_s=DISK_S),
            ThreadRow("history", parts.storage.history_writer.run, parts.storage.history_writer, background_s=DISK_S),
            ThreadRow("clips", output.clips.recorder.run, output.clips.recorder, stop_s=CLIP_STOP_S),
            ThreadRow("mqtt", output.client.run, output.client),
            *self._notify_rows(output.notifier),
            ThreadRow("dispatch", dispatch, output.dispatcher),
            ThreadRow("inference", loop.run, loop),
        ]

    @staticmethod
    def _notify_rows(notifier: Notifications) -> list[ThreadRow]:
        rows = []
        for sender in notifier.senders:
            name = f"notify-{sender.settings.name}"
            rows += [
                ThreadRow(f"{name}-outbox", sender.outbox.run, sender.outbox, background_s=DISK_S),
                ThreadRow(name, sender.run, stop_s=NOTIFY_STOP_S, background_s=BACKGROUND_S),
            ]
        return rows

    def _api_rows(self, parts: Components) -> list[ThreadRow]:
        return [] if parts.api is None else [ThreadRow("api", parts.api.run, parts.api)]

    def _change_rows(self, parts: Components) -> list[ThreadRow]:
        engines = tensorrt_usable()
        reload = FileReload(store=self._store, reloader=parts.reloader, requested=self.reload_event)
        row = partial(ThreadRow, background_s=BACKGROUND_S)
        return [
            row("reload", reload.run),
            row("self-test", parts.monitoring.self_test.run, stop_s=SELF_TEST_STOP_S),
            row("governor", parts.monitoring.governor.run),
            row("engine-build", parts.engine_upgrade.run, stop_s=BUILD_STOP_S, wanted=engines),
            row("autotune", parts.autotuner.run, stop_s=BUILD_STOP_S, wanted=not engines),
        ]

    def _unless_stopped(self, progress: Progress) -> Progress:
        def report(done: int, total: int | None, what: str) -> None:
            if self.stop_event.is_set():
                raise _StopRequestedError
            progress(done, total, what)

        return report

    def _wait_loaded(self, model: ModelHost) -> None:
        deadline = self._clock.mono() + LOAD_S
        while model.loading and self._clock.mono() < deadline:
            if self.stop_event.wait(LOOK_S):
                raise _StopRequestedError
        model.wait_loaded(0.0)

    def _left(self, at_most_s: float) -> float:
        """Of the time that a stop may take: `at_most_s`, or what remains of STOP_TOTAL_S since its begin."""
        now = self._clock.mono()
        if self._stop_by is None:
            self._stop_by = now + STOP_TOTAL_S
        return max(LAST_S, min(at_most_s, self._stop_by - now))

    def _start_threads(self, rows: list[ThreadRow], parts: Components, closing: ExitStack) -> None:
        for row in rows:
            if row.wanted:
                stop = HeartbeatEvent(self._clock)
                thread = ServiceThread(
                    name=row.name,
                    run=row.run,
                    stop_event=stop,
                    heartbeat=row.heartbeat or stop,
                    background_s=row.background_s,
                )
                closing.callback(self._join, thread, row.stop_s)
                parts.monitoring.threads.start(thread)

    def _join(self, thread: ServiceThread, at_most_s: float) -> None:
        thread.join(self._left(at_most_s))

    def _watch(self, parts: Components, deadline: float | None) -> int:
        """Feed systemd's watchdog while all is well; a thread that ended ends the service with 1, a restart with 75."""
        next_stats, steps = 0.0, 0
        while not self.stop_event.wait(CHECK_S):
            now = self._clock.mono()
            self._assess_cameras(parts, now)
            parts.detection.arming.tick()
            parts.monitoring.figures.tick()
            if parts.monitoring.health.check():
                self._notifier.watchdog()
            if now >= next_stats or steps != parts.monitoring.governor.changes:
                steps = parts.monitoring.governor.changes
                next_stats = now + self._store.config.mqtt.stats_interval_s
                self._publish_status(parts)
            if parts.restart.is_set():
                log.info("stopping, to start again")
                return RESTART_CODE
            if deadline is not None and now >= deadline:
                return 0
            if (dead := parts.monitoring.threads.dead()) is not None:
                log.critical(
                    "the %s thread ended: stopping, so that a supervisor can start the service again", dead.name
                )
                return 1
        return 0

    def _assess_cameras(self, parts: Components, now: float) -> None:
        parts.detection.snoozes.tick()
        failing = parts.detection.model.failing_since is not None
        parts.monitoring.camera_status.update(model_failing=failing)
        if failing:
            parts.monitoring.load.forget()  # frames are lost to the failing model, which is a problem of its own
        else:
            frames = parts.detection.frames
            parts.monitoring.load.observe(now, {name: frames.counts(name) for name in self._store.config.cameras})

    def _publish_status(self, parts: Components) -> None:
        document = parts.monitoring.status.write()
        speaks_frigate = parts.output.frigate is not None
        parts.output.dispatcher.status(with_stats(document) if speaks_frigate else document)
        parts.output.slo.announce()
        self._notifier.status(_one_line(document["problems"]))

    def _summary(self, parts: Components) -> str:
        config, broker = self.config, parts.output.client.status().address
        words = [config.model.name, f"cameras {', '.join(config.cameras)}", f"broker {broker}"]
        return "; ".join([*words, f"page {self.page_url}"] if self.page_url else words)


def _one_line(problems: list[str]) -> str:
    return f"{problems[0]} (and {len(problems) - 1} more)" if len(problems) > 1 else (problems or ["all is well"])[0]
