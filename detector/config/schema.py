"""The configuration's shape: what keys there are, what they may hold, what they default to.

Pure validation; `document` reads, writes and masks files. Every model rejects unknown keys; secrets
are `SecretStr`, with stars as their repr.
"""

from __future__ import annotations

import math
import re
import socket
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from detector.core.redact import redact_urls

BackendName = Literal["auto", "tensorrt", "onnxruntime", "openvino"]
Precision = Literal["auto", "fp32", "fp16", "int8"]
ArmedState = Literal["armed_away", "armed_home"]
_ID = r"^[a-z0-9_-]{1,32}$"
Identifier = Annotated[str, Field(pattern=_ID)]
Unit = Annotated[float, Field(ge=0.0, le=1.0)]
Point = tuple[Unit, Unit]
Seconds = Annotated[float, Field(ge=0.0, le=86_400.0)]


def _polygon(points: tuple[Point, ...]) -> tuple[Point, ...]:
    if len(points) < 3:
        raise ValueError(f"a polygon needs at least 3 points, this has {len(points)}")
    pairs = zip(points, points[1:] + points[:1], strict=True)
    if math.isclose(sum(a[0] * b[1] - b[0] * a[1] for a, b in pairs), 0.0, abs_tol=1e-9):
        raise ValueError("the polygon has no area: its points lie on one line")
    return points


def _topic(text: str) -> str:
    if not text or any(c in text for c in "+#\0\n\r") or text.startswith(("/", "$")) or text.endswith("/"):
        raise ValueError("must be a plain MQTT topic: no + # or control characters, no / at its ends")
    return text


Polygon = Annotated[tuple[Point, ...], AfterValidator(_polygon)]
Topic = Annotated[str, Field(max_length=128), AfterValidator(_topic)]


class ConfigSection(BaseModel):
    """A part of the configuration: immutable, strict about its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)


def default_device_id() -> str:
    """The host name, made to fit the identifier's alphabet."""
    name = re.sub(r"[^a-z0-9_-]+", "-", socket.gethostname().split(".")[0].lower()).strip("-")
    return name[:32] or "detector"


class Device(ConfigSection):
    id: Identifier = Field(default_factory=default_device_id)
    name: str | None = Field(default=None, min_length=1, max_length=64)

    @property
    def title(self) -> str:
        return self.name or self.id


def _null_is_default(value: Any) -> Any:
    return {} if value is None else value


def _fraction(value: Any) -> Any:
    """`1/255` as well as a number: exact, and as people write it."""
    try:
        return float(Fraction(value)) if isinstance(value, str) else value
    except ZeroDivisionError:
        raise ValueError("a fraction of zero") from None


_Number = Annotated[float, BeforeValidator(_fraction)]
_Positive = Annotated[float, BeforeValidator(_fraction), Field(gt=0.0)]
_Side = Annotated[int, Field(ge=32, le=8192)]


class ModelInput(ConfigSection):
    """How a model that the registry does not know wants its pictures; what is left out is its family's usual."""

    size: _Side | tuple[_Side, _Side] | None = Field(
        default=None, description="width and height in px, of a model that takes any"
    )
    color: Literal["rgb", "bgr"] | None = None
    scale: Annotated[float, BeforeValidator(_fraction), Field(gt=0.0, le=1.0)] | None = Field(
        default=None, description="multiplies pixels of 0..255: 1, or 1/255 for values of 0..1"
    )
    mean: tuple[_Number, _Number, _Number] | None = Field(
        default=None, description="subtracted per channel after scale, in the order of color"
    )
    std: tuple[_Positive, _Positive, _Positive] | None = Field(default=None, description="divides per channel")
    pad: int | None = Field(default=None, ge=0, le=255, description="grey level around the picture")
    placement: Literal["center", "top-left", "stretch"] | None = None


class ModelOutput(ConfigSection):
    """What a model's outputs mean where its shapes and numbers do not tell."""

    layout: str | None = Field(default=None, description="a layout's name, as `detector models inspect` gives it")
    boxes: Literal["xyxy", "cxcywh", "yxyx"] | None = None
    units: Literal["px", "share"] | None = Field(default=None, description="share: 0..1 of the input's sides")
    scores: Literal["none", "sigmoid", "softmax"] | None = Field(
        default=None, description="what turns the scores into 0..1"
    )


