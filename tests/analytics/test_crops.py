from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest

from detector.analytics.crops import Crop, CropPlanner, detect_in_crops
from detector.core.errors import InferenceError
from detector.core.types import ArrayImage, Box, Detections, Frame

SIZE, INPUT = (1920, 1080), (416, 416)
FAR: Box = (400.0, 300.0, 420.0, 350.0)  # 11 px tall in the input


@cache
def picture(size: tuple[int, int]) -> ArrayImage:
    """Each pixel says where it is, modulo 251."""
    rows, columns = np.mgrid[0 : size[1], 0 : size[0]]
    return ArrayImage(np.stack((columns % 251, rows % 251, np.zeros_like(rows)), axis=2).astype(np.uint8))


def frame(t: float = 0.0, size: tuple[int, int] = SIZE) -> Frame:
    return Frame(camera="yard", seq=round(t * 10), captured_mono=t, captured_wall=t, image=picture(size))


def seen(at: Frame, *people: tuple[Box, float]) -> Detections:
    return Detections(
        frame=at,
        boxes=np.array([box for box, _ in people], np.float32).reshape(-1, 4),
        scores=np.array([score for _, score in people], np.float32),
        infer_ms=2.0,
    )


def planned(
    *,
    regions: Sequence[Box] = (FAR,),
    followed: Sequence[Box] = (),
    whole: Sequence[tuple[Box, float]] = (),
    per_s: float = 5.0,
    size: tuple[int, int] = INPUT,
    camera: tuple[int, int] = SIZE,
) -> tuple[Crop, ...]:
    at = frame(size=camera)
    return CropPlanner(per_s=per_s).plan(seen(at, *whole), regions=regions, followed=followed, size=size)


# --- where to look


def test_small_motion_that_nobody_explains_is_cut_so_small_that_the_model_enlarges_it() -> None:
    far: Box = (400.0, 300.0, 408.0, 314.0)
    (view,) = planned(regions=[far])
    x1, y1, x2, y2 = view.window
    assert (x2 - x1, y2 - y1) == (208, 208), "twice: 14 px become 28"
    assert x1 <= far[0] < far[2] <= x2
    assert y1 <= far[1] < far[3] <= y2
    pixels = view.frame.image.bgr()
    assert pixels.shape == (208, 208, 3)
    assert (pixels[0, 0, 0], pixels[0, 0, 1]) == (x1 % 251, y1 % 251)
    assert (view.frame.seq, view.frame.captured_mono) == (0, 0.0)


@pytest.mark.parametrize("corner", [(0.0, 0.0), (1906.0, 0.0), (0.0, 1066.0), (1906.0, 1066.0)])
def test_windows_stay_in_the_picture(corner: tuple[float, float]) -> None:
    x, y = corner
    (view,) = planned(regions=[(x, y, x + 14, y + 14)])
    assert view.window[0] >= 0
    assert view.window[1] >= 0
    assert view.window[2] <= SIZE[0]
    assert view.window[3] <= SIZE[1]
    assert view.frame.image.bgr().shape == (208, 208, 3)


def test_what_moves_is_enlarged_as_people_seen_there_before_need_it() -> None:
    closer = CropPlanner(per_s=5.0)
    legs: Box = (400.0, 330.0, 410.0, 340.0)
    closer.learn([(700.0, 312.0, 716.0, 340.0)] * 10, SIZE)
    (view,) = closer.plan(seen(frame()), regions=[legs], followed=[], size=INPUT)
    assert view.frame.image.bgr().shape == (416, 416, 3), "people there are 28 px tall"


@pytest.mark.parametrize("turned", [True, False])
def test_a_camera_that_looks_elsewhere_forgets_how_tall_people_were(turned: bool) -> None:
    closer = CropPlanner(per_s=5.0)
    legs: Box = (400.0, 330.0, 410.0, 340.0)
    closer.learn([(700.0, 312.0, 716.0, 340.0)] * 10, SIZE)
    if turned:
        closer.shift(0.0, -200.0)
    else:
        closer.forget_view()
    (view,) = closer.plan(seen(frame()), regions=[legs], followed=[], size=INPUT)
    assert view.frame.image.bgr().shape < (416, 416, 3), "as tall as what moves"


def test_places_that_windows_showed_move_with_the_picture() -> None:
    """After a turn, the thing beside the one that was just shown has its turn."""
    closer = CropPlanner(per_s=10.0)
    one, other = FAR, (1500.0, 800.0, 1520.0, 850.0)
    (first,) = closer.plan(seen(frame(0.0)), regions=[one], followed=[], size=INPUT)
    assert _holds(first, one)
    closer.shift(40.0, 0.0)
    turned: list[Box] = [(x1 + 40.0, y1, x2 + 40.0, y2) for x1, y1, x2, y2 in (one, other)]
    views = closer.plan(seen(frame(0.2)), regions=turned, followed=[], size=INPUT)
    assert _holds(views[0], turned[1])


