"""The configuration's shape: what keys there are, what they may hold, what they default to.

Pure validation; `document` reads, writes and masks files. Every model rejects unknown keys; secrets
are `SecretStr`, with stars as their repr.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, SecretStr, model_validator

from detector.core.redact import shown_source

from .arming import AlarmSchedule, ArmedState, Presence, SiteLocation
from .clip_settings import ClipSettings
from .model_settings import Model
from .monitoring import LogSettings, SloSettings
from .mqtt_settings import Mqtt
from .notify_settings import NotifyTarget
from .power_settings import PowerSettings
from .retention import HistorySettings
from .section import ConfigSection
from .self_test_settings import SelfTestSettings
from .source_kind import SourceKind, source_kind
from .value_types import (
    FilePath,
    HostName,
    Identifier,
    Network,
    Origin,
    Polygon,
    Seconds,
    Secret,
    Text,
    Unit,
    WebUrl,
    printable_secret,
)


def default_device_id() -> str:
    """The host name, made to fit the identifier's alphabet."""
    name = re.sub(r"[^a-z0-9_-]+", "-", socket.gethostname().split(".")[0].lower()).strip("-")
    return name[:32] or "detector"


class Device(ConfigSection):
    id: Identifier = Field(default_factory=default_device_id)
    name: Text | None = Field(default=None, min_length=1, max_length=64)

    @property
    def title(self) -> str:
        return self.name or self.id


IdleDecode = Literal["all", "keyframes"]


class MotionSettings(ConfigSection):
    enabled: bool = True
    threshold: float | None = Field(
        default=None,
        gt=0.0,
        le=255.0,
        description="smallest change of a pixel that counts, grey levels; null: it follows the picture's noise",
    )
    min_area: float = Field(
        default=0.0001, ge=0.0, le=1.0, description="smallest share of the picture that must change"
    )
    hold_s: Seconds = Field(default=2.0, description="detection continues for so many seconds after the last motion")
    recheck_s: float = Field(
        default=1.0,
        gt=0.0,
        le=3600.0,
        description="seconds between detections while people are there but nothing moves",
    )
    idle_recheck_s: float = Field(
        default=5.0,
        gt=0.0,
        le=3600.0,
        description="seconds between detections while no people are there and nothing moves",
    )
    idle_decode: IdleDecode = Field(
        default="all", description="RTSP only: which pictures are decoded while the camera is idle"
    )
    idle_after_s: float = Field(
        default=10.0, gt=0.0, le=3600.0, description="idle after so many seconds without motion and people"
    )
    crops_per_s: float = Field(
        default=5.0,
        ge=0.0,
        le=100.0,
        description="at most so many crops of small moving things are enlarged and detected per second; 0: none",
    )

    @model_validator(mode="after")
    def _idle_is_known(self) -> MotionSettings:
        if self.idle_decode == "keyframes" and not self.enabled:
            raise ValueError(
                "idle_decode: keyframes needs enabled: true: without the motion gate it is unknown when the camera is idle"
            )
        return self


class CooldownSettings(ConfigSection):
    per: Literal["camera", "zone", "person"] = Field(
        default="camera", description="what has a cooldown of its own: the camera, each zone, or each person"
    )


class AlertSettings(ConfigSection):
    min_score: Unit = 0.5
    min_frames: int = Field(default=3, ge=1, le=100)
    confirm: Literal["frames", "evidence"] = Field(
        default="frames",
        description="frames: a person is confirmed by min_frames detections of min_score; evidence: by the sum of what "
        "the scores of all detections tell, where min_score and min_frames are floors if they are set",
    )
    zones: tuple[str, ...] = ()
    cooldown_s: Seconds = 30.0
    cooldown: CooldownSettings = CooldownSettings()
    loiter_s: Seconds = Field(
        default=0.0, description="alert only of people who stay in the alert zones for so many seconds"
    )
    repeat_s: Seconds = Field(
        default=0.0, description="a reminder every so many seconds while the person stays; 0: none"
    )
    min_area: float = Field(
        default=0.00002, ge=0.0, le=1.0, description="smallest share of the picture that a person covers"
    )
    max_area: float = Field(
        default=1.0, gt=0.0, le=1.0, description="largest share of the picture that a person covers"
    )
    still_days: float = Field(
        default=7.0,
        ge=0.0,
        le=3650.0,
        description="days for which a place is remembered where something alerted and never moved; 0: none is",
    )
    suppress_days: float = Field(
        default=30.0,
        ge=1.0,
        le=3650.0,
        description="days for which a place is remembered that was marked as nobody, after it was last seen",
    )
    armed: tuple[ArmedState, ...] = Field(default=get_args(ArmedState), min_length=1)

    @property
    def least_score(self) -> float:
        """The score that each detection needs by itself; 0 where the evidence decides and none was set."""
        return 0.0 if self.confirm == "evidence" and "min_score" not in self.model_fields_set else self.min_score

    @property
    def least_frames(self) -> int:
        """The detections that a person needs; 1 where the evidence decides and none were set."""
        return 1 if self.confirm == "evidence" and "min_frames" not in self.model_fields_set else self.min_frames

    @model_validator(mode="after")
    def _areas_in_order(self) -> AlertSettings:
        if self.min_area >= self.max_area:
            raise ValueError("min_area must be smaller than max_area")
        return self


