from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.analytics.zones import Side, ZoneMap, ZoneWatch, area_share, contains, foot_point

SQUARE = ((0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8))
U_SHAPE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.7, 1.0), (0.7, 0.3), (0.3, 0.3), (0.3, 1.0), (0.0, 1.0))
unit = st.floats(0.0, 1.0)


@pytest.mark.parametrize("point", [(0.5, 0.5), (0.2, 0.5), (0.8, 0.5), (0.5, 0.2), (0.5, 0.8), *SQUARE])
def test_inside_edges_and_corners_count(point: tuple[float, float]) -> None:
    assert contains(SQUARE, point)
    assert contains(SQUARE[::-1], point)


@pytest.mark.parametrize(
    "point", [(0.1, 0.5), (0.9, 0.5), (0.5, 0.1), (0.5, 0.9), (0.1, 0.2), (0.9, 0.8), (0.19, 0.19)]
)
def test_outside_does_not_count_even_level_with_an_edge(point: tuple[float, float]) -> None:
    assert not contains(SQUARE, point)


def test_concave() -> None:
    assert contains(U_SHAPE, (0.1, 0.9))
    assert contains(U_SHAPE, (0.9, 0.9))
    assert contains(U_SHAPE, (0.5, 0.3))
    assert not contains(U_SHAPE, (0.5, 0.6))


def test_self_crossing_is_even_odd() -> None:
    bow_tie = ((0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0))
    assert contains(bow_tie, (0.1, 0.5))
    assert contains(bow_tie, (0.5, 0.5))
    assert not contains(bow_tie, (0.5, 0.1))


def test_repeated_corner_is_no_trap() -> None:
    assert contains((*SQUARE, SQUARE[0]), (0.5, 0.5))
    assert not contains((*SQUARE, SQUARE[0]), (0.9, 0.9))


@given(unit, unit, st.floats(0.05, 0.4), st.integers(3, 9), unit, st.floats(0.0, 2 * math.pi))
def test_round_polygon_agrees_with_its_radius(
    cx: float, cy: float, radius: float, corners: int, share: float, angle: float
) -> None:
    polygon = [
        (cx + radius * math.cos(2 * math.pi * i / corners), cy + radius * math.sin(2 * math.pi * i / corners))
        for i in range(corners)
    ]
    inner = radius * math.cos(math.pi / corners)  # of the inscribed circle
    assert contains(
        polygon, (cx + share * 0.999 * inner * math.cos(angle), cy + share * 0.999 * inner * math.sin(angle))
    )
    assert not contains(polygon, (cx + 1.001 * radius * math.cos(angle), cy + 1.001 * radius * math.sin(angle)))


@given(st.tuples(unit, unit), st.tuples(unit, unit), st.tuples(unit, unit), unit)
def test_points_of_an_edge_count(
    a: tuple[float, float], b: tuple[float, float], c: tuple[float, float], s: float
) -> None:
    assert contains((a, b, c), (a[0] + s * (b[0] - a[0]), a[1] + s * (b[1] - a[1])))


def test_foot_point_is_bottom_centre_held_in_the_picture() -> None:
    assert foot_point((10.0, 20.0, 30.0, 80.0), (100, 200)) == (0.2, 0.4)
    assert foot_point((90.0, 20.0, 130.0, 260.0), (100, 200)) == (1.0, 1.0)
    assert foot_point((-30.0, -50.0, 10.0, -5.0), (100, 200)) == (0.0, 0.0)


def test_area_share_is_of_the_visible_part() -> None:
    assert area_share((0.0, 0.0, 50.0, 100.0), (100, 200)) == pytest.approx(0.25)
    assert area_share((-50.0, -50.0, 50.0, 50.0), (100, 200)) == pytest.approx(0.125)
    assert area_share((110.0, 0.0, 120.0, 50.0), (100, 200)) == 0.0


def test_zone_map_names_in_config_order_and_masks() -> None:
    zones = ZoneMap(
        zones={"yard": SQUARE, "all": ((0, 0), (1, 0), (1, 1), (0, 1))}, masks=[((0, 0), (0.1, 0), (0, 0.1))]
    )
    assert list(zones.locate((40.0, 0.0, 60.0, 100.0), (100, 200)).items()) == [("yard", "inside"), ("all", "inside")]
    assert zones.locate((0.0, 0.0, 20.0, 100.0), (100, 200)) == {"yard": "outside", "all": "inside"}
    assert zones.masked((0.05, 0.05))
    assert not zones.masked((0.5, 0.5))


@pytest.mark.parametrize(
    ("foot", "side"),
    [
        ((500, 160), "inside"),
        ((500, 159), "edge"),
        ((500, 151), "edge"),
        ((500, 149), "outside"),
        ((800, 400), "inside"),
        ((809, 400), "edge"),
        ((811, 400), "outside"),
        ((806, 646), "edge"),
        ((808, 648), "outside"),
    ],
)
def test_the_edge_is_as_wide_as_a_share_of_the_person_in_pixels(foot: tuple[int, int], side: str) -> None:
    """200 px tall: 10 px, whatever the picture's shape; round at corners."""
    x, y = foot
    zones = ZoneMap(zones={"yard": SQUARE}, masks=())
    assert zones.locate((x - 30.0, y - 200.0, x + 30.0, float(y)), (1000, 800)) == {"yard": side}


def sides(inside: str = "", edge: str = "", zones: str = "ab") -> dict[str, Side]:
    return {zone: "inside" if zone in inside else "edge" if zone in edge else "outside" for zone in zones}


def test_watch_enters_after_consecutive_frames_and_leaves_as_late() -> None:
    watch = ZoneWatch(inertia=2)
    watch.observe(sides("a"))
    watch.observe(sides())
    watch.observe(sides("a"))
    assert not watch.current
    watch.observe(sides("ab"))
    assert watch.current == ("a",)
    watch.observe(sides("b"))
    assert (watch.inside, watch.entered) == (("b",), ("a", "b"))
    assert list(watch.current) == ["a", "b"]
    watch.observe(sides("b"))
    assert list(watch.current) == ["b"]
    assert list(watch.entered) == ["a", "b"]


def test_watch_stays_at_the_edge_for_ten_times_as_long() -> None:
    watch = ZoneWatch(inertia=2)
    for _ in range(2):
        watch.observe(sides("a"))
    for _ in range(19):
        watch.observe(sides(edge="a"))
        assert watch.current == ("a",)
    watch.observe(sides(edge="a"))
    assert watch.current == ()
    watch.observe(sides(edge="a"))
    assert watch.current == (), "the edge is no way in"


def test_one_frame_inside_starts_the_leaving_again() -> None:
    watch = ZoneWatch(inertia=2)
    for _ in range(2):
        watch.observe(sides("a"))
    for _ in range(5):
        watch.observe(sides())
        watch.observe(sides("a"))
        assert watch.current == ("a",)


def test_watch_taken_over_keeps_what_was_entered() -> None:
    first, later = ZoneWatch(inertia=1), ZoneWatch(inertia=1)
    first.observe(sides("a"))
    later.observe(sides("ab", zones="ba"))
    first.take_over(later)
    assert (first.current, first.entered) == (("b", "a"), ("a", "b"))


def test_inertia_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        ZoneWatch(inertia=0)