def test_where_people_are_large_small_motion_is_a_part_of_them() -> None:
    closer = CropPlanner(per_s=5.0)
    closer.learn([(700.0, 100.0, 800.0, 340.0)] * 10, SIZE)
    assert closer.plan(seen(frame()), regions=[(400.0, 330.0, 410.0, 340.0)], followed=[], size=INPUT) == ()


def test_a_window_is_no_larger_than_the_picture() -> None:
    (view,) = planned(size=(416, 256), camera=(1200, 200), regions=[(600.0, 100.0, 620.0, 128.0)])
    assert view.frame.image.bgr().shape == (200, 416, 3)
    (view,) = planned(size=(416, 256), camera=(200, 600), regions=[(60.0, 100.0, 70.0, 114.0)])
    assert view.frame.image.bgr().shape == (128, 200, 3)


def test_nothing_is_gained_where_the_picture_is_enlarged_already() -> None:
    assert planned(camera=(160, 160), regions=[(10.0, 10.0, 14.0, 19.0)]) == ()
    assert len(planned(camera=(180, 180), regions=[(10.0, 10.0, 14.0, 19.0)])) == 1


def test_what_is_large_or_was_found_needs_no_closer_look() -> None:
    tall: Box = (100.0, 100.0, 300.0, 700.0)
    assert planned(regions=[tall]) == ()
    person: Box = (395.0, 295.0, 425.0, 355.0)
    assert planned(whole=[(person, 0.8)]) == ()
    assert len(planned(whole=[(person, 0.3)])) == 1, "too weak to explain anything"
    trail: Box = (380.0, 300.0, 424.0, 352.0)
    assert planned(regions=[trail], whole=[(person, 0.8)]) == ()


def test_without_motion_only_who_is_followed_and_was_not_found_is_looked_at() -> None:
    assert planned(regions=[]) == ()
    assert len(planned(regions=[], followed=[FAR])) == 1
    assert planned(regions=[], followed=[FAR], whole=[(FAR, 0.9)]) == ()


def test_the_window_that_holds_most_goes_first_and_who_is_followed_before_all() -> None:
    crowd: list[Box] = [(1000.0 + 40 * k, 500.0, 1015.0 + 40 * k, 540.0) for k in range(4)]
    (view,) = planned(regions=[FAR, *crowd])
    assert all(_holds(view, box) for box in crowd)
    assert not _holds(view, FAR)
    (view,) = planned(regions=crowd[:1], followed=[FAR])
    assert _holds(view, FAR)


def _holds(view: Crop, box: Box) -> bool:
    x1, y1, x2, y2 = view.window
    return x1 <= box[0] and y1 <= box[1] and x2 >= box[2] and y2 >= box[3]


# --- how often


def test_no_more_than_so_many_a_second_however_much_moves() -> None:
    closer = CropPlanner(per_s=5.0)
    scattered: list[Box] = [
        (90.0 + 450 * k, 60.0 + 450 * j, 110.0 + 450 * k, 100.0 + 450 * j) for k in range(4) for j in (0, 1)
    ]
    followed = [FAR]  # so that none is in vain
    count = 0
    for k in range(100):
        at = frame(k / 10)
        count += len(closer.plan(seen(at), regions=scattered, followed=followed, size=INPUT))
    assert 48 <= count <= 53


def test_a_high_rate_gives_several_windows_a_frame_and_none_holds_what_another_does() -> None:
    closer = CropPlanner(per_s=40.0)
    regions: list[Box] = [FAR, (410.0, 360.0, 425.0, 400.0), (1500.0, 800.0, 1520.0, 850.0)]
    views: tuple[Crop, ...] = ()
    for t in (0.0, 0.1):
        views = closer.plan(seen(frame(t)), regions=regions, followed=[], size=INPUT)
    assert len(views) == 2, "two of the three lie together"


def test_who_was_found_is_looked_at_in_the_very_next_frames() -> None:
    """Every other frame at best would lose a runner, who is elsewhere by then."""
    closer = CropPlanner(per_s=5.0)
    assert len(closer.plan(seen(frame(0.0)), regions=[FAR], followed=[], size=INPUT)) == 1
    assert closer.plan(seen(frame(0.1)), regions=[FAR], followed=[], size=INPUT) == (), "that would be ten a second"
    for t in (0.2, 0.3, 0.4):
        assert len(closer.plan(seen(frame(t)), regions=[], followed=[FAR], size=INPUT)) == 1


def looks(closer: CropPlanner, begin: float, seconds: float, *, followed: Sequence[Box] = ()) -> int:
    times = [begin + k / 10 for k in range(round(seconds * 10))]
    return sum(
        len(closer.plan(seen(frame(t, (960, 720))), regions=[FAR], followed=followed, size=INPUT)) for t in times
    )


