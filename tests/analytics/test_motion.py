from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detector.analytics.motion import MotionDecision, MotionGate, _boxes
from detector.config.schema import MotionSettings
from detector.config.value_types import Polygon
from detector.core.types import ArrayImage, Box, Image, Pixels
from support import sample

SETTINGS = MotionSettings()
LEFT_HALF: Polygon = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
EVERYTHING: Polygon = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


def scene(*, grey: int = 90, block: int | None = None, size: tuple[int, int] = (640, 360), level: int = 200) -> Image:
    """A plain picture, with a bright block of 40x80 px whose left edge is at `block`."""
    pixels = np.full((size[1], size[0], 3), grey, np.uint8)
    if block is not None:
        pixels[200:280, block : block + 40] = level
    return ArrayImage(pixels)


def looks(
    images: Iterable[Image], *, people: bool = False, fps: float = 10.0, **settings: object
) -> list[MotionDecision]:
    gate = MotionGate(settings=MotionSettings.model_validate(settings))
    return [gate.assess(image, k / fps, people=people) for k, image in enumerate(images)]


def runs(seen: Sequence[MotionDecision]) -> list[int]:
    return [k for k, look in enumerate(seen) if look.run]


def test_a_plane_of_its_own_and_one_of_a_colour_picture_are_judged_alike() -> None:
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, (361, 643, 3), np.uint8) for _ in range(4)]
    colour = [ArrayImage(picture) for picture in pictures]
    grey = [_Grey(np.ascontiguousarray(picture[:, :, 1])) for picture in pictures]
    assert grey[0].luma().strides != colour[0].luma().strides
    assert looks(colour) == looks(grey)
    assert looks(grey)[1].area > 0.1


class _Grey(ArrayImage):
    def luma(self) -> Pixels:
        return self.pixels


# --- where it moved


def test_regions_are_where_it_moved_in_the_pictures_own_pixels() -> None:
    gate = MotionGate(settings=SETTINGS)
    gate.assess(scene(), 0.0, people=False)
    assert gate.regions() == ()
    gate.assess(scene(block=100), 0.1, people=False)
    (region,) = gate.regions()
    assert region == pytest.approx((100, 200, 140, 280), abs=8)
    for k in range(2, 100):
        gate.assess(scene(block=100), k / 10, people=False)
    assert gate.regions() == (), "it has become part of the scene"


def test_two_things_apart_are_two_regions_the_larger_first_and_masks_hide() -> None:
    pixels = scene(block=400).bgr().copy()
    pixels[20:40, 60:70] = 200
    for masks, count in (((), 2), ((LEFT_HALF,), 1)):
        gate = MotionGate(settings=SETTINGS, masks=masks)
        gate.assess(scene(), 0.0, people=False)
        gate.assess(ArrayImage(pixels), 0.1, people=False)
        regions = gate.regions()
        assert len(regions) == count
        assert regions[0] == pytest.approx((400, 200, 440, 280), abs=8)


@settings(deadline=None)
@given(
    spots=st.lists(
        st.tuples(st.integers(0, 255), st.integers(0, 143), st.integers(1, 24), st.integers(1, 24)), max_size=8
    )
)
@example(spots=[(0, 0, 3, 3), (253, 141, 3, 3), (100, 0, 3, 3), (0, 70, 3, 3)])
@example(spots=[(10, 10, 3, 3), (19, 10, 3, 3), (10, 30, 3, 3), (20, 30, 3, 3)])
@example(spots=[(0, 0, 1, 5), (50, 50, 6, 1), (0, 0, 256, 144)])
def test_boxes_are_those_of_the_pixels_that_lie_near_each_other(spots: list[tuple[int, int, int, int]]) -> None:
    change = np.zeros((144, 256), np.uint8)
    for x, y, width, height in spots:
        change[y : y + height, x : x + width] = 255
    assert _boxes(change, (2.5, 3.0)) == boxes_by_search(change, (2.5, 3.0))


