from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.analytics.tracker import Tracker, TrackerSettings
from detector.core.types import Box, Floats, Track
from support.trackscore import ScoredClip, follow, our_update, read_truth, score, true_visits, visits

SIZE = (40.0, 100.0)


def person(x: float, y: float = 200.0) -> Box:
    return x, y, x + SIZE[0], y + SIZE[1]


def step(tracker: Tracker, t: float, *boxes: Box, scores: Sequence[float] | float = 0.9) -> tuple[Track, ...]:
    marks = np.broadcast_to(np.asarray(scores, np.float32), len(boxes)).copy()
    return tracker.update(np.array(boxes, np.float32).reshape(-1, 4), marks, t)


def walk(tracker: Tracker, times: Iterable[float], *, start: float = 100.0, speed: float = 80.0) -> tuple[Track, ...]:
    """One person at `speed` px/s, seen at every one of `times`."""
    tracks: tuple[Track, ...] = ()
    for t in times:
        tracks = step(tracker, t, person(start + speed * t))
    return tracks


def every(dt: float, begin: float, end: float) -> list[float]:
    return [round(begin + k * dt, 9) for k in range(round((end - begin) / dt))]


# --- the life of a track


def test_first_detection_is_a_track_with_one_hit() -> None:
    (track,) = step(Tracker(), 5.0, person(100), scores=0.75)
    assert (track.id, track.hits, track.matched) == (1, 1, True)
    assert (track.first_mono, track.last_mono, track.score) == (5.0, 5.0, 0.75)
    assert track.box == pytest.approx(person(100))


def test_hits_count_and_stamps_follow() -> None:
    (track,) = walk(Tracker(), every(0.1, 0, 1))
    assert (track.id, track.hits, track.first_mono, track.last_mono) == (1, 10, 0.0, 0.9)


def test_candidate_that_is_missed_for_a_second_is_forgotten() -> None:
    tracker = Tracker()
    step(tracker, 0.0, person(100))
    for t in every(0.1, 0.1, 1.1):
        assert [track.matched for track in step(tracker, t)] == [False]
    assert step(tracker, 1.15) == ()
    slow = Tracker()
    step(slow, 0.0, person(100))
    assert len(step(slow, 1.5)) == 1, "one miss alone is none, however long the interval"
    assert step(slow, 3.0) == ()


def test_candidate_is_picked_up_where_it_reappears_within_a_second() -> None:
    tracker = Tracker()
    step(tracker, 0.0, person(100))
    for t in every(0.1, 0.1, 0.7):
        step(tracker, t, person(104), scores=0.05)
    (track,) = step(tracker, 0.7, person(110))
    assert (track.id, track.hits, track.first_mono) == (1, 2, 0.0)


def test_weak_detection_starts_nothing() -> None:
    assert step(Tracker(), 0.0, person(100), scores=0.49) == ()


def test_weak_detection_keeps_the_id() -> None:
    tracker = Tracker()
    walk(tracker, every(0.1, 0, 0.5))
    for t in every(0.1, 0.5, 4.0):
        (track,) = step(tracker, t, person(100 + 80 * t), scores=0.15)
        assert (track.id, track.matched) == (1, True)
    assert track.score == pytest.approx(0.15)


def test_weak_detection_moves_the_box_less_than_a_sure_one() -> None:
    moved = {}
    for mark in (0.2, 0.9):
        tracker = Tracker()
        walk(tracker, every(0.1, 0, 1), speed=0)
        (track,) = step(tracker, 1.0, person(110), scores=mark)
        moved[mark] = track.box[0] - 100
    assert 0 < moved[0.2] < moved[0.9] < 10


def test_detections_below_the_floor_are_not_seen() -> None:
    tracker = Tracker()
    walk(tracker, every(0.1, 0, 0.5))
    (track,) = step(tracker, 0.5, person(140), scores=0.09)
    assert not track.matched


def test_second_box_on_the_same_person_starts_no_track() -> None:
    tracker = Tracker()
    walk(tracker, every(0.1, 0, 0.5), speed=0)
    tracks = step(tracker, 0.5, person(100), person(104))
    assert [track.id for track in tracks] == [1]


def test_ids_are_never_used_again() -> None:
    tracker = Tracker()
    walk(tracker, every(0.1, 0, 0.5), speed=0)
    assert step(tracker, 100.0) == ()
    (track,) = step(tracker, 100.1, person(100))
    assert track.id == 2


