"""The alert rules: from tracks to events and alerts.

Pure: no pixels, no clock, no network; time comes in with the frame.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from detector.config import schema
from detector.core.types import Alert, Appearance, Box, BoxReason, Event, EventChange, Frame, Track

from .alert_reason import AlertReason, find_reason
from .cooldown import Cooldown
from .look import describe
from .place_rule import PlaceRule
from .places import KnownPlaces, Place
from .visit import RELINK_S, Sighting, Visit
from .zones import Size, ZoneMap, area_share, foot_point

_UPDATE_S = 5.0  # the event of a moving person is updated this often
_SCORE_STEP = 0.05  # a rise of the top score worth an update


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleOutcome:
    """The results of one frame; `people` counts the open events, `present` holds their track ids.

    `reasons` are of every box that was matched, confirmed or not.
    """

    changes: tuple[EventChange, ...] = ()
    alerts: tuple[Alert, ...] = ()
    people: int = 0
    present: frozenset[int] = frozenset()
    reasons: tuple[BoxReason, ...] = ()


def event_id(*, device_id: str, camera: str, start_wall: float, track_id: int) -> str:
    """Frigate's form, seconds and six hex digits; a pure function of its arguments."""
    start = f"{start_wall:.6f}"
    digest = hashlib.sha256(f"{device_id}/{camera}/{start}/{track_id}".encode()).hexdigest()
    return f"{start}-{digest[:6]}"