def boxes_by_search(change: Pixels, scale: tuple[float, float]) -> tuple[Box, ...]:
    """The same by spreading from pixel to pixel, up to 7 px away in x and y."""
    left = {(int(x), int(y)) for y, x in np.argwhere(change)}
    found = []
    while left:
        thing, front = [], [left.pop()]
        while front:
            x, y = front.pop()
            thing.append((x, y))
            near = {(x + i, y + j) for i in range(-7, 8) for j in range(-7, 8)} & left
            left -= near
            front += near
        if len(thing) >= 6:
            xs, ys = zip(*thing, strict=True)
            box = (min(xs) * scale[0], min(ys) * scale[1], (max(xs) + 1) * scale[0], (max(ys) + 1) * scale[1])
            found.append((-len(thing), box))
    return tuple(box for _, box in sorted(found))


def test_a_change_of_the_whole_picture_is_nowhere() -> None:
    gate = MotionGate(settings=SETTINGS)
    gate.assess(scene(), 0.0, people=False)
    look = gate.assess(scene(grey=200), 0.1, people=False)
    assert (look.run, look.moving) == (True, False)
    assert gate.regions() == ()


def test_a_disabled_gate_knows_no_regions() -> None:
    gate = MotionGate(settings=MotionSettings(enabled=False))
    for k in range(3):
        gate.assess(scene(block=100 * k), k / 10, people=False)
    assert gate.regions() == ()


# --- when the model is run


def test_first_frame_is_run_and_still_ones_are_not() -> None:
    seen = looks([scene()] * 15)
    assert runs(seen) == [0]
    assert not any(look.moving or look.area for look in seen)


def test_still_scene_is_rechecked_at_the_idle_rate() -> None:
    assert runs(looks([scene()] * 101, idle_recheck_s=2.0)) == [0, 20, 40, 60, 80, 100]


def test_still_scene_is_rechecked_faster_with_people() -> None:
    assert runs(looks([scene()] * 51, people=True, recheck_s=1.0)) == [0, 10, 20, 30, 40, 50]


@pytest.mark.parametrize("start", [0.1 * k for k in range(1, 20)])
def test_rounding_of_times_delays_nothing(start: float) -> None:
    """Stamps such as 0.1 + 10 * 0.1 fall short of, or exceed, a whole second by a rounding error."""
    for images in ([scene()] * 101, [scene(), scene(block=100), *[scene(block=100)] * 99]):
        gates = MotionGate(settings=SETTINGS), MotionGate(settings=SETTINGS)
        exact = [gates[0].assess(image, k / 8, people=True).run for k, image in enumerate(images)]
        shifted = [gates[1].assess(image, start + k / 8, people=True).run for k, image in enumerate(images)]
        assert shifted == exact


def test_recheck_is_due_as_soon_as_somebody_is_followed() -> None:
    gate = MotionGate(settings=SETTINGS)
    gate.assess(scene(), 0.0, people=False)
    assert not gate.assess(scene(), 1.2, people=False).run
    assert gate.assess(scene(), 1.3, people=True).run


def test_motion_is_run_at_once_and_held() -> None:
    seen = looks([*[scene()] * 5, scene(block=100), *[scene()] * 60], hold_s=2.0, idle_recheck_s=3600)
    moving = [k for k, look in enumerate(seen) if look.moving]
    assert moving[0] == 5
    assert runs(seen) == [0, *range(5, moving[-1] + 21)]


def test_size_change_is_run_and_is_not_motion() -> None:
    seen = looks([*[scene()] * 5, *[scene(size=(320, 180), block=100)] * 5])
    assert runs(seen) == [0, 5]
    assert not any(look.moving for look in seen)


def test_disabled_gate_runs_everything() -> None:
    seen = looks([scene(), scene(block=100), scene()], enabled=False)
    assert all(look == MotionDecision(moving=False, area=0.0, run=True) for look in seen)


@pytest.mark.parametrize("t", [0.9, float("nan"), float("inf")])
@pytest.mark.parametrize("enabled", [True, False])
def test_wrong_time_is_refused(t: float, enabled: bool) -> None:
    gate = MotionGate(settings=MotionSettings(enabled=enabled))
    gate.assess(scene(), 1.0, people=False)
    with pytest.raises(ValueError, match="time"):
        gate.assess(scene(), t, people=False)


# --- what counts as motion


