"""Everything that a running service consists of, made from its configuration; nothing runs yet."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from detector.alerts.discovery import ANNOUNCED, Discovery
from detector.alerts.dispatcher import Dispatcher
from detector.alerts.last_alerts import LAST_ALERTS, LastAlerts
from detector.alerts.notify.notifications import Notifications
from detector.alerts.payloads import Topics
from detector.alerts.snapshot_files import Snapshots
from detector.analytics.alert_codec import LostImage
from detector.capture.idle_cameras import IdleCameras
from detector.capture.latest_frames import LatestFrames
from detector.capture.manager import Cameras
from detector.capture.recording.recorders import Recorders
from detector.config import document as config_file
from detector.config.schema import Config
from detector.core.clock import Clock
from detector.core.clock_sync import ClockSync
from detector.core.jpeg import Label, encode_jpeg
from detector.core.link_signer import LinkSigner, load_key
from detector.core.threads import ThreadGroup
from detector.core.types import AlarmState, Box, CameraState, Frame, Message
from detector.models.autotune.choice import scenes_of
from detector.models.autotune.loader import AutotunedLoader
from detector.models.autotune.status import AutotuneStatus
from detector.models.registry import Resolved, sample_pictures
from detector.mqtt.broker.server import EmbeddedBroker
from detector.mqtt.client import MqttClient, settings_of

from .alarm_code import AlarmCode
from .alarm_controller import ALARM_STATE, AlarmController
from .announcer import Announcer
from .api_thread import ApiThread
from .arming import ARMING_STATE, ArmingController
from .autotuner import Autotuner
from .camera_memory import MEMORY_STATE, CameraMemory
from .camera_status import CameraStatusPublisher
from .camera_switches import DETECT_STATE, CameraSwitches
from .clips import Clips, make_clips, make_recorders
from .config_store import ConfigStore
from .control import ServiceControl
from .engine_upgrade import EngineUpgrade
from .frigate_topics import FrigateTopics
from .health import HealthMonitor
from .inference_loop import InferenceLoop
from .latencies import Latencies
from .model_host import ModelHost
from .model_probes import ModelProbes
from .mqtt_commands import MqttCommands
from .notifications import make_notifications
from .overload import LoadMeter
from .presence_topics import PresenceTopics
from .refused_commands import RefusedCommands
from .reload import ConfigReloader
from .self_test import SELF_TEST_STATE, SelfTest
from .slo import SLO_STATE, AlertSlo
from .snooze import SNOOZE_STATE, Snoozes
from .status import StatusReporter
from .storage import Storage, open_storage
from .suppressions import Suppressions

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """The way of an event or alert to the broker. `broker` is the embedded one, None where it is another's."""

    broker: EmbeddedBroker | None
    client: MqttClient
    dispatcher: Dispatcher
    latencies: Latencies
    slo: AlertSlo
    clips: Clips
    notifier: Notifications
    last_alerts: LastAlerts
    frigate: FrigateTopics | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """The way of a frame to an event or alert."""

    frames: LatestFrames
    cameras: Cameras
    model: ModelHost
    loop: InferenceLoop
    alarm: AlarmController
    arming: ArmingController
    switches: CameraSwitches
    snoozes: Snoozes
    autotune: AutotuneStatus
    probes: ModelProbes


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitoring:
    """What looks at the rest."""

    threads: ThreadGroup
    load: LoadMeter
    health: HealthMonitor
    camera_status: CameraStatusPublisher
    status: StatusReporter
    self_test: SelfTest


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """One of each: what `Service` starts, looks at and stops. It is handed to nobody else."""

    store: ConfigStore
    storage: Storage
    output: Output
    detection: Detection
    monitoring: Monitoring
    announcer: Announcer
    reloader: ConfigReloader
    api: ApiThread | None
    autotuner: Autotuner
    engine_upgrade: EngineUpgrade
    restart: threading.Event
    """Set when somebody asked for a restart."""


