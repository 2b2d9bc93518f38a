from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from detector.analytics.evidence import Circumstances, EvidenceLook, TrackEvidence
from detector.core.types import ArrayImage, Box, Track
from support.evidence import made_curves

SIZE = (1280, 720)
TREE: Box = (600.0, 300.0, 620.0, 350.0)


def track(key: int, box: Box, score: float, *, matched: bool = True) -> Track:
    return Track(id=key, box=box, score=score, first_mono=0.0, last_mono=0.0, hits=1, matched=matched)


def now(t: float) -> Circumstances:
    return Circumstances(mono=t, size=SIZE, scale=0.325, dark=False)


def walker(step: int) -> Box:
    x = 100.0 + 10.0 * step
    return (x, 300.0, x + 20.0, 350.0)


def follow(
    evidence: TrackEvidence, score: float, looks: int, *, box: Box | None = None, key: int = 1, start: float = 0.0
) -> Iterator[EvidenceLook]:
    for k in range(looks):
        (look,) = evidence.update([track(key, box or walker(k), score)], now(start + k / 10), decided=())
        yield look


def looks_until_certain(score: float, *, box: Box | None = None) -> int | None:
    looks = list(follow(TrackEvidence(made_curves()), score, 40, box=box))
    return next((k + 1 for k, look in enumerate(looks) if look.certain), None)


def test_many_weak_looks_are_as_certain_as_few_sure_ones() -> None:
    sure, weak = looks_until_certain(0.85), looks_until_certain(0.35)
    assert sure is not None
    assert weak is not None
    assert sure <= 3 < weak


def test_scores_that_nobody_has_more_often_confirm_nobody() -> None:
    assert looks_until_certain(0.15) is None


def test_looks_at_the_same_pixels_tell_less_than_looks_at_one_who_walks() -> None:
    walking, standing = looks_until_certain(0.45), looks_until_certain(0.45, box=TREE)
    assert walking is not None
    assert standing is None or standing > walking
    assert looks_until_certain(0.85, box=TREE) == looks_until_certain(0.85), "the first three count wherever they are"


def test_a_look_that_does_not_find_the_track_tells_against_it() -> None:
    evidence = TrackEvidence(made_curves())
    (first,) = follow(evidence, 0.55, 1)
    (missed,) = evidence.update([track(1, walker(1), 0.55, matched=False)], now(0.1), decided=())
    assert (missed.score, missed.total < first.total) == (0.0, True)


def test_a_tree_that_gives_weak_scores_all_day_raises_the_bar_there_alone() -> None:
    evidence, key = TrackEvidence(made_curves()), 0
    for key in range(1, 30):  # seen for half a second, gone for a second
        list(follow(evidence, 0.45, 5, box=TREE, key=key, start=key * 1.5))
        evidence.update([], now(key * 1.5 + 1.0), decided=())
    at_the_tree = list(follow(evidence, 0.45, 5, box=TREE, key=100, start=60.0))
    elsewhere = list(follow(evidence, 0.45, 5, key=101, start=62.0))
    before = list(follow(TrackEvidence(made_curves()), 0.45, 5, box=TREE))
    assert at_the_tree[-1].total < before[-1].total
    assert [look.total for look in elsewhere] == [
        look.total for look in follow(TrackEvidence(made_curves()), 0.45, 5, start=62.0)
    ]
    sure = list(follow(evidence, 0.85, 3, box=TREE, key=102, start=64.0))
    assert sure[-1].certain, "a person before the tree is confirmed as anywhere else"


def test_what_is_not_confirmed_for_long_is_nobody_while_it_is_still_there() -> None:
    evidence = TrackEvidence(made_curves(bar=1e6))
    list(follow(evidence, 0.45, 200, box=TREE))
    fresh = next(follow(evidence, 0.45, 1, box=TREE, key=2, start=20.0))
    assert fresh.total < next(follow(TrackEvidence(made_curves()), 0.45, 1, box=TREE)).total


def test_whoever_was_confirmed_is_not_counted_as_nobody() -> None:
    evidence = TrackEvidence(made_curves())
    list(follow(evidence, 0.45, 20, box=TREE))
    evidence.update([track(1, TREE, 0.45)], now(2.1), decided={1})
    evidence.update([], now(9.0), decided=())
    fresh = next(follow(evidence, 0.45, 1, box=TREE, key=2, start=10.0))
    assert fresh.total == next(follow(TrackEvidence(made_curves()), 0.45, 1, box=TREE)).total


def test_a_camera_that_was_turned_has_other_places() -> None:
    evidence = TrackEvidence(made_curves(bar=1e6))
    list(follow(evidence, 0.45, 200, box=TREE))
    evidence.forget_view()
    fresh = next(follow(evidence, 0.45, 1, box=TREE, key=2, start=20.0))
    assert fresh.total == next(follow(TrackEvidence(made_curves()), 0.45, 1, box=TREE)).total


@pytest.mark.parametrize(("grey", "dark"), [(30, True), (120, False)])
def test_the_light_is_the_pictures_mean(grey: int, dark: bool) -> None:
    image = ArrayImage(np.full((720, 1280, 3), grey, np.uint8))
    assert Circumstances.of(image, 1.0, 0.5) == Circumstances(mono=1.0, size=SIZE, scale=0.5, dark=dark)