def test_new_ids_go_to_the_surest_first() -> None:
    tracks = step(Tracker(), 0.0, person(100), person(300), person(500), scores=[0.6, 0.9, 0.7])
    assert {track.id: round(track.box[0]) for track in tracks} == {1: 300, 2: 500, 3: 100}


# --- patience


def test_lost_track_dies_after_time_and_updates_are_both_spent() -> None:
    tracker = Tracker()
    walk(tracker, every(0.1, 0, 0.5), speed=0)
    last = 0.4
    alive = [t for t in every(0.1, 0.5, 5.0) if step(tracker, t)]
    assert alive[-1] - last == pytest.approx(tracker.settings.max_lost_s)


def test_lost_track_outlives_max_lost_s_where_frames_are_rare() -> None:
    tracker = Tracker()
    walk(tracker, every(1.0, 0, 5), speed=0)
    alive = [t for t in every(1.0, 5, 20) if step(tracker, t)]
    assert len(alive) == tracker.settings.max_lost_updates


@pytest.mark.parametrize("seed", range(8))
def test_standing_person_with_dropped_detections_keeps_the_id(seed: int) -> None:
    tracker = Tracker()
    random = np.random.default_rng(seed)
    ids, last = set(), 0.0
    for t in every(0.1, 0, 60):
        # Seven of ten detections are missing, but never for longer than the tracker is patient.
        if t < 0.3 or random.random() < 0.3 or t - last > 1.85:
            last = t
            tracks = step(tracker, t, person(100 + random.normal(0, 2), 200 + random.normal(0, 2)))
        else:
            tracks = step(tracker, t)
        ids |= {track.id for track in tracks}
    assert ids == {1}


@pytest.mark.parametrize("hidden_s", [0.3, 1.0, 1.9])
def test_walker_hidden_for_up_to_two_seconds_keeps_the_id(hidden_s: float) -> None:
    tracker = Tracker()
    walk(tracker, every(0.1, 0, 2))
    for t in every(0.1, 2, 2 + hidden_s):
        (track,) = step(tracker, t)
        assert not track.matched
    tracks = walk(tracker, every(0.1, 2 + hidden_s, 3 + hidden_s))
    assert [(track.id, track.matched) for track in tracks] == [(1, True)]


def test_lost_box_coasts_and_stops() -> None:
    tracker = Tracker(settings=TrackerSettings(max_lost_s=60.0))
    walk(tracker, every(0.1, 0, 3), speed=100)
    places = [step(tracker, t)[0].box for t in every(0.5, 3, 30)]
    first, last = places[0], places[-1]
    assert places[-10] == pytest.approx(last)
    # Two seconds at 100 px/s from the last sighting at 2.9 s (x 390), and no further.
    assert first[0] < last[0] <= 100 + 290 + 100 * tracker.settings.coast_s + 1
    assert last[2] - last[0] == pytest.approx(SIZE[0], abs=2)


# --- crossing, jumping, outages


@pytest.mark.parametrize("dt", [0.04, 0.1, 0.2])
def test_crossing_people_keep_their_ids(dt: float) -> None:
    tracker = Tracker()
    for t in every(dt, 0, 6):
        right, left = person(100 + 80 * t), person(500 - 80 * t, 215)
        hidden = abs(right[0] - left[0]) < 20  # the one behind is not detected
        tracks = step(tracker, t, *([right] if hidden else [right, left]))
    places = {track.id: track.box[0] for track in tracks}
    assert set(places) == {1, 2}
    began_left = 1 if step(Tracker(), 0.0, person(100), person(500, 215))[0].box[0] == 100 else 2
    assert places[began_left] > places[3 - began_left]


@pytest.mark.parametrize("dt", [0.04, 0.1, 0.3, 0.5, 1.0])
def test_walker_keeps_the_id_at_every_frame_rate(dt: float) -> None:
    (track,) = walk(Tracker(), every(dt, 0, 10), speed=70)
    assert (track.id, track.hits) == (1, round(10 / dt))


def test_walker_keeps_the_id_at_irregular_times() -> None:
    times = np.cumsum(np.random.default_rng(3).uniform(0.04, 0.9, 60))
    (track,) = walk(Tracker(), times.tolist())
    assert (track.id, track.hits) == (1, 60)


