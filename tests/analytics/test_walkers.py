from __future__ import annotations

from detector.analytics.walkers import Walkers
from detector.core.types import Box, Track


def track(x: float, *, key: int = 1) -> Track:
    box = (x, 100.0, x + 10.0, 120.0)
    return Track(id=key, box=box, score=0.8, first_mono=0.0, last_mono=0.0, hits=3, matched=True)


def test_a_post_is_not_followed_once_nothing_moves_there() -> None:
    walkers, beside = Walkers(), [(300.0, 100.0, 320.0, 130.0)]
    for k in range(50):
        walkers.update([track(50.0 + k % 2)], k / 10)
        assert walkers.select([track(50.0)], beside, k / 10) == []
        assert walkers.select([track(50.0)], [(45.0, 90.0, 55.0, 110.0)], k / 10) == [track(50.0).box]


def test_who_walked_is_followed_and_may_stand_for_a_while() -> None:
    walkers = Walkers()
    for k in range(30):
        walkers.update([track(50.0 + k)], k / 10)
    standing = track(79.0)
    assert walkers.select([standing], [], 2.9) == [standing.box]
    walkers.update([standing], 6.0)
    assert walkers.select([standing], [], 6.0) == [standing.box]
    walkers.update([standing], 9.0)
    assert walkers.select([standing], [], 9.0) == []


def test_a_new_track_is_followed_where_something_moves() -> None:
    regions: list[Box] = [(45.0, 90.0, 55.0, 110.0)]
    assert Walkers().select([track(50.0)], regions, 0.0) == [track(50.0).box]
    assert Walkers().select([track(50.0)], [], 0.0) == []


def test_tracks_that_ended_are_forgotten() -> None:
    walkers = Walkers()
    walkers.update([track(50.0)], 0.0)
    walkers.update([track(90.0)], 0.1)
    walkers.update([], 0.2)
    walkers.update([track(90.0)], 0.3)
    assert walkers.select([track(90.0)], [], 0.3) == []