class Model(ConfigSection):
    name: str = Field(
        default="yolox-tiny-person", min_length=1, description="a name of the registry, or the path of a model file"
    )
    backend: BackendName = "auto"
    precision: Precision = "auto"
    threads: int = Field(
        default=0, ge=0, le=64, description="CPU threads of the model; 0: chosen for this machine, at most 4"
    )
    person_class: Annotated[int, Field(ge=0, strict=True)] | str | None = Field(
        default=None, description="the person's class by name or number, where the model's own names do not say person"
    )
    input: Annotated[ModelInput, BeforeValidator(_null_is_default)] = ModelInput()
    output: Annotated[ModelOutput, BeforeValidator(_null_is_default)] = ModelOutput()
    probe: bool = Field(
        default=True,
        description="show it a picture with and one without a person before it serves; false: a special model",
    )


IdleDecode = Literal["all", "keyframes"]


class MotionSettings(ConfigSection):
    enabled: bool = True
    threshold: float = Field(
        default=18.0, gt=0.0, le=255.0, description="smallest change of a pixel that counts, grey levels"
    )
    min_area: float = Field(
        default=0.0004, ge=0.0, le=1.0, description="smallest share of the picture that must change"
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
        default=0.0,
        ge=0.0,
        le=100.0,
        description="at most so many crops of small moving things are detected per second; 0: none",
    )

    @model_validator(mode="after")
    def _idle_is_known(self) -> MotionSettings:
        if self.idle_decode == "keyframes" and not self.enabled:
            raise ValueError(
                "idle_decode: keyframes needs enabled: true: without the motion gate it is unknown when the camera is idle"
            )
        return self


class AlertSettings(ConfigSection):
    min_score: Unit = 0.5
    min_frames: int = Field(default=3, ge=1, le=100)
    zones: tuple[str, ...] = ()
    cooldown_s: Seconds = 30.0
    min_area: float = Field(
        default=0.0005, ge=0.0, le=1.0, description="smallest share of the picture that a person covers"
    )
    max_area: float = Field(
        default=1.0, gt=0.0, le=1.0, description="largest share of the picture that a person covers"
    )
    armed: tuple[ArmedState, ...] = Field(default=("armed_away", "armed_home"), min_length=1)

    @model_validator(mode="after")
    def _areas_in_order(self) -> AlertSettings:
        if self.min_area >= self.max_area:
            raise ValueError("min_area must be smaller than max_area")
        return self


SourceKind = Literal["rtsp", "http", "v4l2", "csi", "file", "gstreamer"]


def source_kind(source: str) -> SourceKind:
    """How `source` is opened; raises ValueError that names the known schemes."""
    scheme = source.split(":", 1)[0].lower() if ":" in source else ""
    if scheme in ("rtsp", "rtsps", "http", "https"):
        if not urlsplit(source).hostname:
            raise ValueError("the URL has no host")
        return "rtsp" if scheme.startswith("rtsp") else "http"
    if scheme == "gst":
        return "gstreamer"
    if scheme in ("usb", "csi"):
        if not re.fullmatch(r"(usb|csi)://\d{1,3}", source):
            raise ValueError(f"write {scheme}://N with the camera's number")
        return "v4l2" if scheme == "usb" else "csi"
    if "://" in source and scheme != "file":
        raise ValueError(
            f"unknown scheme {scheme}://; known: rtsp(s)://, http(s)://, usb://N, csi://N, gst:..., a path"
        )
    return "v4l2" if re.fullmatch(r"/dev/video\d+", source) else "file"


