from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from detector.analytics.look import describe
from detector.analytics.places import NOBODY
from detector.analytics.rules import Rules
from detector.analytics.tracker import Tracker
from detector.core.types import Appearance, ArrayImage, Box, Event, Frame, Pixels
from support.people import BOOT, HEIGHT, WIDTH, RuleWalk, camera, frame, person
from support.rule_walks import a_then_b, raised
from support.trackscore import ScoredClip

HERE = person(0.5)
TINY = (500.0, 400.0, 502.0, 404.0)
EDGE_MASK = ((0.0, 0.8), (1.0, 0.8), (1.0, 1.0), (0.0, 1.0))


def coat(walk: RuleWalk, times: int, *, x: float = 0.5, seconds: float = 6.0) -> None:
    """A coat taken for a person for some seconds, then not, again and again; a new track each time."""
    random = np.random.default_rng(1)
    for _ in range(times):
        track = 1000 + round(walk.t * 10)
        for _ in range(round(seconds / walk.step_s)):
            dx, dy = random.normal(0.0, 3.0, 2)
            walk.step((track, person(x + dx / WIDTH, 0.8 + dy / HEIGHT), 0.55))
        walk.wait(6.0)


def last_of(walk: RuleWalk) -> Event:
    return [change.after for outcome in walk.outcomes for change in outcome.changes][-1]


@pytest.mark.parametrize("seconds", [2.0, 6.0])
def test_t1_a_coat_seen_with_gaps_all_night_gives_one_alert(seconds: float) -> None:
    walk = RuleWalk()
    coat(walk, 30, seconds=seconds)
    assert walk.alerts == walk.events[:1]
    assert len(walk.events) == 30, "all of them are in the history"
    event = last_of(walk)
    assert event.suppressed is not None
    assert (event.suppressed.id, event.suppressed.reason) == (walk.events[0], "same place, same size, never moved")
    assert (event.suppressed.matches, event.suppressed.proposed) == (30, True)
    assert event.suppressed.since == pytest.approx(BOOT)


def test_t1_a_person_who_walks_through_the_place_alerts_at_once_and_one_who_starts_there_soon() -> None:
    walk = RuleWalk(cooldown_s=0)
    coat(walk, 2)
    assert len(walk.alerts) == 1
    for step in range(60):
        walk.step((1, person(0.2 + step * 0.01)))
        assert len(walk.alerts) == (1 if step < 2 else 2)
    walk.wait(5.0)
    for step in range(40):
        walk.step((2, person(0.5 + step * 0.01)))
        assert len(walk.alerts) == (2 if step < 8 else 3)
    assert last_of(walk).suppressed is None


def test_t1_who_walks_to_the_place_and_stands_there_alerts() -> None:
    walk = RuleWalk(cooldown_s=0)
    coat(walk, 2)
    for step in range(31):
        walk.step((1, person(0.2 + step * 0.01)))
    walk.wait(20.0, (1, person(0.5)))
    assert walk.alerts[1:] == walk.events[-1:]


def test_t1_a_second_coat_elsewhere_has_its_own_alert() -> None:
    walk = RuleWalk(cooldown_s=0)
    coat(walk, 3)
    coat(walk, 3, x=0.8)
    assert len(walk.alerts) == 2


def test_t1_who_stands_first_and_then_walks_away_leaves_no_place() -> None:
    walk = RuleWalk(cooldown_s=0)
    walk.wait(10.0, (1, HERE))
    assert len(walk.rules.dump()["places"]) == 1
    for step in range(20):
        walk.step((1, person(0.5 + step * 0.02)))
    walk.wait(5.0)
    assert walk.rules.dump()["places"] == []


@pytest.mark.parametrize("looks", [4, 5])
def test_t1_who_hurries_past_a_slow_camera_leaves_no_place(looks: int) -> None:
    """So few detections that the visit is over before it counts as having moved."""
    walk = RuleWalk(cooldown_s=0)
    walk.step_s = 0.5
    for number in range(5):
        for step in range(looks):
            walk.step((number, person(0.3 + max(0, step - 2) * 0.15)))
        walk.wait(10.0)
    assert len(walk.alerts) == 5
    assert walk.rules.dump()["places"] == []


def test_t1_a_still_thing_that_never_alerted_is_not_learnt() -> None:
    walk = RuleWalk(cooldown_s=0)
    walk.armed = False
    coat(walk, 3)
    walk.armed = True
    coat(walk, 3)
    assert walk.alerts == walk.events[3:4]


def test_t1_it_is_remembered_over_a_restart_also_without_a_farewell() -> None:
    before = RuleWalk()
    before.wait(10.0, (1, HERE))  # killed while the coat is there
    saved = json.loads(json.dumps(before.rules.dump()))
    after = RuleWalk()
    after.rules.load(saved)
    coat(after, 2)
    assert (len(after.events), after.alerts) == (2, [])
    for days, count in ((6.9, 0), (7.1, 1)):
        later = RuleWalk()
        later.rules.load(saved)
        later.t = days * 86_400
        later.wait(2.0, (1, HERE))
        assert len(later.alerts) == count


