"""Tries what a config names: each camera, the model, the broker; says what works and what does not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from detector.alerts.notify.notifications import make_target, try_target
from detector.alerts.payloads import timestamp
from detector.capture.factory import make_source
from detector.capture.source import Noting, WaitingError, read_patiently
from detector.config import document
from detector.config.notify_settings import NotifyTarget
from detector.config.schema import Camera, Config
from detector.core.addresses import bind_fault
from detector.core.errors import ConfigError, DetectorError, SourceError
from detector.core.redact import redact
from detector.models.autotune.choice import scenes_of
from detector.models.autotune.loader import AutotunedLoader
from detector.models.loading import resolve
from detector.models.probe import NOT_PROBED
from detector.mqtt.broker.server import EmbeddedBroker
from detector.mqtt.client import probe, settings_of

from .data_dir import locked_data_dir

BROKER_S = 5.0
PICTURE_S = 30.0  # a camera that sends, but no picture, is waited for so long


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was tried: `detail` says what was found, or what is wrong and what to do."""

    what: str
    ok: bool
    detail: str


def _tried(what: str, attempt: Callable[[], str]) -> Finding:
    try:
        return Finding(what=what, ok=True, detail=attempt())
    except DetectorError as error:
        return Finding(what=what, ok=False, detail=redact(str(error)))


def _camera(settings: Camera) -> str:
    if not settings.enabled:
        return "disabled"
    source = make_source(settings, stop=threading.Event())
    begun = time.monotonic()
    try:
        source.open()
        image = read_patiently(source, patience_s=PICTURE_S).image
        notes = source.notes if isinstance(source, Noting) else ()
    except WaitingError as error:
        raise SourceError(
            f"{settings.shown_source}: {error}; none came within {time.monotonic() - begun:.0f} s: shorten the camera's "
            "key frame interval, or switch off its H.264+ / H.265+ (the service itself goes on waiting)"
        ) from None
    finally:
        source.close()
    found = (
        f"{image.width}x{image.height}, first frame after {time.monotonic() - begun:.1f} s ({settings.shown_source})"
    )
    return "; ".join((found, *notes))


def _model(config: Config) -> str:
    load = AutotunedLoader(config.model, resolve(config.model), scenes=tuple(scenes_of(config)))
    detector = load()
    try:
        ms = min(detector.warm_up() for _ in range(3))
        skipped = NOT_PROBED if config.model.probe else "not tried on a person: model.probe is false"
        seen = skipped if load.seen is None else load.seen.words
        told = [f"{detector.model_name} on {detector.backend} {detector.precision}: {ms:.1f} ms a frame", seen]
        return "; ".join([*told, *filter(None, [detector.layout.note])])
    finally:
        detector.close()


def _broker(config: Config) -> str:
    password = document.mqtt_password(config)
    if config.mqtt.broker != "embedded":
        settings = settings_of(config, password=password)
        probe(settings, timeout=BROKER_S)
        return f"{settings.address} accepts us"
    embedded = config.mqtt.embedded
    broker = EmbeddedBroker(host=embedded.host, port=embedded.port, username=config.mqtt.username, password=password)
    stop = threading.Event()
    stop.set()  # starting is all that can go wrong
    broker.run(stop)
    broker.wait_started(BROKER_S)
    return f"embedded, on {embedded.host} port {broker.port}"


def _api(config: Config) -> str:
    fault = bind_fault(config.api.host, config.api.port)
    if fault is not None:
        raise ConfigError(fault, key="api")
    return f"{config.api.host} port {config.api.port} is free"


def _data_dir(config: Config) -> str:
    with locked_data_dir(config.data_dir) as path:
        return f"{path} can be written"


def _notify(target: NotifyTarget, device: str, *, send: bool) -> str:
    if not send:
        make_target(target)
        return "the address is understood; nothing was sent: --notify sends a test"
    try_target(target, device=device, now=timestamp(time.time()))
    return "took a test message"


def check(config: Config, *, notify: bool = False) -> list[Finding]:
    """Every finding, model first; cameras are tried at the same time, since a dark one takes its time-out.

    `notify`: send a test to each notification target; else only their addresses are looked at.
    """
    with ThreadPoolExecutor(max_workers=8, thread_name_prefix="check") as pool:
        cameras = [
            pool.submit(_tried, f"camera {name}", partial(_camera, settings))
            for name, settings in config.cameras.items()
        ]
        broker = pool.submit(_tried, "broker", lambda: _broker(config))
        model = _tried("model", lambda: _model(config))
        rest = [_tried("data_dir", lambda: _data_dir(config))]
        rest += [
            _tried(f"notify {one.name}", partial(_notify, one, config.device.id, send=notify)) for one in config.notify
        ]
        if config.api.enabled:
            rest.append(_tried("api", lambda: _api(config)))
        return [model, *(future.result() for future in cameras), broker.result(), *rest]
