from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from detector.core.types import Event, EventChange
from support.people import BOOT, GARDEN, RuleWalk, person

HERE = person(0.5)


# One visit or two


def test_flicker_with_a_new_track_is_the_same_visit() -> None:
    walk = RuleWalk(cooldown_s=0)
    for step in range(20):
        walk.step((1, person(0.2 + step * 0.01)))
    walk.wait(1.0)
    for step in range(20):
        walk.step((2, person(0.45 + step * 0.01)))
    walk.wait(5.0)
    assert [kind for kind in walk.told if kind != "update"] == ["new", "end"]
    assert len(walk.alerts) == 1
    assert walk.outcomes[45].present == frozenset({2})


def test_flicker_up_to_the_last_moment_waits_for_the_confirmation() -> None:
    walk = RuleWalk(cooldown_s=0)
    walk.wait(1.0, (1, HERE))
    walk.wait(1.9)
    walk.wait(1.0, (2, HERE))
    assert walk.told == ["new"]


def test_a_candidate_that_is_never_confirmed_does_not_keep_a_visit_open_for_ever() -> None:
    walk = RuleWalk()
    walk.wait(1.0, (1, HERE))
    walk.wait(1.0)
    walk.wait(5.0, (2, HERE, 0.2))
    assert walk.told == ["new", "end"]


def test_who_is_hidden_from_below_and_comes_out_again_is_the_same_visit() -> None:
    """A passing car hides feet first and uncovers head first: the boxes' centres go up, then down."""
    walk = RuleWalk(cooldown_s=0)
    x1, y1, x2, y2 = HERE
    walk.wait(1.0, (1, HERE))
    for step in range(5):
        walk.step((1, (x1, y1, x2, y2 - step * 20)))
    walk.wait(0.8)
    for step in range(5):
        walk.step((2, (x1, y1, x2, y2 - 80 + step * 20)))
    assert len(walk.events) == 1


def test_flicker_keeps_zones_and_top_score() -> None:
    walk = RuleWalk(zones={"garden": GARDEN})
    walk.wait(1.0, (1, HERE, 0.95))
    walk.wait(0.5)
    walk.wait(1.0, (2, HERE, 0.7))
    (end,) = walk.close().changes
    assert (end.after.entered_zones, end.after.top_score, end.after.score) == (("garden",), 0.95, 0.7)


def test_the_tracker_finds_the_first_track_again_beside_its_successor() -> None:
    """Then there are two people: the visit went on as the second track, the first is a new one."""
    walk = RuleWalk(cooldown_s=0)
    walk.wait(1.0, (1, person(0.5)))
    walk.wait(0.5, (2, person(0.55)), lost=[1])
    assert len(walk.events) == 1
    walk.wait(1.0, (1, person(0.2)), (2, person(0.55)))
    assert len(set(walk.events)) == 2
    assert len(walk.alerts) == 2
    second = next(c.after for o in walk.outcomes for c in o.changes if c.after.id == walk.events[1])
    assert second.start_wall == pytest.approx(BOOT + 1.5)


def test_a_superseded_track_that_is_not_seen_again_takes_over_nobody() -> None:
    walk = RuleWalk(cooldown_s=0)
    walk.wait(1.0, (1, person(0.3)), (3, person(0.8)))
    walk.wait(3.0, (2, person(0.35)), lost=[1])
    assert [kind for kind in walk.told if kind != "update"] == ["new", "new", "end"]
    assert walk.outcomes[-1].present == frozenset({2})


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(person(0.9), id="far away"),
        pytest.param(person(0.5, height=0.15), id="another size"),
    ],
)
def test_somebody_else_shortly_after_is_a_second_visit(second: tuple[float, ...]) -> None:
    walk = RuleWalk(cooldown_s=0)
    walk.wait(1.0, (1, person(0.5)))
    walk.wait(0.5)
    walk.wait(1.0, (2, second))
    assert len(walk.events) == 2


def test_after_the_time_for_a_return_it_is_a_second_visit() -> None:
    walk = RuleWalk(cooldown_s=0)
    walk.wait(1.0, (1, HERE))
    walk.wait(2.2)
    walk.wait(1.0, (2, HERE))
    assert walk.told == ["new", "end", "new"]


def test_who_comes_in_where_the_first_just_went_out_is_a_second_visit() -> None:
    walk = RuleWalk(cooldown_s=0)
    for step in range(16):
        walk.step((1, person(0.8 + step * 0.01)))
    walk.wait(0.5)
    for step in range(16):
        walk.step((2, person(0.95 - step * 0.01)))
    assert len(walk.events) == 2
    assert len(walk.alerts) == 2


def test_who_comes_in_beside_the_exit_is_a_second_visit() -> None:
    """The first goes out to the right; the next appears not at that edge, though within reach."""
    walk = RuleWalk(cooldown_s=0)
    for step in range(16):
        walk.step((1, person(0.81 + step * 0.01)))
    walk.wait(1.5)
    walk.wait(1.0, (2, person(0.88)))
    assert len(walk.events) == 2


def test_who_comes_in_over_the_edge_is_not_the_one_who_stood_inside() -> None:
    walk = RuleWalk(cooldown_s=0)
    walk.wait(2.0, (1, person(0.88)))
    walk.wait(1.5)
    for step in range(16):
        walk.step((2, person(0.97 - step * 0.01)))
    assert len(walk.events) == 2


