"""The way of a frame to an event or alert, made from the configuration."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from detector.alerts.topics import Topics
from detector.capture.idle_cameras import IdleCameras
from detector.capture.latest_frames import LatestFrames
from detector.capture.manager import Cameras
from detector.capture.recording.recorders import Recorders
from detector.config.schema import Config
from detector.core.clock import Clock
from detector.core.clock_sync import ClockSync
from detector.core.types import AlarmState, CameraState
from detector.models.autotune.choice import scenes_of
from detector.models.autotune.loader import AutotunedLoader
from detector.models.autotune.status import AutotuneStatus
from detector.models.registry import Resolved

from .alarm_controller import ALARM_STATE, AlarmController
from .arming import ARMING_STATE, ArmingController
from .camera_memory import MEMORY_STATE, CameraMemory
from .camera_switches import DETECT_STATE, CameraSwitches
from .inference_loop import InferenceLoop
from .model_host import ModelHost
from .model_probes import ModelProbes
from .output import Output
from .snooze import SNOOZE_STATE, Snoozes
from .storage import Storage

log = logging.getLogger(__name__)


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


def make_detection(
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
        listener=None if output.frigate is None else output.frigate.snoozed,
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
        curves=resolved.curves,
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
