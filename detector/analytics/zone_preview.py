"""What other zones, masks and sizes would have made of a visit that is over, from its recorded path. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from detector.config.schema import AlertSettings
from detector.core.types import Box, PathPoint

from .alert_reason import AlertReason, Hurdle, box_reason, stay_reason, zone_reason
from .zones import Size, ZoneMap


def preview_visit(path: Sequence[PathPoint], size: Size, *, alert: AlertSettings, zones: ZoneMap) -> AlertReason:
    """The furthest that the visit would have come towards an alert; Hurdle.NONE: it would have raised one.

    `size` is the picture's (width, height px). Judged are score, size, masks, zones and `loiter_s` at the points of the
    path; the alarm and the cooldown, which depend on the moment, are not.
    """
    furthest = AlertReason(Hurdle.QUALIFIES, "nothing is known of its path")
    since: float | None = None
    for point in path:
        box = _in_px(point.box, size)
        inside = _is_inside(box, size, alert, zones)
        since = (point.mono if since is None else since) if inside else None
        reason = box_reason(box, point.score, size, alert, zones, min_score=alert.least_score)
        if reason is None and since is None:
            reason = zone_reason(alert.zones)
        elif reason is None and since is not None and point.mono - since < alert.loiter_s:
            reason = stay_reason(point.mono - since, alert.loiter_s)
        if reason is None:
            return AlertReason(Hurdle.NONE, "")
        if reason.hurdle >= furthest.hurdle:
            furthest = reason
    return furthest


def _is_inside(box: Box, size: Size, alert: AlertSettings, zones: ZoneMap) -> bool:
    if not alert.zones:
        return True
    sides = zones.locate(box, size)
    return any(sides.get(zone) == "inside" for zone in alert.zones)


def _in_px(box: Box, size: Size) -> Box:
    return box[0] * size[0], box[1] * size[1], box[2] * size[0], box[3] * size[1]