def build(store: ConfigStore, resolved: Resolved, *, clock: Clock, closing: ExitStack) -> Components:
    """Raises DetectorError where something cannot be had; `closing` closes what was opened."""
    config, clock_sync = store.config, ClockSync(clock=clock)
    storage = open_storage(config, clock, clock_sync, closing)
    links = _links(config, clock)
    recorders = make_recorders(config=lambda: store.config, clock=clock)
    clips = make_clips(config=lambda: store.config, folder=storage.clip_folder, recorders=recorders, clock=clock)
    output = _output(store, storage, links, clips, clock, clock_sync, closing)
    detection = _detection(config, resolved, storage, output, recorders, clock, clock_sync)
    closing.callback(detection.frames.close)
    refused, restart = RefusedCommands(clock), threading.Event()
    code = AlarmCode(code=lambda: store.config.alarm.code, clock=clock)
    monitoring = _monitoring(store, storage, output, detection, refused, clock, clock_sync)
    announcer = _announcer(store, storage, output, detection)
    suppressions = Suppressions(
        history=storage.history,
        loop=detection.loop,
        pictures=Snapshots(config.data_dir / "suppressions"),
        afterwards=storage.history_writer.afterwards,
    )
    commands = MqttCommands(
        topics=Topics(config.mqtt.topic_prefix),
        store=store,
        alarm=detection.arming,
        code=code,
        switches=detection.switches,
        snoozes=detection.snoozes,
        restart=restart,
        announce=announcer.announce,
        suppressions=suppressions,
        refused=refused,
        clock=clock,
    )
    _subscribe_commands(store, output, detection, commands)
    reloader = _reloader(store, output, detection, monitoring, announcer)
    control = ServiceControl(
        store=store,
        health=monitoring.health,
        status=monitoring.status,
        history=storage.history,
        channel=detection.loop.channel,
        alarm=detection.arming,
        code=code,
        switches=detection.switches,
        apply=reloader.apply,
        latencies=output.latencies,
        clips=storage.clip_folder,
        suppressions=suppressions,
    )
    return Components(
        store=store,
        storage=storage,
        output=output,
        detection=detection,
        monitoring=monitoring,
        announcer=announcer,
        reloader=reloader,
        api=ApiThread(control=control, settings=config.api, links=links) if config.api.enabled else None,
        autotuner=Autotuner(
            store=store,
            model=detection.model,
            cameras=detection.cameras.stats,
            channel=detection.loop.channel,
            status=detection.autotune,
            clock=clock,
        ),
        engine_upgrade=EngineUpgrade(store=store, model=detection.model),
        restart=restart,
    )


def _monitoring(
    store: ConfigStore,
    storage: Storage,
    output: Output,
    detection: Detection,
    refused: RefusedCommands,
    clock: Clock,
    clock_sync: ClockSync,
) -> Monitoring:
    threads, load, cameras = ThreadGroup(), LoadMeter(), detection.cameras
    self_test = SelfTest(
        store=store,
        channel=detection.loop.channel,
        probes=detection.probes,
        folder=store.config.data_dir / "self_test",
        clock=clock,
        saved=storage.outbox.get_state(SELF_TEST_STATE),
        save=output.dispatcher.save_state,
        sample=sample_pictures,
    )
    health = HealthMonitor(
        threads=lambda: (*threads, *cameras.threads()),
        cameras=cameras.stats,
        model=detection.model,
        broker=output.client,
        outbox=storage.outbox,
        load=load,
        store=store,
        clock=clock,
        clock_unsynced_s=clock_sync.unsynced_s,
        tamper=detection.loop.tamper,
        more_problems=lambda: (*output.clips.problems(), *output.notifier.problems(), *self_test.problems()),
    )
    camera_status = CameraStatusPublisher(
        cameras=cameras.stats,
        publish=output.dispatcher.camera_status,
        end_visits=detection.loop.end_visits,
        clock=clock,
        is_tampered=lambda name: detection.loop.tamper(name) is not None,
    )
    status = StatusReporter(
        store=store,
        health=health,
        cameras=cameras.stats,
        frames=detection.frames,
        channel=detection.loop.channel,
        model=detection.model,
        autotune=detection.autotune,
        broker=output.client,
        outbox=storage.outbox,
        alarm=detection.arming,
        snoozes=detection.snoozes,
        refused=refused,
        clock=clock,
        self_test=self_test.status,
        more=lambda: {
            "clips": output.clips.document(),
            "notify": output.notifier.document(),
            "slo": output.slo.document(),
        },
    )
    return Monitoring(
        threads=threads, load=load, health=health, camera_status=camera_status, status=status, self_test=self_test
    )