def _source(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value().strip():
        raise ValueError("must not be empty")
    printable_secret(secret)
    source_kind(secret.get_secret_value())
    return secret


def _record_source(secret: SecretStr) -> SecretStr:
    if source_kind(_source(secret).get_secret_value()) not in ("rtsp", "http", "file"):
        raise ValueError("only rtsp(s)://, http(s):// or a file gives a coded stream that can be recorded as it is")
    return secret


class TamperSettings(ConfigSection):
    enabled: bool | None = Field(
        default=None, description="whether a covered, turned or frozen camera is noticed; null: yes, but for files"
    )
    frozen_s: float = Field(
        default=8.0,
        ge=6.0,
        le=3600.0,
        description="seconds for which a picture may stay the same to the last pixel; raise it for a camera that "
        "sends key frames seldom",
    )


class Camera(ConfigSection):
    source: Annotated[SecretStr, AfterValidator(_source)]
    record_source: Annotated[SecretStr, AfterValidator(_record_source)] | None = Field(
        default=None,
        description="a second stream of the camera for clips, such as its main one: connected always, decoded never",
    )
    enabled: bool = True
    detect_fps: float = Field(default=10.0, gt=0.0, le=120.0, description="at most so many detections per second")
    burst_fps: float | None = Field(
        default=None,
        gt=0.0,
        le=240.0,
        description="at most so many for up to 1 s while somebody is seen who is not confirmed yet; null: twice as many "
        "where detect_fps is not set, else no more than detect_fps",
    )
    loop: bool = Field(default=False, description="files only: start again at the end of the file")
    timeout_s: float = Field(
        default=5.0, ge=0.5, le=120.0, description="seconds after which an open or a read counts as failed"
    )
    transport: Literal["tcp", "udp"] = Field(
        default="tcp", description="RTSP only: udp for a camera that offers nothing else; lost packets smear pictures"
    )
    motion: MotionSettings = MotionSettings()
    tamper: TamperSettings = TamperSettings()
    zones: dict[Identifier, Polygon] = Field(default_factory=dict)
    masks: tuple[Polygon, ...] = ()
    alert: AlertSettings = AlertSettings()
    clip: ClipSettings = ClipSettings()

    @property
    def kind(self) -> SourceKind:
        return source_kind(self.source.get_secret_value())

    @property
    def burst_factor(self) -> float:
        """How many times `detect_fps` is looked while somebody is seen who is not confirmed yet; 1: no more often."""
        if self.burst_fps is None:
            return 1.0 if "detect_fps" in self.model_fields_set else 2.0
        return max(1.0, self.burst_fps / self.detect_fps)

    @property
    def notices_tamper(self) -> bool:
        """Whether it is watched for a view that is gone; nobody covers a file."""
        return self.kind != "file" if self.tamper.enabled is None else self.tamper.enabled

    @property
    def shown_source(self) -> str:
        """The source without its credentials."""
        return shown_source(self.source.get_secret_value())

    @model_validator(mode="after")
    def _consistent(self) -> Camera:
        unknown = sorted(set(self.alert.zones) - set(self.zones))
        if unknown:
            known = ", ".join(sorted(self.zones)) or "none"
            raise ValueError(f"alert.zones names {', '.join(unknown)}; this camera's zones: {known}")
        if self.loop and self.kind != "file":
            raise ValueError("loop is for files only")
        if self.transport == "udp" and not self.source.get_secret_value().strip().lower().startswith("rtsp://"):
            raise ValueError("transport: udp is for rtsp:// cameras only")
        if self.transport == "udp" and self.motion.idle_decode == "keyframes":
            raise ValueError("motion.idle_decode: keyframes needs transport: tcp: over UDP all pictures are decoded")
        if self.motion.idle_decode == "keyframes" and self.kind != "rtsp":
            raise ValueError("motion.idle_decode: keyframes is for RTSP cameras only")
        return self


class AlarmSettings(ConfigSection):
    initial: ArmedState | Literal["disarmed"] = "armed_away"
    code: Secret | None = Field(
        default=None, min_length=4, max_length=64, description="what disarms over MQTT and HTTP; null: no code"
    )
    exit_delay_s: Seconds = 0.0
    entry_delay_s: Seconds = 0.0
    trigger_s: Seconds = Field(
        default=120.0, description="seconds without intrusion after which triggered returns to armed"
    )


class Api(ConfigSection):
    enabled: bool = True
    host: HostName = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535, description="0: any free port")
    token: Secret | None = None
    public_url: WebUrl | None = Field(default=None, description="the page's address as people reach it, for links")
    snapshot_url_s: int = Field(
        default=3600,
        ge=0,
        le=7 * 86_400,
        description="seconds that the signed address of an alert's picture (snapshot_url) is valid; 0: alerts have none",
    )
    frame_ancestors: tuple[Origin, ...] = Field(
        default=(),
        max_length=16,
        description="origins whose pages may show this one in a frame, such as http://ha:8123",
    )
    trusted_proxies: tuple[Network, ...] = Field(
        default=(),
        max_length=16,
        description="addresses or networks of proxies, besides this machine, whose X-Forwarded-Prefix, -Host, -Proto "
        "and X-Ingress-Path count",
    )
    allowed_sources: tuple[Text, ...] = Field(
        default=(), description="in the file alone: more sources that may be set over HTTP; * stands for any text"
    )

    @model_validator(mode="after")
    def _guarded(self) -> Api:
        if self.token is not None and len(self.token.get_secret_value()) < 8:
            raise ValueError("token is too short: use at least 8 characters")
        if self.token is None and self.host not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError(f"a token is required to bind {self.host}: set api.token or use 127.0.0.1")
        return self