def test_two_at_once_are_two_however_near() -> None:
    walk = RuleWalk(cooldown_s=0)
    walk.wait(1.0, (1, person(0.5)))
    walk.wait(1.0, (1, person(0.5)), (2, person(0.52)))
    walk.wait(1.0, (2, person(0.52)))
    assert len(walk.events) == 2


def test_two_who_return_each_go_on_with_the_nearer_visit() -> None:
    walk = RuleWalk(cooldown_s=0)
    walk.wait(1.0, (1, person(0.40)), (2, person(0.44)))
    before = {v.track.id: v.id for v in walk.rules._visits.values()}
    walk.wait(0.5)
    walk.wait(1.0, (3, person(0.445)), (4, person(0.395)))
    after = {v.track.id: v.id for v in walk.rules._visits.values()}
    assert (after[3], after[4]) == (before[2], before[1])


# The life cycle, over any story


class LifeCycle(RuleBasedStateMachine):
    """People and tracks come, flicker and go as they like; what is told must stay in order."""

    @initialize(cooldown=st.sampled_from([0.0, 1.0, 5.0]), min_frames=st.integers(1, 4), zoned=st.booleans())
    def begin(self, cooldown: float, min_frames: int, zoned: bool) -> None:
        self.cooldown, self.zoned = cooldown, zoned
        zones: dict[str, Any] = {"zones": {"garden": GARDEN}, "alert_zones": ["garden"]} if zoned else {}
        self.walk = RuleWalk(cooldown_s=cooldown, min_frames=min_frames, **zones)
        self.places: dict[int, tuple[float, float]] = {}
        self.hidden: set[int] = set()
        self.next_id = 1
        self.open: dict[str, Event] = {}
        self.closed: set[str] = set()
        self.alerted: dict[str, float] = {}
        self.last_alert = -math.inf

    @rule(x=st.floats(0.0, 1.0), y=st.floats(0.3, 1.0))
    def enter(self, x: float, y: float) -> None:
        if len(self.places) < 4:
            self.places[self.next_id] = (x, y)
            self.next_id += 1

    @precondition(lambda self: self.places)
    @rule(data=st.data())
    def vanish(self, data: st.DataObject) -> None:
        gone = data.draw(st.sampled_from(sorted(self.places)))
        del self.places[gone]
        self.hidden.discard(gone)

    @precondition(lambda self: self.places)
    @rule(data=st.data())
    def hide_or_show(self, data: st.DataObject) -> None:
        who = data.draw(st.sampled_from(sorted(self.places)))
        if who in self.walk._tracks:  # the tracker knows only whom it saw
            self.hidden ^= {who}

    @rule(armed=st.booleans())
    def arm(self, armed: bool) -> None:
        self.walk.armed = armed

    @rule(data=st.data(), frames=st.integers(1, 12), step=st.sampled_from([0.04, 0.1, 0.5]))
    def frames(self, data: st.DataObject, frames: int, step: float) -> None:
        self.walk.step_s = step
        for _ in range(frames):
            drift = data.draw(st.floats(-0.02, 0.02))
            self.places = {i: (min(max(x + drift, 0.0), 1.0), y) for i, (x, y) in self.places.items()}
            score = data.draw(st.sampled_from([0.2, 0.6, 0.9]))
            seen = [(i, person(x, y), score) for i, (x, y) in self.places.items() if i not in self.hidden]
            outcome = self.walk.step(*seen, lost=sorted(self.hidden))
            self.check(outcome.changes)
            for alert in outcome.alerts:
                assert self.walk.armed
                assert alert.event_id in self.open
                assert alert.event_id not in self.alerted
                assert alert.score >= 0.5
                assert not self.zoned or alert.zones == ("garden",)
                mono = alert.frame.captured_mono
                assert mono - self.last_alert >= self.cooldown
                self.alerted[alert.event_id] = self.last_alert = mono
            assert outcome.people == len(self.open) == len(outcome.present) == self.walk.rules.people

    @rule()
    def close(self) -> None:
        self.check(self.walk.close().changes)
        assert not self.open
        self.places.clear()
        self.hidden.clear()

    def check(self, changes: tuple[EventChange, ...]) -> None:
        for change in changes:
            event = change.after
            assert event.id not in self.closed
            if change.type == "new":
                assert event.id not in self.open
                assert change.before == event
            else:
                assert change.before == self.open[event.id]
                assert event.start_wall == change.before.start_wall
                assert event.top_score >= change.before.top_score
                assert event.entered_zones[: len(change.before.entered_zones)] == change.before.entered_zones
            assert set(event.current_zones) <= set(event.entered_zones)
            assert (event.end_wall is not None) == (change.type == "end")
            if change.type == "end":
                assert event.end_wall is not None
                assert event.start_wall <= event.end_wall <= change.frame.captured_wall
                del self.open[event.id]
                self.closed.add(event.id)
            else:
                self.open[event.id] = event

    @invariant()
    def no_alert_without_event(self) -> None:
        assert set(getattr(self, "alerted", {})) <= getattr(self, "closed", set()) | set(getattr(self, "open", {}))

    def teardown(self) -> None:
        if hasattr(self, "walk"):
            self.check(self.walk.close().changes)
            assert not self.open


TestLifeCycle = LifeCycle.TestCase
TestLifeCycle.settings = hypothesis_settings(max_examples=60, stateful_step_count=30, deadline=None)
