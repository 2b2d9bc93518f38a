from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector import __version__
from detector.alerts.clips.folder import ClipFolder
from detector.alerts.topics import Topics
from detector.analytics.pipeline import CameraPipeline
from detector.api.control import StaleConfigError, WrongCodeError
from detector.api.scene_documents import ZoneDraft
from detector.capture.latest_frames import LatestFrames
from detector.config import document as config_file
from detector.config.schema import Camera
from detector.core.errors import ConfigError, InferenceError
from detector.core.types import ArrayImage, BoxReason, Frame
from detector.inference.multi_size import AnyDetector
from detector.models.autotune.status import AutotuneStatus
from detector.service.alarm_code import AlarmCode
from detector.service.camera_switches import CameraSwitches
from detector.service.control import ServiceControl
from detector.service.figure_history import FigureHistory
from detector.service.health import HealthMonitor
from detector.service.inference_loop import CameraChannel
from detector.service.live_view import LiveScene
from detector.service.model_host import ModelHost
from detector.service.overload import LoadMeter
from detector.service.refused_commands import RefusedCommands
from detector.service.snooze import Snoozes
from detector.service.status import StatusReporter, version_on_disk
from support.service import BrokerState, CaptureFigures, OutboxState, make_arming, make_store
from support.suppressing import Suppressing
from support.visits import WALL, StillClock

SECRET = {"cameras": {"porch": {"source": "rtsp://cam:hunter22@10.0.0.4/live"}}}


def _no_model() -> AnyDetector:
    raise InferenceError("no model in this test")


@dataclass
class Controlled:
    """The API's view over real parts; visits, switches and the change of a config are recorded."""

    folder: Path
    document: dict[str, Any] = field(default_factory=lambda: SECRET)
    applied: list[config_file.Document] = field(default_factory=list)
    switched: list[tuple[str, bool]] = field(default_factory=list)
    asked: list[tuple[object, ...]] = field(default_factory=list)
    visits: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        clock = StillClock(mono=100.0)
        self.suppressing = Suppressing(self.folder)
        store, cameras, broker, outbox = make_store(self.document), CaptureFigures(), BrokerState(), OutboxState()
        model = ModelHost(load=_no_model, clock=clock)
        self.frames = LatestFrames(clock=clock)
        self.frames.add("porch", 10.0)
        self.alarm = make_arming(clock)
        self.snoozes = Snoozes(
            topics=Topics("p"), saved=None, save=lambda _n, _d: None, send=lambda _m: None, clock=clock
        )
        health = HealthMonitor(
            threads=lambda: (),
            cameras=cameras.stats,
            model=model,
            broker=broker,
            outbox=outbox,
            load=LoadMeter(),
            store=store,
            clock=clock,
        )
        settings = store.config.cameras["porch"]
        self.channel = CameraChannel(
            name="porch", pipeline=CameraPipeline(name="porch", settings=settings, device_id="t")
        )
        status = StatusReporter(
            store=store,
            health=health,
            cameras=cameras.stats,
            frames=self.frames,
            channel=self._find,
            model=model,
            autotune=AutotuneStatus(),
            broker=broker,
            outbox=outbox,
            alarm=self.alarm,
            snoozes=self.snoozes,
            refused=RefusedCommands(clock),
            clock=clock,
        )
        self.figures = FigureHistory(status=status.write, clock=clock)
        self.control = ServiceControl(
            store=store,
            health=health,
            status=status,
            history=self,
            channel=self._find,
            alarm=self.alarm,
            code=AlarmCode(code=lambda: store.config.alarm.code, clock=clock),
            switches=CameraSwitches(saved=None, channels=self, save=lambda _n, _d: None, publish=lambda _c, _on: None),
            apply=self._apply,
            clips=ClipFolder(Path("clips")),
            suppressions=self.suppressing.suppressions,
            figures=self.figures,
            clock=clock,
        )

    def _find(self, name: str) -> CameraChannel | None:
        return self.channel if name == "porch" else None

    def _apply(self, document: config_file.Document) -> list[str]:
        self.applied.append(document)
        return ["mqtt"]

    def add(self, name: str, settings: Camera, *, enabled: bool) -> None: ...

    def remove(self, name: str) -> None: ...

    def switch(self, name: str, *, enabled: bool) -> None:
        self.switched.append((name, enabled))

    def events(
        self,
        camera: str | None = None,
        after: float | str | None = None,
        limit: int = 50,
        *,
        before: float | str | None = None,
        zone: str | None = None,
        alerted: bool | None = None,
        whole: bool = False,
    ) -> list[dict[str, Any]]:
        self.asked.append((camera, after, limit, before, zone, alerted, whole))
        return self.visits

    def delete(self, event_id: str) -> bool:
        return event_id == "7"

    def event(self, event_id: str) -> dict[str, Any] | None:
        return {"id": event_id}

    def snapshot(self, _event_id: str) -> bytes | None:
        return b"jpeg"


