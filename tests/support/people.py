"""Frames and tracks made by hand, for the rules alone: no pixels are ever looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from detector.analytics.rules import RuleOutcome, Rules
from detector.config import schema
from detector.core.types import ArrayImage, Box, Frame, Track

WIDTH, HEIGHT = 1000, 500
IMAGE = ArrayImage(np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8))
BOOT = 1_700_000_000.0  # wall time of monotonic 0
GARDEN = ((0.0, 0.5), (1.0, 0.5), (1.0, 1.0), (0.0, 1.0))
"""The lower half of the picture."""


def camera(**settings: object) -> schema.Camera:
    """Settings of a camera, those of `alert` given flat too, its zones as `alert_zones`."""
    alert = {key: settings.pop(key) for key in list(settings) if key in schema.AlertSettings.model_fields}
    if "zones" in alert:
        settings["zones"] = alert.pop("zones")
    alert["zones"] = settings.pop("alert_zones", ())
    return schema.Camera.model_validate({"source": "clip.mp4", "alert": alert, **settings})


def frame(t: float, *, wall: float | None = None) -> Frame:
    return Frame(
        camera="porch",
        seq=round(t * 10),
        captured_mono=t,
        captured_wall=BOOT + t if wall is None else wall,
        image=IMAGE,
    )


def person(x: float, foot: float = 0.8, *, height: float = 0.4) -> Box:
    """The box (px) of somebody whose feet are at the normalised point (x, foot)."""
    h = height * HEIGHT
    return (x * WIDTH - h / 5, foot * HEIGHT - h, x * WIDTH + h / 5, foot * HEIGHT)


class RuleWalk:
    """Feeds rules with frames at 10 a second and keeps what came out.

    `step` takes (track id, box) or (track id, box, score) for everybody matched; `lost` are the ids of
    tracks that the tracker keeps without a match.
    """

    def __init__(self, *, rules: Rules | None = None, **settings: Any) -> None:
        self.rules = rules or Rules(camera="porch", settings=camera(**settings), device_id="yard")
        self.t = 0.0
        self.step_s = 0.1
        self.armed = True
        self.outcomes: list[RuleOutcome] = []
        self._tracks: dict[int, Track] = {}

    def step(self, *people: tuple[object, ...], lost: Sequence[int] = ()) -> RuleOutcome:
        now = self.frame()
        tracks = [self._matched(*entry) for entry in people]  # type: ignore[arg-type]
        tracks += [self._unmatched(track_id) for track_id in lost]
        self._tracks |= {track.id: track for track in tracks}
        outcome = self.rules.update(now, tracks, armed=self.armed)
        self.outcomes.append(outcome)
        self.t += self.step_s
        return outcome

    def frame(self) -> Frame:
        return frame(round(self.t, 6))

    def wait(self, seconds: float, *people: tuple[object, ...], lost: Sequence[int] = ()) -> None:
        """The same view for a while."""
        for _ in range(round(seconds / self.step_s)):
            self.step(*people, lost=lost)

    def close(self) -> RuleOutcome:
        self.outcomes.append(self.rules.close())
        return self.outcomes[-1]

    def _matched(self, track_id: int, box: Box, score: float = 0.9) -> Track:
        old = self._tracks.get(track_id)
        now = round(self.t, 6)
        return Track(
            id=track_id,
            box=box,
            score=score,
            first_mono=old.first_mono if old else now,
            last_mono=now,
            hits=old.hits + 1 if old else 1,
            matched=True,
        )

    def _unmatched(self, track_id: int) -> Track:
        old = self._tracks[track_id]
        return Track(
            id=track_id,
            box=old.box,
            score=old.score,
            first_mono=old.first_mono,
            last_mono=old.last_mono,
            hits=old.hits,
            matched=False,
        )

    @property
    def told(self) -> list[str]:
        """Types of all changes so far, in order."""
        return [change.type for outcome in self.outcomes for change in outcome.changes]

    @property
    def events(self) -> list[str]:
        """Ids of the new events, in order."""
        return [change.after.id for outcome in self.outcomes for change in outcome.changes if change.type == "new"]

    @property
    def alerts(self) -> list[str]:
        """Event ids of the alerts, in order."""
        return [alert.event_id for outcome in self.outcomes for alert in outcome.alerts]
