from __future__ import annotations

from itertools import pairwise

from detector.analytics.visit_path import MOST_POINTS, VisitPath


def walked(seconds: float, *, begin: float = 0.0, fps: int = 10) -> VisitPath:
    path = VisitPath()
    for step in range(round(seconds * fps)):
        at = begin + step / fps
        path.observe(at, (at, 100.0, at + 50.0, 300.0), (1000, 500), 0.9)
    return path


def test_points_are_normalised_and_the_latest_box_is_the_last() -> None:
    points = walked(1.0).points
    assert points[0].box == (0.0, 0.2, 0.05, 0.6)
    assert points[-1].mono == 0.9
    assert [round(point.mono, 1) for point in points] == [0.0, 0.2, 0.4, 0.6, 0.8, 0.9]


def test_a_long_visit_keeps_its_whole_course_in_few_points() -> None:
    points = walked(3600.0).points
    assert MOST_POINTS / 2 <= len(points) <= MOST_POINTS
    assert (points[0].mono, round(points[-1].mono)) == (0.0, 3600)
    gaps = [b.mono - a.mono for a, b in pairwise(points[:-1])]
    assert max(gaps) < 1.1 * min(gaps), "evenly spread"


def test_another_track_of_the_same_person_is_added() -> None:
    path = walked(5.0)
    path.take_over(walked(5.0, begin=7.0))
    points = path.points
    assert len(points) <= MOST_POINTS
    assert points[0].mono == 0.0
    assert points[-1].mono == 11.9
    assert [point.mono for point in points] == sorted(point.mono for point in points)
    assert VisitPath().points == ()
