"""What the answers hold, for the OpenAPI document; the routes send the service's documents as they are.

A figure that is not known is null.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from detector.core.types import AlarmCommand, AlarmState, CameraState


class _Answer(BaseModel):
    model_config = ConfigDict(extra="allow")


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Fault(_Answer):
    """What went wrong, in one line; never a secret, never the value that was sent."""

    error: str = Field(examples=["cameras.porch.alert.min_scor: unknown key; did you mean min_score?"])
    key: str = Field(description="dotted path of the wrong parameter or key, or empty")


class HealthAnswer(_Answer):
    ok: bool
    stage: str | None = Field(description="the stage that makes no progress", examples=[None])
    detail: str


class ReadyAnswer(_Answer):
    ok: bool
    reasons: list[str] = Field(description="what is still missing", examples=[["porch: no frame yet"]])


class Version(_Answer):
    version: str


class Quantiles(_Answer):
    p50: float | None
    p99: float | None


class DeviceStatus(_Answer):
    id: str
    name: str | None


class StageStatus(_Answer):
    ok: bool
    age_s: float | None = Field(description="seconds since its last sign of progress")


class CandidateStatus(_Answer):
    """A form of the model that was tried on this machine."""

    form: str
    ms: float | None = Field(description="wall time of a run; null where it did not run")
    cpu_ms: float | None = Field(description="CPU time of a run, all threads")
    refused: str | None = Field(description="why it may not serve; null also where a cheaper one was accepted first")


class ChoiceStatus(_Answer):
    """What `backend: auto` came to on this machine."""

    state: str = Field(description="off, waiting, measuring or settled")
    note: str | None = Field(description="what is waited for, or why nothing is chosen")
    taken: str | None
    why: str | None
    scenes: list[str] = Field(description="the cameras whose pictures were compared, each with a hash of its source")
    shapes: list[str]
    candidates: list[CandidateStatus]


class ModelStatus(_Answer):
    name: str | None
    backend: str | None
    precision: str | None
    provider: str | None
    engine_key: str | None
    engine: str | None = Field(default=None, description="what runs it, with version and precision")
    note: str | None = Field(default=None, description="why this engine and no faster one")
    choice: ChoiceStatus | None = None
    state: str | None = Field(description="loading, ready or failed")
    error: str | None
    infer_ms: Quantiles


class SelfTestAnswer(_Answer):
    """Whether a known person who was pasted into the camera's picture was found there. Heights are shares of the picture's."""

    at: float = Field(description="epoch seconds")
    seen: bool = Field(description="a person of the usual height was found")
    usual: float = Field(description="how tall people usually are in this picture")
    smallest: float | None = Field(description="the smallest person that was found; null: none")
    reason: str | None = Field(description="why nobody was found, as far as the picture tells")
    own_person: bool = Field(description="the person was cut out of this camera's own past visits")
    text: str = Field(default="", description="the same in words, with heights in px")


class SelfTestStatus(SelfTestAnswer):
    """The latest result, and the last of each hour of the day."""

    hours: dict[str, SelfTestAnswer] = Field(description='by the hour, "0" to "23", local time')


class CameraStatus(_Answer):
    state: CameraState
    error: str | None
    source: str = Field(description="credentials masked")
    fps: float | None = Field(description="frames a second that arrive")
    detect_fps: float | None = Field(description="inferences a second")
    frame_age_s: float | None
    frames: int | None
    detected: int | None
    dropped: int | None = Field(description="frames that a newer one replaced before their turn")
    skipped: int | None = Field(description="frames without motion, not analysed")
    reconnects: int | None
    decoded: int | None = Field(default=None, description="pictures decoded")
    decode_skipped: int | None = Field(
        default=None, description="pictures left undecoded or too late, to keep up or while idle"
    )
    damaged: int | None = Field(
        default=None, description="pictures of which packets were lost, and stretches of stray bytes between packets"
    )
    notes: list[str] = Field(default=[], description="what the camera does unusually, and how that was interpreted")
    close_ups: int | None = Field(default=None, description="crops of small moving things that were analysed")
    keyframes_only: bool | None = Field(default=None, description="idle: nothing but key frames is decoded")
    people: int | None
    moving: bool | None
    detect_enabled: bool | None
    snoozed_until: str | None = Field(default=None, description="no alerts until then; null: they are raised")
    width: int | None
    height: int | None
    latency_ms: Quantiles
    self_test: SelfTestStatus | None = Field(default=None, description="what this camera can see")


class BrokerStatus(_Answer):
    state: str | None = Field(description="connecting, connected, offline or refused")
    address: str | None
    protocol: str | None
    error: str | None
    commands_refused: int = Field(default=0, description="commands over MQTT that made no sense, since the start")


class OutboxStatus(_Answer):
    pending_alerts: int | None
    pending_events: int | None
    oldest_s: float | None
    fault: str | None = Field(default=None, description="what keeps messages from being stored")


class PersonStatus(_Answer):
    where: Literal["home", "away"] | None
    confirmed: bool = Field(description="at home because the arrival was observed")


class AlarmStatus(_Answer):
    state: AlarmState
    because: str | None = Field(
        default=None, examples=["armed because of the schedule night until 06:30"], description="why it is so"
    )
    by: str | None = Field(default=None, description="who or what armed or disarmed")
    since: float | None = Field(default=None, description="epoch seconds")
    until: float | None = Field(default=None, description="epoch seconds; null where no schedule ends it")
    schedule: str | None = None
    waits: str | None = Field(default=None, description="what a schedule would do, and why it does not yet")
    people: dict[str, PersonStatus] = {}
    next: str | None = Field(default=None, examples=["night from 22:30"], description="the schedule that arms next")
    notes: list[str] = Field(default=[], description="what schedules cannot do today: the sun does not set, say")


class ArmingEntry(_Answer):
    """`command` is null for what was seen and not followed."""

    at: str
    command: str | None
    state: AlarmState
    by: str
    why: str
    times: int


class SloStatus(_Answer):
    """Alerts of the last day; also published as `P/slo`."""

    goal_ms: float = Field(description="from the capture of the picture until the alert is published")
    window_s: int
    alerts: int
    within: int = Field(description="how many kept the goal")
    share: float | None


class SystemStatus(_Answer):
    temperature_c: float | None
    power_w: float | None
    throttled: bool | None = Field(description="by the device itself, or detection is reduced because of heat or power")
    throttled_reason: str | None = None
    rss_mb: float | None
    cpu_percent: float | None


class ClipsStatus(_Answer):
    """Clips since the start, and what is on the disk; `recording`: each camera's coded pictures in memory."""

    written: int
    failed: int
    clips: int
    bytes: int
    fault: str | None
    recording: dict[str, dict[str, Any]]