def test_looks_in_vain_become_rare_until_somebody_is_found_or_it_is_quiet() -> None:
    closer = CropPlanner(per_s=5.0)
    looks(closer, 0.0, 30.0)
    assert looks(closer, 30.0, 20.0) <= 16
    assert looks(closer, 50.0, 4.0, followed=[(500.0, 100.0, 510.0, 130.0)]) >= 17
    again = CropPlanner(per_s=5.0)
    looks(again, 0.0, 30.0)
    assert looks(again, 40.0, 2.0) >= 7, "after a quiet time they begin at the full rate"


def test_two_things_that_move_take_turns() -> None:
    closer = CropPlanner(per_s=10.0)
    apart: list[Box] = [FAR, (1500.0, 800.0, 1520.0, 850.0)]
    turns = [closer.plan(seen(frame(k / 10)), regions=apart, followed=[], size=INPUT) for k in range(6)]
    held = [_holds(views[0], FAR) for views in turns if views]
    assert len(held) >= 5
    assert 2 <= sum(held) <= 4


# --- what comes of it


def joined(
    whole: Sequence[tuple[Box, float]], part: Sequence[tuple[Box, float]], *, target: Box = FAR
) -> list[tuple[list[int], float]]:
    """The window lies at 300, 200; `part` is in its px."""
    at = frame()
    view = Crop(frame=at, window=(300, 200, 716, 616), targets=np.array([target]))
    result = detect_in_crops(seen(at, *whole), [view], lambda asked: [seen(one, *part) for one in asked])
    assert result.frame is at
    assert result.infer_ms == 4.0
    return [
        ([round(side) for side in box], round(score, 2))
        for box, score in zip(result.boxes.tolist(), result.scores.tolist(), strict=True)
    ]


IN_WINDOW: Box = (100.0, 100.0, 120.0, 150.0)  # FAR, seen from the window


def test_who_is_found_comes_back_in_the_pictures_own_pixels() -> None:
    assert joined([], [(IN_WINDOW, 0.8)]) == [([400, 300, 420, 350], 0.8)]


def test_one_person_seen_twice_is_one_person_the_surer_box() -> None:
    nearly: Box = (402.0, 301.0, 421.0, 352.0)
    assert joined([(nearly, 0.3)], [(IN_WINDOW, 0.8)]) == [([400, 300, 420, 350], 0.8)]
    assert joined([(nearly, 0.9)], [(IN_WINDOW, 0.8)]) == [([402, 301, 421, 352], 0.9)]


def test_a_part_of_somebody_who_was_found_whole_is_nobody_else() -> None:
    tall: Box = (395.0, 295.0, 425.0, 420.0)
    assert joined([(tall, 0.9)], [(IN_WINDOW, 0.8)]) == [([395, 295, 425, 420], 0.9)]


def test_neighbours_found_in_one_view_both_stay() -> None:
    beside: Box = (108.0, 100.0, 128.0, 150.0)
    assert len(joined([], [(IN_WINDOW, 0.8), (beside, 0.7)])) == 2


@pytest.mark.parametrize(
    "box",
    [(0.0, 100.0, 20.0, 150.0), (100.0, 1.0, 120.0, 50.0), (396.0, 100.0, 415.0, 150.0), (100.0, 370.0, 120.0, 416.0)],
)
def test_whom_the_window_cuts_off_does_not_count(box: Box) -> None:
    x1, y1, x2, y2 = box
    assert joined([], [(box, 0.9)], target=(x1 + 300, y1 + 200, x2 + 300, y2 + 200)) == []


def test_at_the_pictures_own_edge_nothing_is_cut_off() -> None:
    at = frame()
    box: Box = (0.0, 0.0, 20.0, 50.0)
    view = Crop(frame=at, window=(0, 0, 416, 416), targets=np.array([box]))
    assert len(detect_in_crops(seen(at), [view], lambda asked: [seen(one, (box, 0.9)) for one in asked]).boxes) == 1


def test_what_is_unsure_or_does_not_move_is_nobody() -> None:
    assert joined([], [(IN_WINDOW, 0.4)]) == []
    assert joined([], [((200.0, 300.0, 220.0, 350.0), 0.9)]) == [], "a sign beside what moves"
    assert joined([], [((80.0, 20.0, 180.0, 220.0), 0.9)]) == [], "a sign behind what moves"


def test_people_whose_motion_is_one_region_all_count() -> None:
    row: Box = (400.0, 300.0, 520.0, 352.0)
    apart: list[Box] = [(101.0 + 40 * k, 100.0, 119.0 + 40 * k, 150.0) for k in range(3)]
    assert len(joined([], [(box, 0.8) for box in apart], target=row)) == 3


def test_without_windows_nothing_changes() -> None:
    found = seen(frame(), (FAR, 0.6))
    assert detect_in_crops(found, (), lambda _: pytest.fail("no window, no run")) is found


def test_what_the_model_meets_in_a_window_is_raised() -> None:
    at = frame()
    view = Crop(frame=at, window=(0, 0, 416, 416), targets=np.array([FAR]))
    with pytest.raises(InferenceError, match="NaN"):
        detect_in_crops(seen(at), [view], lambda asked: [InferenceError("NaN") for _ in asked])