def test_far_jump_is_another_person() -> None:
    tracker = Tracker()
    walk(tracker, every(0.1, 0, 1), speed=0)
    tracks = step(tracker, 1.0, person(400))
    assert {track.id: track.matched for track in tracks} == {1: False, 2: True}


def test_far_smaller_box_in_the_same_place_is_not_the_same_person() -> None:
    tracker = Tracker()
    walk(tracker, every(0.5, 0, 3), speed=0)
    tracks = step(tracker, 3.0, (114.0, 235.0, 126.0, 265.0))
    assert {track.id: track.matched for track in tracks} == {1: False, 2: True}


def test_after_an_outage_only_who_stands_in_place_is_the_same() -> None:
    tracker = Tracker()
    for t in every(0.1, 0, 1):
        before = step(tracker, t, person(100), person(400), scores=[0.9, 0.8])
    after = step(tracker, 20.0, person(102), person(470))
    assert [track.id for track in before] == [1, 2]
    assert [(track.id, track.matched, track.hits) for track in after] == [(1, True, 11), (3, True, 1)]


def test_whoever_is_not_there_after_an_outage_is_gone_at_once() -> None:
    tracker = Tracker()
    walk(tracker, every(0.1, 0, 1))
    assert step(tracker, 1.0 + tracker.settings.outage_s + 0.1) == ()


def test_same_time_twice_is_allowed() -> None:
    tracker = Tracker()
    step(tracker, 1.0, person(100))
    (track,) = step(tracker, 1.0, person(100))
    assert (track.id, track.hits) == (1, 2)


# --- wrong input

GOOD = np.array([person(100)], np.float32)


@pytest.mark.parametrize(
    ("boxes", "scores", "t", "words"),
    [
        (GOOD * np.nan, [0.9], 2.0, "finite"),
        (GOOD + np.inf, [0.9], 2.0, "finite"),
        (GOOD, [math.nan], 2.0, "finite"),
        (GOOD, [0.9, 0.8], 2.0, r"\[N, 4\]"),
        (GOOD[:, :3], [0.9], 2.0, r"\[N, 4\]"),
        (GOOD, [[0.9]], 2.0, r"\[N, 4\]"),
        (GOOD[:, ::-1], [0.9], 2.0, "x1 <= x2"),
        (GOOD, [0.9], math.nan, "time"),
        (GOOD, [0.9], 0.9, "backwards"),
    ],
)
def test_wrong_input_is_refused_and_changes_nothing(boxes: Floats, scores: list[float], t: float, words: str) -> None:
    tracker, untouched = Tracker(), Tracker()
    for each in (tracker, untouched):
        walk(each, [0.8, 1.0])
    with pytest.raises(ValueError, match=words):
        tracker.update(boxes, np.array(scores, np.float32), t)
    assert step(tracker, 1.1, person(188)) == step(untouched, 1.1, person(188))


def test_a_turn_of_the_camera_takes_the_tracks_along_and_leaves_their_speed() -> None:
    turned, still = Tracker(), Tracker()
    for k in range(30):
        walker = person(300 + 4.0 * k)
        moved = person(300 + 4.0 * k - (200.0 if k >= 20 else 0.0))
        if k == 20:
            turned.shift(-200.0, 0.0)
        (expected,), (found,) = step(still, k / 10, walker), step(turned, k / 10, moved)
        assert (found.id, found.hits) == (1, k + 1)
        assert found.box[0] == pytest.approx(expected.box[0] - (200.0 if k >= 20 else 0.0), abs=1e-6)


