"""What looks at the rest of the service, made from the configuration."""

from __future__ import annotations

from dataclasses import dataclass

from detector.core.clock import Clock
from detector.core.clock_sync import ClockSync
from detector.core.device_sensors import DeviceSensors
from detector.core.threads import ThreadGroup
from detector.models.registry import sample_pictures

from .camera_status import CameraStatusPublisher
from .config_store import ConfigStore
from .detection import Detection
from .figure_history import FigureHistory
from .health import HealthMonitor
from .output import Output
from .overload import LoadMeter
from .power_governor import PowerGovernor
from .refused_commands import RefusedCommands
from .self_test import SELF_TEST_STATE, SelfTest
from .status import StatusReporter
from .storage import Storage


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitoring:
    """What looks at the rest."""

    threads: ThreadGroup
    load: LoadMeter
    health: HealthMonitor
    camera_status: CameraStatusPublisher
    status: StatusReporter
    self_test: SelfTest
    governor: PowerGovernor
    figures: FigureHistory


def make_monitoring(
    store: ConfigStore,
    storage: Storage,
    output: Output,
    detection: Detection,
    refused: RefusedCommands,
    clock: Clock,
    clock_sync: ClockSync,
) -> Monitoring:
    threads, load, cameras = ThreadGroup(), LoadMeter(), detection.cameras
    sensors = DeviceSensors(clock=clock.mono)
    governor = PowerGovernor(
        store=store,
        sensors=sensors,
        frames=detection.frames,
        model=detection.model,
        load=load,
        cameras=cameras.stats,
        clock=clock,
    )
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
        more_problems=lambda: (
            *output.clips.problems(),
            *output.notifier.problems(),
            *self_test.problems(),
            *governor.problems(),
        ),
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
        sensors=sensors,
        throttling=governor.throttling,
        more=lambda: {
            "clips": output.clips.document(),
            "notify": output.notifier.document(),
            "slo": output.slo.document(),
            "governor": governor.document(),
        },
    )
    return Monitoring(
        threads=threads,
        load=load,
        health=health,
        camera_status=camera_status,
        status=status,
        self_test=self_test,
        governor=governor,
        figures=FigureHistory(status=status.write, clock=clock),
    )
