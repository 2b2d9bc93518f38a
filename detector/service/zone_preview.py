"""Who would have alerted with other zones: the history's visits, judged again."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from detector.alerts.payloads import parse_path
from detector.analytics.alert_reason import Hurdle, suppressed_reason
from detector.analytics.zone_preview import preview_visit
from detector.analytics.zones import ZoneMap
from detector.api.scene_documents import ZoneDraft
from detector.config.schema import AlertSettings
from detector.core.errors import ConfigError

log = logging.getLogger(__name__)

Document = dict[str, Any]
MOST_VISITS = 500
"""So many visits of a day are judged at most, the latest."""
_SHOWN = ("id", "start_time", "end_time", "top_score", "has_snapshot")


def preview_zones(visits: Iterable[Document], camera: str, alert: AlertSettings, draft: ZoneDraft) -> Document:
    """What the draft would have made of `visits` of `camera`, which hold their paths; `alert` is what holds now.

    Raises ConfigError where the draft contradicts itself.
    """
    wanted, zones = _with_draft(alert, draft), ZoneMap(zones=draft.zones, masks=draft.masks)
    judged = [_judged(visit, wanted, zones) for visit in visits]
    return {
        "camera": camera,
        "after": draft.after,
        "alerted": sum(visit["alerted"] for visit in judged),
        "would_alert": sum(visit["would_alert"] for visit in judged),
        "visits": judged,
    }


def _with_draft(alert: AlertSettings, draft: ZoneDraft) -> AlertSettings:
    unknown = sorted(set(draft.alert_zones) - set(draft.zones))
    if unknown:
        raise ConfigError(f"alert_zones names {', '.join(unknown)}, which zones does not hold", key="alert_zones")
    if draft.min_area >= draft.max_area:
        raise ConfigError("min_area must be smaller than max_area", key="min_area")
    return alert.model_copy(update={"zones": draft.alert_zones, "min_area": draft.min_area, "max_area": draft.max_area})


def _judged(visit: Document, alert: AlertSettings, zones: ZoneMap) -> Document:
    try:
        width, height = visit["frame_size"]
        reason = preview_visit(parse_path(visit), (int(width), int(height)), alert=alert, zones=zones)
    except (KeyError, TypeError, ValueError):
        log.warning("visit %s has no readable path and is taken for one that does not alert", visit.get("id"))
        reason = preview_visit((), (1, 1), alert=alert, zones=zones)
    suppressed = visit.get("suppressed")
    if reason.hurdle > Hurdle.STAYED and suppressed:
        reason = suppressed_reason(str(suppressed["reason"]))
    return {
        **{key: visit.get(key) for key in _SHOWN},
        "alerted": bool(visit["alerts"]),
        "would_alert": reason.hurdle is Hurdle.NONE,
        "reason": reason.text,
    }
