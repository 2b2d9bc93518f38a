"""Walks past a camera with two zones, and what they raised."""

from __future__ import annotations

from typing import Any

from detector.core.types import Alert

from .people import RuleWalk, person

STREET = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
YARD = ((0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0))
TWO_ZONES: dict[str, Any] = {"zones": {"street": STREET, "yard": YARD}, "alert_zones": ["street", "yard"]}


def raised(walk: RuleWalk) -> list[Alert]:
    return [alert for outcome in walk.outcomes for alert in outcome.alerts]


def a_then_b(**settings: Any) -> RuleWalk:
    """A in the street at 0 to 5 s, B in the yard at 10 to 15 s, a cooldown of 30 s."""
    walk = RuleWalk(cooldown_s=30, **TWO_ZONES, **settings)
    walk.wait(5.0, (1, person(0.2)))
    walk.wait(5.0)
    walk.wait(5.0, (2, person(0.8)))
    walk.wait(20.0)
    return walk