def test_t1_who_was_held_back_is_remembered_over_a_restart() -> None:
    saved = json.loads(json.dumps(a_then_b().rules.dump()))
    walk = RuleWalk(cooldown_s=30)
    walk.rules.load(saved)
    walk.wait(2.0, (1, HERE))
    (alert,) = raised(walk)
    assert alert.since_last.people == 1
    assert len(alert.since_last.events) == 1


def test_t1_reminders_of_a_person_who_came_walking_go_on() -> None:
    walk = RuleWalk(repeat_s=30)
    for step in range(31):
        walk.step((1, person(0.2 + step * 0.01)))
    walk.wait(100.0, (1, person(0.5)))
    assert len(walk.alerts) == 4


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("which", ["vtest", "one_by_one"])
def test_t1_no_true_alert_is_lost_where_every_path_holds_known_places(
    request: pytest.FixtureRequest, which: str
) -> None:
    """The boxes of all visits in two real clips, those of the very alerts among them, laid as known places."""
    clip: ScoredClip = request.getfixturevalue(which)
    boxes, alerts = through_rules(clip, [])
    assert len(alerts) >= 6
    for k in range(0, len(boxes), 30):  # as many places as are kept
        places = [*alerts.values(), *boxes[k : k + 30]][-32:]
        _, still = through_rules(clip, places)
        assert set(still) == set(alerts)
    _, still = through_rules(clip, list(alerts.values())[:32])
    assert set(still) == set(alerts)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("which", ["vtest", "one_by_one"])
