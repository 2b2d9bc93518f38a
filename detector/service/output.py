"""The way of an event or alert out of the service, made from the configuration."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from detector.alerts.dispatcher import Dispatcher
from detector.alerts.last_alerts import LAST_ALERTS, LastAlerts
from detector.alerts.notify.notifications import Notifications
from detector.alerts.topics import Topics
from detector.analytics.alert_codec import LostImage
from detector.config import document as config_file
from detector.core.clock import Clock
from detector.core.clock_sync import ClockSync
from detector.core.jpeg import Label, encode_jpeg
from detector.core.link_signer import LinkSigner
from detector.core.types import Box, Frame, Message
from detector.mqtt.broker.server import EmbeddedBroker
from detector.mqtt.client import MqttClient, settings_of

from .clips import Clips
from .config_store import ConfigStore
from .frigate_topics import FrigateTopics
from .latencies import Latencies
from .notifications import make_notifications
from .slo import SLO_STATE, AlertSlo
from .storage import Storage


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


def make_output(
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


def _snapshot(frame: Frame, box: Box, score: float, max_width: int | None) -> bytes | None:
    if isinstance(frame.image, LostImage):
        return None  # held over a restart: a black picture would take the place of a real one
    return encode_jpeg(frame.image, [Label(box=box, text=f"person {score:.2f}")], max_width=max_width)