class Config(ConfigSection):
    """The whole configuration."""

    device: Device = Field(default_factory=Device)
    model: Model = Model()
    cameras: dict[Identifier, Camera] = Field(min_length=1, max_length=64)
    mqtt: Mqtt = Mqtt()
    alarm: AlarmSettings = AlarmSettings()
    presence: Presence = Presence()
    schedules: dict[Identifier, AlarmSchedule] = Field(default_factory=dict, max_length=64)
    location: SiteLocation = SiteLocation()
    api: Api = Api()
    history: HistorySettings = HistorySettings()
    notify: tuple[NotifyTarget, ...] = Field(default=(), max_length=32)
    slo: SloSettings = SloSettings()
    log: LogSettings = LogSettings()
    self_test: SelfTestSettings = SelfTestSettings()
    power: PowerSettings = PowerSettings()
    data_dir: FilePath = Path("data")

    @model_validator(mode="after")
    def _targets_fit(self) -> Config:
        names = [target.name for target in self.notify]
        for number, target in enumerate(self.notify):
            if target.name in names[:number]:
                raise ValueError(f"notify: two targets are named {target.name}: give each a name of its own")
            if unknown := sorted(set(target.cameras) - set(self.cameras)):
                known = ", ".join(sorted(self.cameras))
                raise ValueError(f"notify: {target.name} names the cameras {', '.join(unknown)}; there are {known}")
        return self

    @model_validator(mode="after")
    def _ports_differ(self) -> Config:
        embedded = self.mqtt.embedded
        same = self.api.port == embedded.port and self.api.port != 0
        if same and self.api.enabled and self.mqtt.broker == "embedded" and _overlap(self.api.host, embedded.host):
            raise ValueError(f"api.port and mqtt.embedded.port are both {embedded.port}: give them different ports")
        return self

    @model_validator(mode="after")
    def _sun_has_a_place(self) -> Config:
        needy = [name for name, schedule in self.schedules.items() if schedule.enabled and schedule.needs_sun]
        if needy and self.location.latitude is None:
            raise ValueError(
                f"schedules.{needy[0]} names sunrise or sunset: set location.latitude and location.longitude"
            )
        return self


def _overlap(a: str, b: str) -> bool:
    return a == b or {a, b} & {"0.0.0.0", "::"} != set() or {a, b} <= {"127.0.0.1", "localhost", "::1"}  # noqa: S104 - compared, not bound
