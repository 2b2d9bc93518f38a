"""Everything that a running service consists of, made from its configuration; nothing runs yet."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass

from detector.alerts.discovery import ANNOUNCED, Discovery
from detector.alerts.snapshot_files import Snapshots
from detector.alerts.topics import Topics
from detector.config.schema import Config
from detector.core.clock import Clock
from detector.core.clock_sync import ClockSync
from detector.core.link_signer import LinkSigner, load_key
from detector.models.registry import Resolved

from .alarm_code import AlarmCode
from .announcer import Announcer
from .api_thread import ApiThread
from .autotuner import Autotuner
from .clips import make_clips, make_recorders
from .config_store import ConfigStore
from .control import ServiceControl
from .detection import Detection, make_detection
from .engine_upgrade import EngineUpgrade
from .frigate_commands import FrigateCommands
from .frigate_topics import retained_topics
from .monitoring import Monitoring, make_monitoring
from .mqtt_commands import Handler, MqttCommands
from .output import Output, make_output
from .presence_topics import PresenceTopics
from .refused_commands import RefusedCommands
from .reload import ConfigReloader
from .storage import Storage, open_storage
from .suppressions import Suppressions


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
    output = make_output(store, storage, links, clips, clock, clock_sync, closing)
    detection = make_detection(config, resolved, storage, output, recorders, clock, clock_sync)
    closing.callback(detection.frames.close)
    refused, restart = RefusedCommands(clock), threading.Event()
    code = AlarmCode(code=lambda: store.config.alarm.code, clock=clock)
    monitoring = make_monitoring(store, storage, output, detection, refused, clock, clock_sync)
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
    handlers = commands.handlers()
    if output.frigate is not None:
        handlers += FrigateCommands(
            config=lambda: store.config,
            topics=output.frigate,
            snoozes=detection.snoozes,
            restart=restart,
            refused=refused,
        ).handlers()
    _subscribe_commands(store, output, detection, handlers, commands.on_retained_alarm, refused)
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
        figures=monitoring.figures,
        latencies=output.latencies,
        clock=clock,
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


def _announcer(store: ConfigStore, storage: Storage, output: Output, detection: Detection) -> Announcer:
    discovery = Discovery(
        topics=Topics(store.config.mqtt.topic_prefix),
        send=output.dispatcher.send,
        saved=storage.outbox.get_state(ANNOUNCED),
        save=output.dispatcher.save_state,
        further=retained_topics,
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


def _subscribe_commands(
    store: ConfigStore,
    output: Output,
    detection: Detection,
    handlers: list[tuple[str, Handler]],
    retained_alarm: Handler,
    refused: RefusedCommands,
) -> None:
    for topic_filter, handler in handlers:
        output.client.subscribe(topic_filter, handler)
    output.client.subscribe_retained(Topics(store.config.mqtt.topic_prefix).alarm_set, retained_alarm)
    PresenceTopics(config=store.config, arming=detection.arming, refused=refused).subscribe(output.client)
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
        use_curves=detection.loop.use_curves,
    )


def _links(config: Config, clock: Clock) -> LinkSigner | None:
    if not config.api.enabled or not config.api.snapshot_url_s:
        return None
    return LinkSigner(load_key(config.data_dir), lifetime_s=config.api.snapshot_url_s, clock=clock)
