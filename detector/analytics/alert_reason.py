"""Why a person in view raises no alert at this moment, in words for an operator. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum

from detector.config.schema import AlertSettings
from detector.core.types import Box

from .visit import Visit
from .zones import Size, ZoneMap, area_share, foot_point


class Hurdle(IntEnum):
    """What a person must pass before an alert is raised, in order."""

    QUALIFIES = 0
    CONFIRMED = 1
    IN_ZONE = 2
    STAYED = 3
    NOT_SUPPRESSED = 4
    ARMED = 5
    COOLDOWN = 6
    NONE = 7


@dataclass(frozen=True, slots=True)
class AlertReason:
    """The first hurdle that holds a person back, with its figures in `text`; Hurdle.NONE: nothing does."""

    hurdle: Hurdle
    text: str


def find_reason(
    visit: Visit,
    *,
    mono: float,
    size: Size,
    alert: AlertSettings,
    zones: ZoneMap,
    by_evidence: bool,
    in_zone: bool,
    armed: bool,
    cooldown_s: float,
) -> AlertReason:
    """What holds back `visit`, seen in a frame of `size` px at `mono`; `cooldown_s` is what is left of the cooldown."""
    if not visit.qualifies:
        min_score = alert.least_score if by_evidence else alert.min_score
        unfit = box_reason(visit.track.box, visit.track.score, size, alert, zones, min_score=min_score)
        if unfit is not None:
            return unfit
    if not visit.id:
        return _frames_reason(visit, alert.least_frames if by_evidence else alert.min_frames)
    if not in_zone:
        return zone_reason(alert.zones)
    stayed_s = 0.0 if visit.guarded_since is None else mono - visit.guarded_since
    if visit.guarded_since is None or stayed_s < alert.loiter_s:
        return stay_reason(stayed_s, alert.loiter_s)
    if visit.place is not None:
        return suppressed_reason(visit.place.suppressed.reason)
    if not armed:
        return AlertReason(Hurdle.ARMED, "the alarm is not armed for this camera")
    if cooldown_s:
        return AlertReason(Hurdle.COOLDOWN, f"cooldown, {cooldown_s:.0f} s left")
    return AlertReason(Hurdle.NONE, "")


def box_reason(
    box: Box, score: float, size: Size, alert: AlertSettings, zones: ZoneMap, *, min_score: float
) -> AlertReason | None:
    """Why a detection does not qualify: its score, its size, a mask; None where it does."""
    share = area_share(box, size)
    text = ""
    if score < min_score:
        text = f"score {score:.2f}, needs {min_score:.2f}"
    elif share < alert.min_area:
        text = f"too small: {_percent(share)} of the picture, needs {_percent(alert.min_area)}"
    elif share > alert.max_area:
        text = f"too large: {_percent(share)} of the picture, at most {_percent(alert.max_area)}"
    elif zones.masked(foot_point(box, size)):
        text = "in a mask"
    return AlertReason(Hurdle.QUALIFIES, text) if text else None


def zone_reason(alert_zones: Collection[str]) -> AlertReason:
    """The person is in none of the alert zones."""
    return AlertReason(Hurdle.IN_ZONE, f"outside {' and '.join(alert_zones)}")


def stay_reason(stayed_s: float, loiter_s: float) -> AlertReason:
    """The person has not been in the alert zones for long enough."""
    return AlertReason(Hurdle.STAYED, f"there for {max(stayed_s, 0.0):.0f} s of {loiter_s:.0f} s")


def _frames_reason(visit: Visit, needed: int) -> AlertReason:
    """The person was not seen in enough frames."""
    seen = visit.qualified_frames
    text = f"{seen} of {needed} frames" if seen < needed else "not certain yet that it is a person"
    return AlertReason(Hurdle.CONFIRMED, text)


def suppressed_reason(reason: str) -> AlertReason:
    """Nobody is in that place, as far as is known."""
    return AlertReason(Hurdle.NOT_SUPPRESSED, f"suppressed: {reason}")


def _percent(share: float) -> str:
    return f"{share * 100:.2g} %"