def test_no_true_alert_is_lost_where_every_path_holds_what_was_marked_as_nobody(
    request: pytest.FixtureRequest, which: str, shared: Path
) -> None:
    """Each person's boxes in two real clips, with the looks that they had there, laid as marked places: the worst case."""
    clip: ScoredClip = request.getfixturevalue(which)
    file, every = CLIPS[which]
    lumas = list(grey_pictures(shared / "media" / "video" / file, every=every, count=PICTURES))
    seen, alerts = marked_through_rules(clip, lumas, [])
    assert len(alerts) >= 6
    for k in range(ROUNDS):
        places = [*alerts.values(), *seen[k :: max(1, len(seen) // 24)]][:32]
        _, still = marked_through_rules(clip, lumas, places)
        assert set(still) == set(alerts)


CLIPS = {"vtest": ("vtest.avi", 1), "one_by_one": ("one-by-one-person-detection.mp4", 5)}
PICTURES, ROUNDS = 300, 6


def grey_pictures(video: Path, *, every: int, count: int) -> Iterator[GreyImage]:
    """The first `count` of each `every`th picture."""
    reader = cv2.VideoCapture(str(video))
    for number in range(every * count):
        if not reader.grab():
            break
        if number % every == 0:
            yield GreyImage(np.ascontiguousarray(reader.retrieve()[1][:, :, 1]))
    reader.release()


@dataclass(frozen=True, slots=True)
class GreyImage:
    """A picture of which brightness alone is kept."""

    pixels: Pixels

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    def luma(self) -> Pixels:
        return self.pixels

    def bgr(self) -> Pixels:
        return np.repeat(self.pixels[:, :, None], 3, axis=2)


def marked_through_rules(
    clip: ScoredClip, lumas: list[GreyImage], places: list[Appearance]
) -> tuple[list[Appearance], dict[str, Appearance]]:
    """The appearances at all changes, and those of the alerts by event, where `places` were marked as nobody."""
    rules = Rules(camera="porch", settings=camera(cooldown_s=0, still_days=0), device_id="yard")
    document = [
        {
            "id": str(k),
            "box": list(place.box),
            "first_seen": BOOT,
            "last_seen": BOOT,
            "matches": 9,
            "reason": "a test",
            "asked": True,
            "looks": [base64.b64encode(place.look).decode()],
        }
        for k, place in enumerate(places)
    ]
    rules.load({"places": document, "held_back": {"people": 0, "events": []}})
    tracker = Tracker()
    seen: list[Appearance] = []
    alerts: dict[str, Appearance] = {}
    for number, image in enumerate(lumas):
        t = number / clip.fps
        tracks = tracker.update(clip.boxes[number], clip.scores[number], t)
        outcome = rules.update(replace(frame(t), image=image), tracks, armed=True)
        for change in outcome.changes:
            box = change.after.box
            if change.type != "end":
                seen.append(Appearance(box=shares(box, image), look=describe(image.luma(), box)))
        alerts |= {
            alert.event_id: Appearance(box=shares(alert.box, image), look=describe(image.luma(), alert.box))
            for alert in outcome.alerts
        }
    return seen, alerts


def shares(box: Box, image: GreyImage) -> Box:
    return box[0] / image.width, box[1] / image.height, box[2] / image.width, box[3] / image.height


def through_rules(clip: ScoredClip, places: list[Box]) -> tuple[list[Box], dict[str, Box]]:
    """Boxes of all changes, and those of the alerts by event, px of `SIZE`, of a clip with known `places`."""
    rules = Rules(camera="porch", settings=camera(cooldown_s=0), device_id="yard")
    document = [
        {
            "id": k,
            "box": [box[0] / WIDTH, box[1] / HEIGHT, box[2] / WIDTH, box[3] / HEIGHT],
            "first_seen": BOOT,
            "last_seen": BOOT,
            "matches": 9,
            "reason": "a test",
        }
        for k, box in enumerate(places)
    ]
    rules.load({"places": document, "held_back": {"people": 0, "events": []}})
    tracker = Tracker()
    boxes: list[Box] = []
    alerts: dict[str, Box] = {}
    for number, (found, scores) in enumerate(zip(clip.boxes, clip.scores, strict=True)):
        t = number / clip.fps
        outcome = rules.update(frame(t), tracker.update(found, scores, t), armed=True)
        boxes += [change.after.box for change in outcome.changes]
        alerts |= {alert.event_id: alert.box for alert in outcome.alerts}
    return boxes, alerts


def marked(walk: RuleWalk, visit: Event) -> None:
    """A user says of this visit that nobody is there."""
    assert visit.appearance is not None
    walk.rules.suppress(visit.appearance, event_id=visit.id, first_seen=visit.start_wall, wall=BOOT + walk.t)


def test_what_was_marked_as_nobody_alerts_no_more_after_a_single_press() -> None:
    walk = RuleWalk(cooldown_s=0, still_days=0)
    coat(walk, 1)
    marked(walk, last_of(walk))
    coat(walk, 5)
    assert (len(walk.events), walk.alerts) == (6, walk.events[:1])
    why = last_of(walk).suppressed
    assert why is not None
    assert (why.id, why.reason, why.matches, why.asked) == (walk.events[0], NOBODY, 6, True)
    saved = json.loads(json.dumps(walk.rules.dump()))
    for days, count in ((29.0, 0), (31.0, 1)):
        later = RuleWalk(cooldown_s=0, still_days=0)
        later.rules.load(saved)
        later.t = days * 86_400
        later.wait(2.0, (1, HERE))
        assert len(later.alerts) == count


def test_undone_it_alerts_again() -> None:
    walk = RuleWalk(cooldown_s=0, still_days=0)
    coat(walk, 1)
    marked(walk, last_of(walk))
    assert walk.rules.unsuppress(walk.events[0])
    coat(walk, 1)
    assert walk.alerts == walk.events


def test_a_press_ends_the_reminders_of_the_visit_at_hand() -> None:
    walk = RuleWalk(repeat_s=10, cooldown_s=0, still_days=0)
    walk.wait(25.0, (1, HERE))
    assert len(walk.alerts) == 3
    marked(walk, last_of(walk))
    walk.wait(60.0, (1, HERE))
    assert len(walk.alerts) == 3
    assert walk.rules.unsuppress(walk.events[0])
    walk.wait(1.0, (1, HERE))
    assert len(walk.alerts) == 4


def test_a_person_who_looks_otherwise_in_the_very_place_alerts_at_once() -> None:
    """Somebody comes out of a door where a coat hung: first detected there, and not moving."""
    coat_hangs, somebody = scene_with(1), scene_with(2)
    walk = PicturedWalk(coat_hangs)
    walk.wait(2.0, (1, HERE))
    marked(walk, last_of(walk))
    walk.wait(5.0)
    walk.wait(2.0, (2, HERE))
    assert len(walk.alerts) == 1
    walk.wait(5.0)
    walk.picture = somebody
    for _ in range(3):
        walk.step((3, HERE))
    assert walk.alerts == [walk.events[0], walk.events[2]]


class PicturedWalk(RuleWalk):
    """A walk whose frames show `picture`."""

    def __init__(self, picture: Pixels) -> None:
        super().__init__(cooldown_s=0, still_days=0)
        self.picture = picture

    def frame(self) -> Frame:
        return replace(super().frame(), image=ArrayImage(self.picture))


def scene_with(seed: int) -> Pixels:
    """A grey wall, and in the place HERE something with patches of its own."""
    pixels = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    x1, y1, x2, y2 = (round(side) for side in HERE)
    coarse = np.random.default_rng(seed).integers(20, 230, (12, 6), np.uint8)
    patches = np.kron(coarse, np.ones(((y2 - y1) // 12 + 1, (x2 - x1) // 6 + 1), np.uint8))
    pixels[y1:y2, x1:x2] = patches[: y2 - y1, : x2 - x1, None]
    return pixels