def test_empty_point_and_crowd() -> None:
    tracker = Tracker()
    assert step(tracker, 0.0) == ()
    (point,) = step(tracker, 0.1, (50.0, 50.0, 50.0, 50.0))
    assert point.hits == 1
    crowd = [person(60.0 * (k % 20), 120.0 * (k // 20)) for k in range(300)]
    for t in (0.2, 0.3, 0.4):
        tracks = step(tracker, t, *crowd)
    assert len({track.id for track in tracks if track.hits == 3}) == 300


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_iou": 1.5},
        {"max_lost_s": -1.0},
        {"coast_s": math.nan},
        {"min_score": 0.6},
        {"new_score": 0.05},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="|".join(wrong)):
        TrackerSettings(**wrong)


# --- what must hold whatever comes

places = st.tuples(st.integers(0, 1800), st.integers(0, 900), st.integers(0, 200), st.integers(0, 400)).map(
    lambda p: (float(p[0]), float(p[1]), float(p[0] + p[2]), float(p[1] + p[3]))
)
sightings = st.tuples(places, st.integers(0, 100).map(lambda s: s / 100))
frames = st.tuples(st.floats(0.0, 8.0), st.lists(sightings, max_size=6))


def play(story: Sequence[tuple[float, list[tuple[Box, float]]]]) -> list[tuple[Track, ...]]:
    tracker, t, told = Tracker(), 0.0, []
    for wait, seen in story:
        t += wait
        told.append(step(tracker, t, *(box for box, _ in seen), scores=[mark for _, mark in seen]))
    return told


@settings(deadline=None, max_examples=60)
@given(story=st.lists(frames, max_size=12))
def test_invariants(story: list[tuple[float, list[tuple[Box, float]]]]) -> None:
    known: dict[int, Track] = {}
    dead: set[int] = set()
    for tracks, (_, seen) in zip(play(story), story, strict=True):
        ids = [track.id for track in tracks]
        assert ids == sorted(set(ids))
        assert not dead & set(ids)
        assert sum(track.matched for track in tracks) <= sum(mark >= 0.1 for _, mark in seen)
        for track in tracks:
            before = known.get(track.id)
            assert track.hits == (before.hits if before else 0) + track.matched
            assert before is None or (before.first_mono, True) == (
                track.first_mono,
                before.last_mono <= track.last_mono,
            )
            assert before or track.id > max(known, default=0)
            x1, y1, x2, y2 = track.box
            assert all(map(math.isfinite, track.box))
            assert x2 > x1
            assert y2 > y1
        dead |= set(known) - set(ids)
        known = {**known, **{track.id: track for track in tracks}}


@settings(deadline=None, max_examples=60)
@given(story=st.lists(frames, max_size=8), seed=st.integers(0, 2**16))
def test_order_of_detections_is_irrelevant_and_runs_repeat(
    story: list[tuple[float, list[tuple[Box, float]]]], seed: int
) -> None:
    random = np.random.default_rng(seed)
    shuffled = [(wait, [seen[k] for k in random.permutation(len(seen))]) for wait, seen in story]
    assert play(story) == play(story) == play(shuffled)


@settings(deadline=None, max_examples=40)
@given(dt=st.floats(0.04, 0.6), speed=st.floats(-90, 90), noise=st.integers(0, 2**16))
def test_one_walker_is_one_track(dt: float, speed: float, noise: int) -> None:
    tracker, random = Tracker(), np.random.default_rng(noise)
    for k in range(30):
        tracks = step(tracker, k * dt, person(1000 + speed * k * dt + random.normal(0, 2), 200 + random.normal(0, 2)))
    assert [(track.id, track.hits) for track in tracks] == [(1, 30)]


# --- real clips


@pytest.mark.timeout(600)  # 795 model runs: 15 s, but many times that where the machine is shared
def test_vtest_scored_against_marked_identities(shared: Path, vtest: ScoredClip) -> None:
    clip = vtest
    truth = read_truth(shared / "media" / "video" / "gt" / "vtest_mot_gt.csv")
    full = score(truth, follow(clip, range(len(clip.boxes)), our_update()))
    assert full.mota >= 0.84
    assert full.idf1 >= 0.87
    half = score(truth, follow(clip, range(0, len(clip.boxes), 2), our_update()))
    assert half.mota >= 0.84
    assert half.idf1 >= 0.84


@pytest.mark.timeout(600)
def test_one_by_one_visits_at_two_frames_a_second(shared: Path, one_by_one: ScoredClip) -> None:
    clip = one_by_one
    record = json.loads((shared / "media" / "video" / "gt" / "one-by-one_presence_machine.json").read_text())
    real = true_visits((a / record["fps"], b / record["fps"]) for a, b in record["segments"])
    found = visits(clip, range(len(clip.boxes)))
    assert len(found) == len(real) == 6
    for (begin, end), (true_begin, true_end) in zip(found, real, strict=True):
        assert abs(begin - true_begin) <= 1.0
        assert abs(end - true_end) <= 1.0