def alert_id(*, device_id: str, camera: str, event: str) -> str:
    """A name-based UUID (RFC 9562, version 5): the same alert always gets the same id."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"detector/{device_id}/{camera}/{event}"))


class Rules:
    """One camera's rules; `update` takes every frame that was detected, in order of time. Not thread-safe.

    An event has one `new`, any number of `update`s and one `end`; a track that is never confirmed gives no
    event. An event gives one alert: as soon as it is confirmed, qualifies in the current frame, is in one of the
    alert zones (or none are named) and has been for `loiter_s`, the alarm is armed and the cooldown is over. With
    `repeat_s` reminders follow under the same conditions. Who is held back by the cooldown is named in the next alert.
    What alerted once and never moved raises no more alerts when it is seen there again, nor does what a user said is
    nobody (`KnownPlaces`).
    """

    def __init__(self, *, camera: str, settings: schema.Camera, device_id: str) -> None:
        self._camera = camera
        self._device_id = device_id
        self._alert = settings.alert
        self._map = ZoneMap(zones=settings.zones, masks=settings.masks)
        self._visits: dict[int, Visit] = {}
        self._frame: Frame | None = None
        self._certain: Collection[int] | None = None
        self._cooldown = Cooldown(seconds=settings.alert.cooldown_s)
        self._places = self._no_places()
        self._place_rule = PlaceRule(self._places)
        self._view = (0.0, 0.0)  # where the camera looks, as the picture's shift since the start, normalised

    @property
    def people(self) -> int:
        return sum(bool(visit.id) for visit in self._visits.values())

    @property
    def revision(self) -> int:
        """Changes with what `dump` returns."""
        return self._places.revision + self._cooldown.revision

    def dump(self) -> dict[str, Any]:
        """What outlasts a restart, JSON types only: the known places, and who was held back by the cooldown."""
        return {"places": self._places.dump(), "held_back": self._cooldown.dump()}

    def load(self, document: Mapping[str, Any]) -> None:
        """Continue with what `dump` gave. Raises KeyError, TypeError or ValueError, and changes nothing, otherwise."""
        places = self._no_places()
        places.load(document["places"])
        self._cooldown.load(document["held_back"])
        places.revision = self._places.revision
        self._places, self._place_rule = places, PlaceRule(places)

    def use_zones(self, settings: schema.Camera) -> None:
        """Go on with other zones, masks and conditions of alerts: visits, places and cooldown stay as they are."""
        self._alert = settings.alert
        self._map = ZoneMap(zones=settings.zones, masks=settings.masks)

    def _no_places(self) -> KnownPlaces:
        return KnownPlaces(keep_days=self._alert.still_days, asked_days=self._alert.suppress_days)

    @property
    def places(self) -> tuple[Place, ...]:
        """The places where nobody is: what raises no alert."""
        return self._places.places

    def suppress(self, seen: Appearance, *, event_id: str, first_seen: float, wall: float) -> Place:
        """A user says that nobody is where the visit `event_id` was `seen`, first at `first_seen`; times are epoch s.

        Raises ValueError for a box without an area.
        """
        visit = next((visit for visit in self._visits.values() if visit.id == event_id), None)
        return self._place_rule.suppress(seen, event_id=event_id, first_seen=first_seen, wall=wall, open_visit=visit)

    def unsuppress(self, place_id: str) -> bool:
        """What is seen there alerts again; False if the place is not known."""
        return self._places.forget(place_id)

    def shift(self, dx: float, dy: float, size: Size) -> None:
        """The camera turned: the whole picture, of `size` (width, height px), moved by (px).

        Visits and known places move with it: nobody walked.
        """
        for visit in self._visits.values():
            visit.shift(dx, dy)
        self._view = self._view[0] + dx / size[0], self._view[1] + dy / size[1]

    def update(
        self,
        frame: Frame,
        tracks: Sequence[Track],
        *,
        armed: bool,
        confirmed_mono: float | None = None,
        certain: Collection[int] | None = None,
    ) -> RuleOutcome:
        """Apply the rules to one frame with every live track of its camera.

        `certain` are the tracks that the evidence takes for people; None: `min_frames` and `min_score` alone decide.
        Alerts carry `confirmed_mono` (monotonic s), or without it the frame's own time.
        """
        self._frame = frame
        live = {track.id: track for track in tracks}
        self._certain = certain
        for track in tracks:
            self._assess(frame, track)
        ends = self._drop(frame, live)
        self._confirm(frame, live)
        changes: list[EventChange] = []
        seen = [visit for visit in self._visits.values() if visit.id and visit.last_mono == frame.captured_mono]
        seen.sort(key=lambda visit: (visit.start_wall, visit.id))
        for visit in seen:
            look = partial(self._look, visit.track.box, frame)
            self._place_rule.observe(visit, self._in_scene(visit.track.box, frame), frame.captured_wall, look)
        alerts = self._raise_alerts(seen, frame, confirmed_mono) if armed else ()
        reasons = self._reasons(frame, armed=armed)
        for visit in seen:
            changes.extend(_change_of(visit, frame))
        present = frozenset(track_id for track_id, visit in self._visits.items() if visit.id)
        return RuleOutcome(
            changes=(*ends, *changes), alerts=alerts, people=len(present), present=present, reasons=reasons
        )

    def close(self) -> RuleOutcome:
        """End every open event at the time it was last seen: the camera is lost, or the service stops."""
        visits, self._visits = self._visits, {}
        if self._frame is None:
            return RuleOutcome()
        return RuleOutcome(changes=tuple(self._end(visit, self._frame) for visit in visits.values() if visit.id))

    def _assess(self, frame: Frame, track: Track) -> None:
        visit = self._visits.get(track.id)
        if visit is None:
            visit = Visit(track=track, min_frames=self._alert.min_frames, since=track.first_mono)
            self._visits[track.id] = visit
        if not track.matched:
            visit.miss()
            return
        size = frame.image.width, frame.image.height
        foot = foot_point(track.box, size)
        qualifies = (
            track.score >= (self._alert.min_score if self._certain is None else self._alert.least_score)
            and self._alert.min_area <= area_share(track.box, size) <= self._alert.max_area
            and not self._map.masked(foot)
        )
        zones = self._map.locate(track.box, size)
        visit.observe(Sighting(track=track, mono=frame.captured_mono, size=size, qualifies=qualifies, zones=zones))
        visit.guard(inside=self._in_alert_zones(visit.current_zones))

    def _drop(self, frame: Frame, live: Collection[int]) -> list[EventChange]:
        """Remove tracks that the tracker dropped; returns the ends of events that no track can continue."""
        ends = []
        for track_id, visit in list(self._visits.items()):
            if track_id in live:
                continue
            if visit.id and self._may_return(visit, frame.captured_mono):
                visit.miss()
                continue
            del self._visits[track_id]
            if visit.id:
                ends.append(self._end(visit, frame))
        return ends

    def _end(self, visit: Visit, frame: Frame) -> EventChange:
        # A wall clock that was set back meanwhile must not make a visit end before it began.
        end_wall = max(visit.last_mono + (frame.captured_wall - frame.captured_mono), visit.start_wall)
        self._place_rule.end(visit, self._in_scene(visit.last_box, frame), end_wall)
        assert visit.event is not None  # set in the frame that confirmed it
        return EventChange(
            type="end", before=visit.event, after=replace(visit.as_event(frame), end_wall=end_wall), frame=frame
        )

    @staticmethod
    def _look(box: Box, frame: Frame) -> bytes:
        return describe(frame.image.luma(), box)

    def _appearance(self, visit: Visit, frame: Frame) -> Appearance:
        box = visit.track.box
        return Appearance(box=self._in_scene(box, frame), look=self._look(box, frame))

    def _in_scene(self, box: Box, frame: Frame) -> Box:
        """`box` normalised, as it would be had the camera not turned since the start."""
        (dx, dy), width, height = self._view, frame.image.width, frame.image.height
        return box[0] / width - dx, box[1] / height - dy, box[2] / width - dx, box[3] / height - dy

    def _may_return(self, visit: Visit, mono: float) -> bool:
        """True while a track may still continue `visit`; one that started in time gets time to be confirmed."""
        visit.wait_out_of_view(mono)
        gone = mono - visit.lost_mono
        if gone < RELINK_S:
            return True
        candidates = (other for other in self._visits.values() if not other.id)
        return gone < 2 * RELINK_S and any(visit.continued_by(candidate) is not None for candidate in candidates)

    def _confirm(self, frame: Frame, live: Mapping[int, Track]) -> None:
        """Make ripe candidates events, or the continuation of an event whose person was lost from view."""
        for track_id, candidate in list(self._visits.items()):
            if not self._ripe(candidate, track_id):
                continue
            lost_id = self._lost_track_of(candidate, frame)
            if lost_id is None:
                self._open(candidate, track_id, frame)
                continue
            visit = self._visits.pop(lost_id)
            visit.resume(candidate)
            self._visits[track_id] = visit
            if lost_id in live:  # if the tracker finds it again, it is another person
                self._visits[lost_id] = Visit(track=live[lost_id], min_frames=self._alert.min_frames, since=None)

    def _ripe(self, candidate: Visit, track_id: int) -> bool:
        if self._certain is None:
            return candidate.ripe
        return track_id in self._certain and candidate.has_frames(self._alert.least_frames)

    def _lost_track_of(self, candidate: Visit, frame: Frame) -> int | None:
        """The id of the track that `candidate` most likely continues; None: a new person."""
        offers = [
            (offset, track_id)
            for track_id, visit in self._visits.items()
            if visit.id and visit.last_mono < frame.captured_mono
            if (offset := visit.continued_by(candidate)) is not None
        ]
        return min(offers)[1] if offers else None

    def _open(self, visit: Visit, track_id: int, frame: Frame) -> None:
        since = frame.captured_mono if visit.since is None else visit.since
        # Added to the offset, not taken off the frame's wall time: on media time the offset is an exact 0.
        visit.start_wall = since + (frame.captured_wall - frame.captured_mono)
        visit.id = event_id(
            device_id=self._device_id, camera=self._camera, start_wall=visit.start_wall, track_id=track_id
        )
        visit.appearance = self._appearance(visit, frame)

    def _in_alert_zones(self, zones: Collection[str]) -> bool:
        return not self._alert.zones or not set(self._alert.zones).isdisjoint(zones)

    def _raise_alerts(self, visits: Sequence[Visit], frame: Frame, confirmed_mono: float | None) -> tuple[Alert, ...]:
        """The alerts due now; first whose last one is longest ago: a reminder must hold back nobody's first alert."""
        ordered = sorted(visits, key=lambda visit: visit.alerted_mono)
        return tuple(
            self._raise_alert(visit, frame, confirmed_mono)
            for visit in ordered
            if self._alert_due(visit, frame.captured_mono)
        )

    def _alert_due(self, visit: Visit, mono: float) -> bool:
        if visit.place is not None:
            return False
        if not (visit.qualifies and self._in_alert_zones(visit.zones_now) and self._stayed(visit, mono)):
            return False
        if visit.alerts:
            reminder = self._alert.repeat_s > 0 and mono - visit.alerted_mono >= self._alert.repeat_s
            return reminder and self._cooldown.is_over(self._cooldown_keys(visit), mono)
        if self._cooldown.is_over(self._cooldown_keys(visit), mono):
            return True
        if not visit.held_back:
            visit.held_back = True
            self._cooldown.hold_back(visit.id)
        return False

    def _stayed(self, visit: Visit, mono: float) -> bool:
        return visit.guarded_since is not None and mono - visit.guarded_since >= self._alert.loiter_s

    def _reasons(self, frame: Frame, *, armed: bool) -> tuple[BoxReason, ...]:
        """Each box of this frame with what keeps it from alerting; every visit remembers how far it came."""
        size = frame.image.width, frame.image.height
        found = []
        for visit in self._visits.values():
            if visit.last_mono != frame.captured_mono:
                continue
            reason = self._reason(visit, frame.captured_mono, size, armed=armed)
            if reason.hurdle >= visit.why[0]:
                visit.why = (reason.hurdle, reason.text)
            track, alerted = visit.track, visit.alerts > 0
            text = "" if alerted else reason.text
            found.append(BoxReason(track_id=track.id, box=track.box, score=track.score, alerted=alerted, reason=text))
        return tuple(found)

    def _reason(self, visit: Visit, mono: float, size: Size, *, armed: bool) -> AlertReason:
        return find_reason(
            visit,
            mono=mono,
            size=size,
            alert=self._alert,
            zones=self._map,
            by_evidence=self._certain is not None,
            in_zone=self._in_alert_zones(visit.zones_now),
            armed=armed,
            cooldown_s=self._cooldown.left(self._cooldown_keys(visit), mono),
        )

    def _cooldown_keys(self, visit: Visit) -> tuple[str, ...]:
        per = self._alert.cooldown.per
        if per == "person":
            return (visit.id,)
        if per == "camera":
            return ("",)
        # Outside of all zones (alert.zones may name none) is a place with a cooldown of its own.
        return tuple(zone for zone in visit.zones_now if zone in self._alert.zones or not self._alert.zones) or ("",)

    def _raise_alert(self, visit: Visit, frame: Frame, confirmed_mono: float | None) -> Alert:
        self._cooldown.start(self._cooldown_keys(visit), frame.captured_mono)
        visit.alerts, visit.alerted_mono = visit.alerts + 1, frame.captured_mono
        visit.appearance = self._appearance(visit, frame)  # the alert's frame becomes the visit's picture
        repeat = visit.alerts - 1
        name = f"{visit.id}/{repeat}" if repeat else visit.id
        return Alert(
            id=alert_id(device_id=self._device_id, camera=self._camera, event=name),
            event_id=visit.id,
            camera=self._camera,
            zones=visit.current_zones,
            score=visit.track.score,
            box=visit.track.box,
            frame=frame,
            confirmed_mono=frame.captured_mono if confirmed_mono is None else confirmed_mono,
            repeat=repeat,
            since_last=self._cooldown.take_held(visit.id),
        )


def _change_of(visit: Visit, frame: Frame) -> tuple[EventChange, ...]:
    """The change to publish for `visit`, if there is one."""
    before, after = visit.event, visit.as_event(frame)
    if before is not None and not (
        _differs(before, after) or (not after.stationary and frame.captured_mono - visit.published_mono >= _UPDATE_S)
    ):
        return ()
    visit.event, visit.published_mono = after, frame.captured_mono
    return (EventChange(type="update" if before else "new", before=before or after, after=after, frame=frame),)


def _differs(before: Event, after: Event) -> bool:
    """True if something changed that subscribers act on."""
    return (
        (before.current_zones, before.entered_zones, before.stationary, before.suppressed)
        != (after.current_zones, after.entered_zones, after.stationary, after.suppressed)
    ) or after.top_score >= before.top_score + _SCORE_STEP