def _announcer(store: ConfigStore, storage: Storage, output: Output, detection: Detection) -> Announcer:
    discovery = Discovery(
        topics=Topics(store.config.mqtt.topic_prefix),
        send=output.dispatcher.send,
        saved=storage.outbox.get_state(ANNOUNCED),
        save=output.dispatcher.save_state,
    )
    output.client.listen_cleared(discovery.cleared)
    announcer = Announcer(
        discovery=discovery,
        restate=output.dispatcher.restate,
        states=(detection.snoozes.announce, output.last_alerts.announce),
        store=store,
        api=store.config.api,
        towards_broker=lambda: output.client.status().local_address,
    )
    output.client.listen_connected(announcer.connected)
    return announcer


def _subscribe_commands(store: ConfigStore, output: Output, detection: Detection, commands: MqttCommands) -> None:
    for topic_filter, handler in commands.handlers():
        output.client.subscribe(topic_filter, handler)
    output.client.subscribe_retained(Topics(store.config.mqtt.topic_prefix).alarm_set, commands.on_retained_alarm)
    PresenceTopics(config=store.config, arming=detection.arming).subscribe(output.client)
    output.client.listen_connected(detection.arming.connected)


def _reloader(
    store: ConfigStore, output: Output, detection: Detection, monitoring: Monitoring, announcer: Announcer
) -> ConfigReloader:
    def remove_camera(name: str) -> None:
        detection.loop.remove(name)
        detection.snoozes.forget(name)
        output.last_alerts.forget(name)
        output.dispatcher.forget_camera(name)
        if output.frigate is not None:
            output.frigate.forget(name)

    def announce() -> None:
        announcer.announce()
        if output.frigate is not None:
            output.frigate.announce()

    return ConfigReloader(
        store=store,
        model=detection.model,
        autotune=detection.autotune,
        alarm=detection.alarm,
        arming=detection.arming,
        cameras=detection.cameras,
        switches=detection.switches,
        status=monitoring.camera_status,
        remove_camera=remove_camera,
        announce=announce,
    )


def _links(config: Config, clock: Clock) -> LinkSigner | None:
    if not config.api.enabled or not config.api.snapshot_url_s:
        return None
    return LinkSigner(load_key(config.data_dir), lifetime_s=config.api.snapshot_url_s, clock=clock)


def _output(
    store: ConfigStore,
    storage: Storage,
    links: LinkSigner | None,
    clips: Clips,
    clock: Clock,
    clock_sync: ClockSync,
    closing: ExitStack,
) -> Output:
    config, latencies = store.config, Latencies()
    mqtt, topics, password = config.mqtt, Topics(config.mqtt.topic_prefix), config_file.mqtt_password(config)
    public = (config.api.public_url or "").rstrip("/")
    broker = None
    if mqtt.broker == "embedded":
        broker = EmbeddedBroker(
            host=mqtt.embedded.host, port=mqtt.embedded.port, username=mqtt.username, password=password
        )
        closing.callback(broker.close)
        broker.bind()  # so that the client knows the port
    settings = settings_of(config, password=password, embedded_port=broker.port if broker else None)
    if broker is not None:
        broker.reserve(settings.client_id)
    client = MqttClient(
        settings=settings,
        will=Message(topic=topics.available, payload=b"offline", qos=1, retain=True),
        clock=clock,
    )

    def sign(path: str) -> str | None:
        return None if links is None else f"{public}{links.sign(path)}"

    def clip_exists(path: str) -> bool:
        return storage.clip_folder.has(path.split("/")[-2])

    notifier = make_notifications(
        config, storage, sign=sign, clip_exists=clip_exists, clock=clock, clock_sync=clock_sync, closing=closing
    )
    dispatcher = Dispatcher(
        outbox=storage.outbox,
        history=storage.history_writer,
        link=client,
        topics=topics,
        device=config.device.id,
        encode_snapshot=_snapshot,
        snapshot_url=sign,
        snapshot_width=mqtt.snapshot_width,
        request_clip=clips.request,
        clip_exists=clip_exists,
        notify=notifier.alert,
        clock=clock,
        clock_synced=clock_sync.is_synced,
        on_delivered=latencies.alert,
    )
    slo = AlertSlo(
        goal_ms=lambda: store.config.slo.alert_goal_ms,
        saved=storage.outbox.get_state(SLO_STATE),
        clock=clock,
        save=dispatcher.save_state,
        publish=partial(dispatcher.retain, topics.slo),
    )
    latencies.on_alert = slo.observe
    clips.recorder.listen(dispatcher.clip)
    last_alerts = LastAlerts(
        topics=topics, saved=storage.outbox.get_state(LAST_ALERTS), save=dispatcher.save_state, send=dispatcher.send
    )
    dispatcher.listen_alerts(last_alerts.note)
    return Output(
        broker=broker,
        client=client,
        dispatcher=dispatcher,
        latencies=latencies,
        slo=slo,
        clips=clips,
        notifier=notifier,
        last_alerts=last_alerts,
        frigate=FrigateTopics(sink=dispatcher, config=lambda: store.config) if mqtt.speaks_frigate else None,
    )


