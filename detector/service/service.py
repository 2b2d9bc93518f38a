"""The service's life story: start every stage, watch that they progress, stop them in reverse."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from detector.alerts.discovery import Discovery
from detector.alerts.dispatcher import Dispatcher
from detector.alerts.history import History
from detector.alerts.history_writer import HistoryWriter
from detector.alerts.outbox import Outbox
from detector.alerts.payloads import Topics
from detector.analytics.alert_codec import LostImage
from detector.capture.idle_cameras import IdleCameras
from detector.capture.latest_frames import LatestFrames
from detector.capture.manager import Cameras
from detector.config import document as configfile
from detector.config.schema import Config
from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.jpeg import Label, encode_jpeg
from detector.core.threads import ServiceThread
from detector.core.types import AlarmState, Box, CameraState, Frame, Message
from detector.inference.factory import tensorrt_usable
from detector.models.autotune.choice import scenes_of
from detector.models.autotune.loader import AutotunedLoader
from detector.models.autotune.status import AutotuneStatus
from detector.models.download.progress import Progress, quiet
from detector.models.loading import resolve
from detector.mqtt.broker.server import EmbeddedBroker
from detector.mqtt.client import MqttClient, settings_of

from . import data_dir
from .alarm_controller import AlarmController
from .autotuner import Autotuner
from .control import ServiceControl
from .engine_upgrade import EngineUpgrade
from .health import HealthMonitor
from .inference_loop import Load, Worker
from .mqtt_commands import Commands
from .process import gc_frozen, use_one_opencv_thread
from .reload import ConfigReloader
from .runtime import ALARM_STATE, House
from .status import StatusReporter
from .systemd import Notifier

log = logging.getLogger(__name__)

WATCH_S = 0.5
START_S = 10.0
LOAD_S = 600.0  # an engine may have to come off a slow card
STOP_S = 5.0
UPGRADE_STOP_S = 30.0  # an engine build looks up between its steps, and loading one cannot be cut short
DRAIN_S = 3.0  # for the broker to acknowledge what is under way


class Service:
    """Everything between a config and a running detector.

    `document` is the config as written, `path` where it came from (None: nowhere, changes are not
    kept). `stop_event` ends `run`; a signal handler need do no more than set it.
    """

    def __init__(
        self,
        *,
        document: configfile.Document,
        path: Path | None = None,
        clock: Clock = SYSTEM_CLOCK,
        notifier: Notifier | None = None,
        progress: Progress = quiet,
        on_running: Callable[[Service], None] = lambda _service: None,
    ) -> None:
        self._document, self._path = document, path
        self.config: Config = configfile.validate(document)
        self.stop_event = threading.Event()
        self.broker_address: tuple[str, int] | None = None
        self.page_url: str | None = None
        self._clock, self._progress, self._on_running = clock, progress, on_running
        self._notifier = notifier or Notifier()
        self._password = configfile.mqtt_password(self.config)
        self._started_mono = clock.mono()
        self._undo = ExitStack()
        self._stages: list[ServiceThread] = []

    def run(self, *, duration_s: float | None = None) -> int:
        """Start, watch until told to stop or `duration_s` of running is over, stop; returns the exit code.

        Raises DetectorError when it cannot start; what had started is stopped again.
        """
        with self._undo:
            self._start()
            self._notifier.ready()
            log.info("running: %s", self._summary())
            self._on_running(self)
            with gc_frozen():
                code = self._watch_over(None if duration_s is None else self._clock.mono() + duration_s)
            self._notifier.stopping()
            log.info("stopping")
        log.info("stopped")
        return code

    # Start: from the post room to the door, so that nothing comes in before it can go out

    def _start(self) -> None:
        use_one_opencv_thread()
        self._undo.enter_context(data_dir.locked_data_dir(self.config.data_dir))
        resolved = resolve(self.config.model, self._progress)
        self._open_storage()
        self._open_post_room()
        self._ledger = AutotuneStatus()
        load = AutotunedLoader(
            self.config.model, resolved, scenes=tuple(scenes_of(self.config)), told=self._ledger.chose
        )
        self._ledger.chose(load.choice)
        self._open_workshop(load)
        self._furnish()
        # While the model loads, cameras are dialled and the API is imported: together they take as long.
        self._open_doors()
        if self.config.api.enabled:
            self._open_api()
        self._worker.wait_loaded(LOAD_S)
        self._desk.announce()
        self._announce()
        if tensorrt_usable():
            self._begin("upgrade", EngineUpgrade(house=self.house).run, stop_s=UPGRADE_STOP_S)
        else:
            self._begin("tuning", Autotuner(house=self.house, ledger=self._ledger).run, stop_s=UPGRADE_STOP_S)

    def _begin(self, name: str, run: Callable[[threading.Event], None], *, stop_s: float = STOP_S) -> ServiceThread:
        stage = ServiceThread(name=name, run=run)
        self._undo.callback(stage.join, stop_s)
        self._stages.append(stage)
        stage.start()
        return stage

    def _open_storage(self) -> None:
        folder, keep = self.config.data_dir, self.config.history
        self._outbox = Outbox(folder / "outbox.db", clock=self._clock)
        self._undo.callback(self._outbox.close)
        self._history = History(
            path=folder / "history.db",
            snapshot_dir=folder / "snapshots",
            keep_days=keep.keep_days,
            max_events=keep.max_events,
            clock=self._clock,
        )
        self._undo.callback(self._history.close)

    def _open_broker(self) -> int | None:
        """The embedded broker's port, None where the broker is another's."""
        mqtt = self.config.mqtt
        if mqtt.broker != "embedded":
            return None
        broker = EmbeddedBroker(
            host=mqtt.embedded.host, port=mqtt.embedded.port, username=mqtt.username, password=self._password
        )
        self._begin("broker", broker.run)
        broker.wait_started(START_S)
        self.broker_address = (mqtt.embedded.host, broker.port)
        return broker.port

    def _open_post_room(self) -> None:
        config, self._topics = self.config, Topics(self.config.mqtt.topic_prefix)
        port = self._open_broker()
        self._commands = Commands(topics=self._topics, discovery_prefix=config.mqtt.discovery_prefix)
        self._link = MqttClient(
            settings=settings_of(config, password=self._password, embedded_port=port),
            will=Message(topic=self._topics.available, payload=b"offline", qos=1, retain=True),
            on_command=self._commands.handle,
            subscriptions=self._commands.subscriptions(),
            clock=self._clock,
        )
        history = HistoryWriter(self._history, clock=self._clock)
        self._dispatcher = Dispatcher(
            outbox=self._outbox,
            history=history,
            link=self._link,
            topics=self._topics,
            device=config.device.id,
            encode_snapshot=_snapshot,
            snapshot_width=config.mqtt.snapshot_width,
            clock=self._clock,
        )
        self._discovery = Discovery(topics=self._topics, send=self._dispatcher.send)
        self._begin("outbox", self._outbox.run)
        self._begin("history", history.run)
        self._begin("mqtt", self._link.run)
        self._begin("dispatch", self._dispatch)

    def _dispatch(self, stop: threading.Event) -> None:
        self._dispatcher.run(stop)
        if not self._dispatcher.drain(self._clock.mono() + DRAIN_S):
            log.warning("not everything was acknowledged: alerts stay on disk and go out with the next start")

    def _keep_alarm(self, state: AlarmState, snapshot: Mapping[str, object]) -> None:
        self._dispatcher.alarm_state(state)
        self._dispatcher.save_state(ALARM_STATE, snapshot)

    def _open_workshop(self, load: Load) -> None:
        self._slots, self._attention = LatestFrames(clock=self._clock), IdleCameras()
        self._desk = AlarmController(
            settings=self.config.alarm,
            saved=self._outbox.get_state(ALARM_STATE),
            clock=self._clock,
            send=self._dispatcher.alert,
            tell=self._keep_alarm,
        )
        self._worker = Worker(
            slots=self._slots,
            desk=self._desk,
            post=self._dispatcher,
            clock=self._clock,
            load=load,
            device_id=self.config.device.id,
            attention=self._attention,
        )
        self._begin("inference", self._worker.run, stop_s=STOP_S)
        self._undo.callback(self._slots.close)

    def _furnish(self) -> None:
        self._cameras = Cameras(
            slots=self._slots, clock=self._clock, on_state=self._camera_changed, attention=self._attention
        )
        self.house = House(
            document=self._document,
            path=self._path,
            config=self.config,
            clock=self._clock,
            started_mono=self._started_mono,
            slots=self._slots,
            outbox=self._outbox,
            history=self._history,
            topics=self._topics,
            link=self._link,
            dispatcher=self._dispatcher,
            desk=self._desk,
            worker=self._worker,
            cameras=self._cameras,
            ledger=self._ledger,
            stages=self._stages,
        )
        self._watch = HealthMonitor(self.house)
        self._report = StatusReporter(house=self.house, watch=self._watch)
        self._commands.attach(house=self.house, announce=self._announce)

    def _open_api(self) -> None:
        from detector.api.app import create_app  # FastAPI takes half a second to import
        from detector.api.server import ApiServer

        reconfigure = ConfigReloader(house=self.house, watch=self._watch, announce=self._announce)
        window = ServiceControl(house=self.house, watch=self._watch, report=self._report, apply=reconfigure.apply)
        settings = self.config.api
        app = create_app(window, token=settings.token, config_schema=Config.model_json_schema())
        server = ApiServer(app=app, host=settings.host, port=settings.port)
        self._begin("api", server.run)
        server.wait_started(START_S)
        self.page_url = server.url

    def _open_doors(self) -> None:
        for name, settings in self.config.cameras.items():
            self.house.open_room(name, settings)
        self._undo.callback(self._cameras.stop)
        self._cameras.apply(self.config.cameras)

    def _announce(self) -> None:
        """Tell Home Assistant who we are, also when it says that it came back."""
        self._discovery.announce(self.house.config, page_url=self.page_url)
        self._dispatcher.restate()

    def _camera_changed(self, name: str, state: CameraState, _reason: str | None) -> None:
        if state == "online":  # the capture loop itself tells of trouble
            log.info("camera %s is online", name)

    def _summary(self) -> str:
        config = self.config
        parts = [config.model.name, f"cameras {', '.join(config.cameras)}", f"broker {self._link.status().address}"]
        return "; ".join([*parts, f"page {self.page_url}"] if self.page_url else parts)

    # Watch

    def _watch_over(self, deadline: float | None) -> int:
        """Feed systemd's watchdog while all is well; a stage that died ends the service with 1."""
        next_stats = 0.0
        while not self.stop_event.wait(WATCH_S):
            now = self._clock.mono()
            if self._watch.assess():
                self._notifier.watchdog()
            if now >= next_stats:
                next_stats = now + self.config.mqtt.stats_interval_s
                document = self._report.write()
                self._dispatcher.status(document)
                self._notifier.status(_one_line(document["problems"]))
            if deadline is not None and now >= deadline:
                return 0
            if dead := [stage.name for stage in self._stages if not stage.alive]:
                log.critical("the %s stage ended: stopping, so that a supervisor can start anew", dead[0])
                return 1
        return 0


def _snapshot(frame: Frame, box: Box, score: float, max_width: int | None) -> bytes | None:
    if isinstance(frame.image, LostImage):
        return None  # held over a restart: a black picture would take the place of a real one
    return encode_jpeg(frame.image, [Label(box=box, text=f"person {score:.2f}")], max_width=max_width)


def _one_line(problems: list[str]) -> str:
    return f"{problems[0]} (and {len(problems) - 1} more)" if len(problems) > 1 else (problems or ["all is well"])[0]