@pytest.fixture
def service(tmp_path: Path) -> Controlled:
    return Controlled(tmp_path)


def test_the_config_is_shown_without_its_secrets(service: Controlled) -> None:
    document, etag = service.control.config_document()
    assert "hunter22" not in str(document)
    assert etag.startswith('"')


def test_a_change_keeps_what_it_shows_masked(service: Controlled) -> None:
    shown, etag = service.control.config_document()
    shown["cameras"]["porch"]["detect_fps"] = 5
    *_, restart = service.control.replace_config(shown, etag)
    assert service.applied[0]["cameras"]["porch"]["source"] == SECRET["cameras"]["porch"]["source"]
    assert restart == ["mqtt"]


def test_a_change_of_something_older_is_refused(service: Controlled) -> None:
    shown, _ = service.control.config_document()
    with pytest.raises(StaleConfigError):
        service.control.replace_config(shown, '"older"')
    assert service.applied == []


def test_a_second_change_meanwhile_is_refused_and_nobody_waits(service: Controlled) -> None:
    begun, finish = threading.Event(), threading.Event()

    def slow(document: config_file.Document) -> list[str]:
        service.applied.append(document)
        begun.set()
        assert finish.wait(20)
        return []

    service.control._apply = slow
    shown, etag = service.control.config_document()
    first = threading.Thread(target=service.control.replace_config, args=(shown, etag))
    first.start()
    assert begun.wait(20)
    with pytest.raises(StaleConfigError):
        service.control.replace_config(shown, etag)
    assert service.control.config_document()[1] == etag, "who reads does not wait either"
    finish.set()
    first.join(20)
    assert len(service.applied) == 1


def test_history_is_asked_as_the_route_asks(service: Controlled) -> None:
    service.visits = [{"id": "1"}]
    assert service.control.events("porch", 3.0, 20, before="9", zone="garden", alerted=True) == [{"id": "1"}]
    assert service.asked == [("porch", 3.0, 20, "9", "garden", True, False)]
    assert (service.control.delete_event("7"), service.control.delete_event("8")) == (True, False)
    assert (service.control.event("7"), service.control.snapshot("7")) == ({"id": "7"}, b"jpeg")


def test_the_newest_picture_comes_with_its_number(service: Controlled) -> None:
    assert service.control.latest_jpeg("porch", boxes=True, max_width=None) is None
    assert service.control.latest_jpeg("attic", boxes=True, max_width=None) is None
    image = ArrayImage(np.full((48, 64, 3), 90, np.uint8))
    frame = Frame(camera="porch", seq=7, captured_mono=1.0, captured_wall=1.0, image=image)
    service.channel.view.show(LiveScene(frame=frame, people=(), moving=False))
    picture = service.control.latest_jpeg("porch", boxes=True, max_width=None)
    assert picture is not None
    assert (picture[0], picture[1][:2]) == (7, b"\xff\xd8")


def test_the_scene_holds_each_box_its_reason_and_the_zones(service: Controlled) -> None:
    assert service.control.scene("porch") is None
    frame = Frame(
        camera="porch", seq=7, captured_mono=98.5, captured_wall=1.0, image=ArrayImage(np.zeros((50, 100, 3), np.uint8))
    )
    seen = BoxReason(track_id=4, box=(10.0, 20.0, 30.0, 45.0), score=0.8765, alerted=False, reason="2 of 3 frames")
    service.channel.view.show(LiveScene(frame=frame, people=(), moving=True, reasons=(seen,)))
    assert service.control.scene("porch") == {
        "seq": 7, "age_s": 1.5, "width": 100, "height": 50, "moving": True,
        "boxes": [{"track": 4, "box": [0.1, 0.4, 0.3, 0.9], "score": 0.876, "alerted": False, "reason": "2 of 3 frames"}],
        "zones": {}, "masks": [], "alert_zones": [],
        "min_area": 0.00002, "max_area": 1.0,
    }  # fmt: skip