def _source(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value().strip():
        raise ValueError("must not be empty")
    source_kind(secret.get_secret_value())
    return secret


class Camera(ConfigSection):
    source: Annotated[SecretStr, AfterValidator(_source)]
    enabled: bool = True
    detect_fps: float = Field(default=10.0, gt=0.0, le=120.0, description="at most so many detections per second")
    loop: bool = Field(default=False, description="files only: start again at the end of the file")
    timeout_s: float = Field(
        default=5.0, ge=0.5, le=120.0, description="seconds after which an open or a read counts as failed"
    )
    motion: MotionSettings = MotionSettings()
    zones: dict[Identifier, Polygon] = Field(default_factory=dict)
    masks: tuple[Polygon, ...] = ()
    alert: AlertSettings = AlertSettings()

    @property
    def kind(self) -> SourceKind:
        return source_kind(self.source.get_secret_value())

    @property
    def shown_source(self) -> str:
        """The source without its credentials."""
        return redact_urls(self.source.get_secret_value())

    @model_validator(mode="after")
    def _consistent(self) -> Camera:
        unknown = sorted(set(self.alert.zones) - set(self.zones))
        if unknown:
            known = ", ".join(sorted(self.zones)) or "none"
            raise ValueError(f"alert.zones names {', '.join(unknown)}; this camera's zones: {known}")
        if self.loop and self.kind != "file":
            raise ValueError("loop is for files only")
        if self.motion.idle_decode == "keyframes" and self.kind != "rtsp":
            raise ValueError("motion.idle_decode: keyframes is for RTSP cameras only")
        return self


def _broker(url: str) -> str:
    if url == "embedded":
        return url
    parts = urlsplit(url)
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
        raise ValueError("write embedded, mqtt://host:1883 or mqtts://host:8883")
    if parts.username or parts.password:
        raise ValueError("put the user and password in mqtt.username and mqtt.password, not in the URL")
    if parts.path not in ("", "/") or parts.query:
        raise ValueError("nothing may follow the host and port")
    _ = parts.port  # raises ValueError on a bad one
    return url


class EmbeddedBrokerSettings(ConfigSection):
    host: str = "127.0.0.1"
    port: int = Field(default=1883, ge=0, le=65535, description="0: any free port")


class Mqtt(ConfigSection):
    broker: Annotated[str, AfterValidator(_broker)] = "embedded"
    embedded: EmbeddedBrokerSettings = EmbeddedBrokerSettings()
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    ca_file: Path | None = Field(
        default=None, description="mqtts: a CA certificate to trust in addition to the system's"
    )
    cert_file: Path | None = None
    key_file: Path | None = None
    client_id: str | None = Field(default=None, min_length=1, max_length=64)
    topic_prefix: Topic = "detector"
    discovery_prefix: Topic | None = "homeassistant"
    keepalive_s: int = Field(default=30, ge=5, le=3600)
    stats_interval_s: float = Field(default=10.0, ge=1.0, le=3600.0)
    snapshot_width: int = Field(
        default=960, ge=0, le=8192, description="largest width of the MQTT snapshots in px; 0: the camera's width"
    )

    @model_validator(mode="after")
    def _credentials(self) -> Mqtt:
        if self.password and self.password_file:
            raise ValueError("give password or password_file, not both")
        if (self.password or self.password_file) and not self.username:
            raise ValueError("a password needs a username")
        if (
            self.broker == "embedded"
            and not self.username
            and self.embedded.host not in ("127.0.0.1", "::1", "localhost")
        ):
            raise ValueError("username and password are required to open the embedded broker to other machines")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        return self


class AlarmSettings(ConfigSection):
    initial: Literal["armed_away", "armed_home", "disarmed"] = "armed_away"
    exit_delay_s: Seconds = 0.0
    entry_delay_s: Seconds = 0.0
    trigger_s: Seconds = Field(
        default=120.0, description="seconds without intrusion after which triggered returns to armed"
    )


class Api(ConfigSection):
    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535, description="0: any free port")
    token: SecretStr | None = None

    @model_validator(mode="after")
    def _guarded(self) -> Api:
        if self.token is not None and len(self.token.get_secret_value()) < 8:
            raise ValueError("token is too short: use at least 8 characters")
        if self.token is None and self.host not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError(f"a token is required to bind {self.host}: set api.token or use 127.0.0.1")
        return self


class HistorySettings(ConfigSection):
    keep_days: float = Field(default=14.0, gt=0.0, le=3650.0)
    max_events: int = Field(default=10_000, ge=1, le=1_000_000)


class Config(ConfigSection):
    """The whole configuration."""

    device: Annotated[Device, BeforeValidator(_null_is_default)] = Field(default_factory=Device)
    model: Annotated[Model, BeforeValidator(_null_is_default)] = Model()
    cameras: dict[Identifier, Camera] = Field(min_length=1, max_length=64)
    mqtt: Annotated[Mqtt, BeforeValidator(_null_is_default)] = Mqtt()
    alarm: Annotated[AlarmSettings, BeforeValidator(_null_is_default)] = AlarmSettings()
    api: Annotated[Api, BeforeValidator(_null_is_default)] = Api()
    history: Annotated[HistorySettings, BeforeValidator(_null_is_default)] = HistorySettings()
    data_dir: Path = Path("data")