class GovernorForm(_Answer):
    form: str
    cost: float = Field(description="CPU time of a run, as a share of the full model's; measured")


class GovernorStatus(_Answer):
    """Whether there is less detection because of heat, power or load; `level` 0 is all."""

    state: Literal["off", "full", "reduced"]
    note: str | None = Field(description="what cannot be judged or done here")
    reasons: list[str]
    level: int = Field(description="because of heat and power; load alone makes the model smaller at level 0")
    levels: int
    detect_share: float = Field(description="of each camera's detect_fps")
    model: str | None = Field(description="the smaller model that stands in")
    cost: float = Field(description="of the full cost of the model's runs")
    changes: int = Field(description="steps since the start")
    forms: list[GovernorForm]


class NotifyStatus(_Answer):
    waiting: int
    sent: int
    failed: int = Field(description="tries")
    dropped: int = Field(description="alerts that could not be delivered in time")
    dropped_s: float | None = Field(description="seconds since the last of those")
    error: str | None


class Status(_Answer):
    """The whole state at one moment; also published as `P/stats`."""

    device: DeviceStatus
    version: str
    version_on_disk: str | None = Field(default=None, description="what a restart would run")
    uptime_s: float
    state: Literal["ok", "degraded", "starting"]
    problems: list[str]
    stages: dict[str, StageStatus]
    model: ModelStatus
    cameras: dict[str, CameraStatus]
    broker: BrokerStatus
    outbox: OutboxStatus
    slo: SloStatus | None = None
    clips: ClipsStatus | None = None
    governor: GovernorStatus | None = None
    notify: dict[str, NotifyStatus] = Field(default={}, description="by the target's name")
    alarm: AlarmStatus
    system: SystemStatus


class SuppressedDocument(_Answer):
    """Why a visit raises no alert."""

    id: str = Field(description="the suppression's; `DELETE /api/suppressions/ID` undoes it")
    reason: str
    since: float = Field(description="epoch seconds")
    matches: int = Field(description="visits in that place, this one included")
    asked: bool = Field(description="a user marked it as nobody; otherwise it was learnt from visits that never moved")
    proposed: bool = Field(description="learnt from visits alone, and seen so often that you should confirm or undo it")


class Suppression(SuppressedDocument):
    """A place where nobody is: what is seen there raises no alert until it moves away. Times in epoch seconds."""

    camera: str
    last_seen: float
    event_id: str | None = Field(description="its latest visit")
    box: list[float] = Field(description="x1, y1, x2, y2 as shares of the picture's width and height")


class EventDocument(_Answer):
    """A person's visit, in Frigate's names; times in epoch seconds, box x1, y1, x2, y2 in source px."""

    id: str
    camera: str
    label: str
    score: float | None
    top_score: float | None
    box: list[float] | None
    area: float | None
    start_time: float
    end_time: float | None
    current_zones: list[str]
    entered_zones: list[str]
    stationary: bool | None
    active: bool | None
    has_snapshot: bool
    has_clip: bool = Field(default=False, description="whether its clip can be had by now")
    clip: str | None = Field(default=None, description="path of the clip")
    suppressed: SuppressedDocument | None = Field(default=None, description="why the visit raises no alert, if so")
    why: str | None = Field(
        default=None,
        description="the last thing that kept an alert back, empty where there was one",
        examples=["outside garden"],
    )
    path: list[tuple[float, float, float, float, float, float]] | None = Field(
        default=None,
        description="of one visit alone: seconds since its first detection, box as shares of the picture, score",
    )
    alerts: list[dict[str, Any]] = Field(default=[], description="the alerts that it raised")


class ConfigReplaced(_Answer):
    config: dict[str, Any] = Field(description="the new configuration, secrets masked")
    restart_required: list[str] = Field(description="keys that take effect only after a restart")


class AlarmRequest(_Request):
    command: AlarmCommand
    code: str | None = Field(default=None, max_length=64, description="the alarm's code, where it has one")


class DetectRequest(_Request):
    enabled: bool = Field(strict=True)


class DetectAnswer(_Answer):
    camera: str
    enabled: bool


class SessionRequest(_Request):
    token: str = Field(max_length=4096)


class FrigateLogin(_Request):
    user: str = Field(default="", max_length=1024, description="any name")
    password: str = Field(max_length=4096, description="the token")


class SessionAnswer(_Answer):
    required: bool = Field(description="whether a token is set")
    signed_in: bool = Field(description="whether this request carries it, or a cookie for it")