def _detection(
    config: Config,
    resolved: Resolved,
    storage: Storage,
    output: Output,
    recorders: Recorders,
    clock: Clock,
    clock_sync: ClockSync,
) -> Detection:
    autotune, idle, frames = AutotuneStatus(), IdleCameras(), LatestFrames(clock=clock)
    load = AutotunedLoader(config.model, resolved, scenes=tuple(scenes_of(config)), on_change=autotune.chose)
    autotune.chose(load.choice)
    model = ModelHost(load=load, clock=clock)

    def alarm_changed(state: AlarmState, snapshot: Mapping[str, object]) -> None:
        output.dispatcher.alarm_state(state)
        output.dispatcher.save_state(ALARM_STATE, snapshot)

    alarm = AlarmController(
        settings=config.alarm,
        saved=storage.outbox.get_state(ALARM_STATE),
        clock=clock,
        send=(output.frigate or output.dispatcher).alert,
        on_change=alarm_changed,
    )
    snoozes = Snoozes(
        topics=Topics(config.mqtt.topic_prefix),
        saved=storage.outbox.get_state(SNOOZE_STATE),
        save=output.dispatcher.save_state,
        send=output.dispatcher.send,
        clock=clock,
    )
    probes = ModelProbes()
    arming = ArmingController(
        alarm=alarm,
        config=config,
        saved=storage.outbox.get_state(ARMING_STATE),
        clock=clock,
        clock_synced=clock_sync.is_synced,
        save=output.dispatcher.save_state,
        publish=partial(output.dispatcher.retain, Topics(config.mqtt.topic_prefix).alarm_attributes),
    )
    loop = InferenceLoop(
        probes=probes,
        frames=frames,
        model=model,
        alarm=alarm,
        findings=output.frigate or output.dispatcher,
        clock=clock,
        device_id=config.device.id,
        idle=idle,
        memory=CameraMemory(
            saved=storage.outbox.get_state(MEMORY_STATE), cameras=config.cameras, save=output.dispatcher.save_state
        ),
        is_snoozed=snoozes.is_snoozed,
        latencies=output.latencies,
    )
    return Detection(
        frames=frames,
        cameras=Cameras(frames=frames, clock=clock, on_state=_log_camera, idle=idle, recorders=recorders),
        model=model,
        loop=loop,
        alarm=alarm,
        arming=arming,
        switches=CameraSwitches(
            saved=storage.outbox.get_state(DETECT_STATE),
            channels=loop,
            save=output.dispatcher.save_state,
            publish=output.dispatcher.detect_state,
        ),
        snoozes=snoozes,
        autotune=autotune,
        probes=probes,
    )


def _log_camera(name: str, state: CameraState, _reason: str | None) -> None:
    if state == "online":  # the capture loop itself logs trouble
        log.info("camera %s is online", name)


def _snapshot(frame: Frame, box: Box, score: float, max_width: int | None) -> bytes | None:
    if isinstance(frame.image, LostImage):
        return None  # held over a restart: a black picture would take the place of a real one
    return encode_jpeg(frame.image, [Label(box=box, text=f"person {score:.2f}")], max_width=max_width)