def test_a_draft_of_zones_is_judged_by_the_visits_since(service: Controlled) -> None:
    path = [[0.0, 0.1, 0.2, 0.2, 0.6, 0.9], [1.0, 0.3, 0.2, 0.4, 0.6, 0.9]]
    visit = {"id": "v", "start_time": 5.0, "frame_size": [640, 360], "path": path, "alerts": [], "suppressed": None}
    service.visits = [visit, {**visit, "id": "plant", "suppressed": {"reason": "marked as nobody"}}]
    zone = ((0.3, 0.5), (0.5, 0.5), (0.5, 0.9), (0.3, 0.9))
    draft = ZoneDraft(zones={"bed": zone}, alert_zones=("bed",), after=3.0)
    found = service.control.preview_zones("porch", draft)
    assert service.asked == [("porch", 3.0, 500, None, None, None, True)]
    assert (found["would_alert"], found["alerted"]) == (1, 0)
    assert [(one["id"], one["would_alert"], one["reason"]) for one in found["visits"]] == [
        ("v", True, ""),
        ("plant", False, "suppressed: marked as nobody"),
    ]
    with pytest.raises(ConfigError, match="alert_zones names shed"):
        service.control.preview_zones("porch", ZoneDraft(zones={"bed": zone}, alert_zones=("shed",), after=3.0))


def test_the_figures_of_the_last_hour_and_day(service: Controlled) -> None:
    assert service.control.figures(day=False)["times"] == []
    service.figures.tick()
    found = service.control.figures(day=True)
    assert list(found["series"]) == ["", "porch"]
    assert len(found["times"]) == 1


def test_commands_reach_the_alarm_and_the_switches(service: Controlled) -> None:
    service.control.alarm_command("DISARM", "HTTP from 127.0.0.1", None)
    service.control.detect_switch("porch", False)
    assert (service.alarm.state, service.switched) == ("disarmed", [("porch", False)])
    assert [entry["by"] for entry in service.control.alarm_audit()] == ["HTTP from 127.0.0.1"]
    assert service.control.status()["alarm"]["because"] == "disarmed by HTTP from 127.0.0.1"


def test_a_visit_is_marked_as_nobody_and_that_is_undone(service: Controlled) -> None:
    service.suppressing.visit("1-a")
    made = service.control.suppress("1-a")
    assert service.control.suppressions() == [made]
    assert service.control.suppression_picture("1-a") is not None
    assert service.control.unsuppress("1-a")
    assert service.control.suppressions() == []


def test_the_alarms_code_is_asked_for_and_never_shown(tmp_path: Path) -> None:
    service = Controlled(tmp_path, {**SECRET, "alarm": {"code": "7391"}})
    for wrong in (None, "7390"):
        with pytest.raises(WrongCodeError):
            service.control.alarm_command("DISARM", "HTTP", wrong)
    assert service.alarm.audit.entries() == []
    assert service.control.config_document()[0]["alarm"] == {"code": "***"}
    service.control.alarm_command("DISARM", "HTTP", "7391")
    assert service.alarm.state == "disarmed"


def test_a_snooze_is_seen_in_the_status(service: Controlled) -> None:
    assert service.control.status()["cameras"]["porch"]["snoozed_until"] is None
    service.snoozes.set("porch", 60)
    until = datetime.fromisoformat(service.control.status()["cameras"]["porch"]["snoozed_until"].replace("Z", "+00:00"))
    assert until.timestamp() == int(WALL) + 60


def test_the_version_on_the_disk_is_what_a_restart_would_run(service: Controlled, tmp_path: Path) -> None:
    status = service.control.status()
    assert status["version_on_disk"] == status["version"] == __version__
    (tmp_path / "__init__.py").write_text('"""x"""\n__version__ = "9.8.7"\n', encoding="utf-8")
    assert version_on_disk(tmp_path) == "9.8.7"
    assert version_on_disk(tmp_path / "gone") is None
    (tmp_path / "__init__.py").write_bytes(b"\xff")
    assert version_on_disk(tmp_path) is None


def test_the_status_names_what_is_there(service: Controlled) -> None:
    status = service.control.status()
    assert status["model"]["state"] == "loading"
    assert status["cameras"]["porch"]["state"] == "online"
    assert status["outbox"] == {"pending_alerts": 0, "pending_events": 0, "oldest_s": None, "fault": None}
    assert status["uptime_s"] == 0.0
    assert "hunter22" not in str(status)


def test_a_camera_without_a_channel_is_disabled_in_the_status(tmp_path: Path) -> None:
    service = Controlled(
        tmp_path, {"cameras": {"porch": {"source": "a.mp4"}, "attic": {"source": "b.mp4", "enabled": False}}}
    )
    attic = service.control.status()["cameras"]["attic"]
    assert (attic["state"], attic["frames"]) == ("disabled", None)
    assert attic.keys() >= service.control.status()["cameras"]["porch"].keys() - {"error"}