@pytest.mark.parametrize("size", [(320, 180), (640, 360), (1280, 720), (1920, 1080), (767, 575), (360, 640)])
def test_area_is_the_changed_share_at_every_size(size: tuple[int, int]) -> None:
    width, height = size
    before = np.full((height, width, 3), 90, np.uint8)
    after = before.copy()
    after[: height // 2, : width // 2] = 200
    seen = looks([ArrayImage(before), ArrayImage(after)])
    assert seen[1].area == pytest.approx(0.25, abs=0.02)


def test_too_small_a_change_is_not_motion() -> None:
    images = [scene(), scene(block=100)]
    share = 40 * 80 / (640 * 360)
    assert looks(images, min_area=share * 0.8)[1].moving
    assert not looks(images, min_area=share * 1.3)[1].moving


def test_change_below_the_threshold_is_not_motion() -> None:
    images = [scene(), scene(block=100, level=105)]
    assert looks(images, threshold=10)[1].moving
    assert not looks(images, threshold=20)[1].moving


def test_masked_change_is_ignored() -> None:
    gate = MotionGate(settings=SETTINGS, masks=[LEFT_HALF])
    gate.assess(scene(), 0.0, people=False)
    assert gate.assess(scene(block=100), 0.1, people=False) == MotionDecision(moving=False, area=0.0, run=False)
    assert gate.assess(scene(block=500), 0.2, people=False).moving


def test_mask_over_everything_leaves_the_rechecks() -> None:
    gate = MotionGate(settings=MotionSettings(idle_recheck_s=1.0), masks=[EVERYTHING])
    seen = [gate.assess(scene(block=10 * k), k / 10, people=False) for k in range(21)]
    assert runs(seen) == [0, 10, 20]


def test_whole_picture_change_is_run_for_the_hold_and_is_no_motion() -> None:
    night = scene(grey=20, block=300)
    seen = looks([*[scene(block=300)] * 10, *[night] * 40], hold_s=2.0, idle_recheck_s=3600)
    assert not any(look.moving for look in seen)
    assert runs(seen) == [0, *range(10, 31)]


def test_slowly_changing_light_is_not_motion() -> None:
    # 4 grey levels a second, as when a cloud goes by: 80 levels in all.
    assert runs(looks([scene(grey=60 + round(0.4 * k)) for k in range(200)], idle_recheck_s=3600)) == [0]


def test_what_stays_fades_into_the_background() -> None:
    seen = looks([*[scene()] * 5, *[scene(block=100)] * 150])
    assert seen[5].moving
    assert not any(look.moving for look in seen[80:])


@dataclass(frozen=True)
class PlaneImage:
    """A decoder's luma plane: rows padded, as PyAV gives them."""

    plane: Pixels

    @property
    def width(self) -> int:
        return int(self.plane.shape[1])

    @property
    def height(self) -> int:
        return int(self.plane.shape[0])

    def bgr(self) -> Pixels:
        raise AssertionError("the gate must not pay for colours")

    def luma(self) -> Pixels:
        return self.plane


def test_padded_luma_plane_gives_the_same_as_a_colour_picture() -> None:
    for width, height in ((300, 170), (1920, 1080)):
        random = np.random.default_rng(1)
        colour, plane = MotionGate(settings=SETTINGS), MotionGate(settings=SETTINGS)
        for k in range(4):
            pixels = random.integers(0, 255, (height, width + 32, 3), np.uint8)
            padded = np.ascontiguousarray(pixels[:, :, 1])[:, :width]
            a = colour.assess(ArrayImage(np.ascontiguousarray(pixels[:, :width])), k / 10, people=False)
            assert a == plane.assess(PlaneImage(padded), k / 10, people=False)


# --- real pictures


def film(path: Path) -> Iterator[Image]:
    reader = cv2.VideoCapture(str(path))
    try:
        while True:
            found, pixels = reader.read()
            if not found:
                return
            yield ArrayImage(np.asarray(pixels, np.uint8))
    finally:
        reader.release()


@pytest.fixture(scope="module")
def noisy() -> Callable[[Pixels], Image]:
    """Adds a poor camera's noise, 10 grey levels of standard deviation, new each time."""
    random = np.random.default_rng(0)
    grain = random.normal(0.0, 10.0, (8, 760, 1320, 3)).astype(np.float32)

    def add(pixels: Pixels) -> Image:
        y, x = random.integers(0, 30, 2)
        part = grain[random.integers(8), y : y + pixels.shape[0], x : x + pixels.shape[1]]
        return ArrayImage(np.clip(pixels + part, 0, 255).astype(np.uint8))

    return add


@pytest.fixture(scope="module")
def street() -> Pixels:
    """An empty street, 768x432."""
    (pixels,) = sample.frames([60])
    return np.asarray(cv2.resize(pixels, (768, 432), interpolation=cv2.INTER_AREA), np.uint8)


@pytest.mark.parametrize("foot", [424, 574])
def test_a_distant_person_of_24_px_opens_the_gate(street: Pixels, noisy: Callable[[Pixels], Image], foot: int) -> None:
    """Walking in a noisy picture of 1280x720 at 0.8 of the own height a second: never closed for longer than the hold."""
    (picture,) = sample.frames([120])
    person = cv2.resize(picture[:, 330:504], (9, 24), interpolation=cv2.INTER_AREA)
    scene = cv2.resize(street, (1280, 720), interpolation=cv2.INTER_LINEAR)

    def images() -> Iterator[Image]:
        for k in range(100):
            pixels = scene.copy()
            if k >= 20:
                x = round(300 + 1.92 * (k - 20))
                pixels[foot - 24 : foot, x : x + 9] = person
            yield noisy(pixels.astype(np.uint8))

    seen = looks(images(), idle_recheck_s=3600)
    assert 20 <= runs(seen)[1] <= 30
    assert runs(seen)[1:] == list(range(runs(seen)[1], 100))


def test_the_noise_of_a_dark_picture_does_not_open_the_gate(street: Pixels) -> None:
    """15 grey levels of standard deviation, half as much again as a poor camera's."""
    random = np.random.default_rng(0)
    scene = cv2.resize(street, (1280, 720), interpolation=cv2.INTER_LINEAR) * 0.5
    grain = random.normal(0.0, 15.0, (720, 1280, 3))

    def images() -> Iterator[Image]:
        for k in range(100):
            noise = np.roll(grain, (31 * k, 57 * k), axis=(0, 1))
            yield ArrayImage(np.clip(scene + noise, 0, 255).astype(np.uint8))

    assert runs(looks(images(), idle_recheck_s=3600)) == [0]


def test_busy_clip_is_run_whole(shared: Path) -> None:
    seen = looks(film(shared / "media" / "video" / "vtest.avi"), people=True)
    assert len(seen) == 795
    assert np.mean([look.run for look in seen]) > 0.99
    assert np.mean([look.moving for look in seen]) > 0.99


def test_still_noisy_scene_is_skipped_but_for_rechecks(street: Pixels, noisy: Callable[[Pixels], Image]) -> None:
    seen = looks((noisy(street) for _ in range(200)), idle_recheck_s=2.0)
    assert runs(seen) == list(range(0, 200, 20))


@pytest.mark.parametrize("speed", [2.0, 6.0, 40.0])
def test_slow_person_is_never_missed_for_longer_than_the_hold(
    street: Pixels, noisy: Callable[[Pixels], Image], speed: float
) -> None:
    (picture,) = sample.frames([120])
    person = cv2.resize(picture[:, 330:504], (38, 100), interpolation=cv2.INTER_AREA)

    def images() -> Iterator[Image]:
        for k in range(150):
            pixels = street.copy()
            if k >= 20:
                x = round(100 + speed * (k - 20) / 10)
                pixels[200:300, x : x + 38] = person
            yield noisy(pixels)

    seen = looks(images(), hold_s=0.5, idle_recheck_s=3600)
    assert runs(seen) == [0, *range(20, 150)]


def test_every_frame_of_every_true_visit_is_run(shared: Path) -> None:
    video = shared / "media" / "video" / "one-by-one-person-detection.mp4"
    record = json.loads((video.parent / "gt" / "one-by-one_presence_machine.json").read_text())
    # Nobody is ever said to be followed: the gate must see each of them come by itself.
    seen = looks(film(video), idle_recheck_s=3600)
    visited = {k for begin, end in record["segments"] for k in range(begin, end + 1)}
    skipped = set(range(len(seen))) - set(runs(seen))
    assert not skipped & visited
    assert len(skipped) > 30  # of the empty gaps, some of which are shorter than the hold
