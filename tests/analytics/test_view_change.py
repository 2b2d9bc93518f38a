from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest

from detector.analytics.motion import MotionDecision, MotionGate
from detector.analytics.pipeline import CameraPipeline
from detector.analytics.view_change import HomeView, find_shift, find_view, is_light, spread
from detector.config.schema import MotionSettings
from detector.core.types import ArrayImage, Detections, Frame, Pixels
from support import sample
from support.people import camera

SIZE = (640, 360)
THRESHOLD = 18.0


@pytest.fixture(scope="module")
def scene() -> Pixels:
    """A street, 1280x544 px: about twice as wide as the camera sees."""
    (pixels,) = sample.frames([60])
    return np.asarray(cv2.resize(pixels, (1280, 544), interpolation=cv2.INTER_CUBIC), np.uint8)


@pytest.fixture
def noise() -> Callable[[Pixels], Pixels]:
    random = np.random.default_rng(0)

    def add(pixels: Pixels) -> Pixels:
        return np.asarray(np.clip(pixels + random.normal(0.0, 5.0, pixels.shape), 0, 255), np.uint8)

    return add


def small(scene: Pixels, x: int, y: int = 60) -> Pixels:
    grey = cv2.cvtColor(scene[y : y + 360, x : x + 640], cv2.COLOR_BGR2GRAY)
    return np.asarray(cv2.blur(cv2.resize(grey, (320, 180), interpolation=cv2.INTER_AREA), (3, 3)), np.uint8)


def panned(scene: Pixels, at: float) -> Pixels:
    """The camera's view `at` px to the right in the scene."""
    return np.asarray(cv2.getRectSubPix(scene, SIZE, (at + SIZE[0] / 2, 60 + SIZE[1] / 2)), np.uint8)


# --- the measures


def test_spread_counts_the_cells_that_changed_however_large_the_change() -> None:
    change = np.zeros((144, 256), np.uint8)
    assert spread(change) == 0.0
    change[:, :128] = 255
    assert spread(change) == 0.5
    change[:] = 0
    change[8::16, :] = 255  # a line through each cell
    assert spread(change) == 1.0


@pytest.mark.parametrize("way", [(40, 0), (-30, 0), (0, 20), (24, -16), (2, 0)])
def test_a_turn_is_measured_as_the_shift_of_the_picture(scene: Pixels, way: tuple[int, int]) -> None:
    shift = find_shift(small(scene, 300), small(scene, 300 + way[0], 60 + way[1]), threshold=THRESHOLD)
    assert shift == pytest.approx((-way[0] / 2, -way[1] / 2), abs=0.3)


def test_what_moves_in_the_picture_is_no_turn_however_large_it_is(scene: Pixels) -> None:
    """Somebody before the camera, half as wide as the picture, steps aside."""
    random = np.random.default_rng(2)
    coat = cv2.GaussianBlur(random.integers(0, 256, (180, 160)).astype(np.uint8), (0, 0), 2)
    before, now = small(scene, 300), small(scene, 300)
    before[:, 60:220], now[:, 72:232] = coat, coat
    assert find_shift(before, now, threshold=THRESHOLD) is None


def test_another_light_or_another_view_is_no_turn(scene: Pixels) -> None:
    picture = small(scene, 300)
    for other in (np.asarray(picture * 0.5, np.uint8), 255 - picture, np.full_like(picture, 90), picture):
        assert find_shift(picture, other, threshold=THRESHOLD) is None
    assert find_shift(np.full_like(picture, 90), np.full_like(picture, 200), threshold=THRESHOLD) is None
    assert find_view(picture, 255 - picture, threshold=THRESHOLD) is None


def test_a_linear_change_is_the_lights_and_a_large_things_move_is_not(scene: Pixels) -> None:
    picture, other = small(scene, 300), small(scene, 300)
    other[:, 60:260] = small(scene, 100)[:, 60:260]
    for light in (np.asarray(picture * 0.4, np.uint8), np.asarray(picture * 0.7 + 60, np.uint8)):
        assert is_light(picture, light, threshold=THRESHOLD)
    assert not is_light(picture, other, threshold=THRESHOLD)
    assert not is_light(np.full_like(picture, 90), other, threshold=THRESHOLD)
    plain, figure = np.full_like(picture, 90), np.full_like(picture, 90)
    plain[40:140, 100:160], figure[40:140, 100:160] = 120, 255
    assert not is_light(plain, figure, threshold=THRESHOLD)


def test_the_view_at_home_is_known_again_though_small_shifts_add_up_to_another(scene: Pixels) -> None:
    home = small(scene, 300)
    view = HomeView(threshold=THRESHOLD)
    view.start(home)
    for x in (310, 330, 360, 330, 310, 300):
        assert view.update(small(scene, x), may_turn=True)
    view._at = (3.0, -2.0)  # as if many measured shifts had gone wrong
    steps = []
    for _ in range(10):
        assert not view.update(home, may_turn=False)
        steps.append(view.step)
    assert [step for step in steps if any(step)] == [pytest.approx((-3.0, 2.0), abs=0.1)]
    assert view._at == pytest.approx((0.0, 0.0), abs=0.1)


# --- the motion gate


def assessed(pictures: Iterator[Pixels], **settings: object) -> list[MotionDecision]:
    gate = MotionGate(settings=MotionSettings.model_validate(settings))
    return [gate.assess(ArrayImage(picture), k / 10, people=False) for k, picture in enumerate(pictures)]


def test_t5_a_pan_is_no_motion_and_its_shifts_add_up(scene: Pixels, noise: Callable[[Pixels], Pixels]) -> None:
    """30 % of the width in a second, a pause, and back."""
    ways = [*[0.0] * 20, *np.linspace(0, 192, 11), *[192.0] * 30, *np.linspace(192, 0, 11), *[0.0] * 20]
    seen = assessed(noise(panned(scene, 200 + way)) for way in ways)
    assert not any(look.moving for look in seen)
    there = np.array([look.shift for look in seen[:55]]).sum(axis=0)
    assert there == pytest.approx((-192, 0), abs=4)
    assert np.array([look.shift for look in seen]).sum(axis=0) == pytest.approx((0, 0), abs=1)
    assert all(look.run for look in seen[21:50]), "who comes into view must be found"


@pytest.mark.parametrize(
    "night",
    [
        pytest.param(lambda p: cv2.cvtColor(cv2.cvtColor(p, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), id="grey"),
        pytest.param(
            lambda p: cv2.cvtColor(cv2.convertScaleAbs(p[:, :, 2], alpha=1.3, beta=10), cv2.COLOR_GRAY2BGR), id="red"
        ),
        pytest.param(lambda p: cv2.convertScaleAbs(p, alpha=0.4), id="dark"),
    ],
)
def test_t5_an_ir_filter_that_flips_is_no_motion(
    scene: Pixels, noise: Callable[[Pixels], Pixels], night: Callable[[Pixels], Pixels]
) -> None:
    day = panned(scene, 300)
    dark = np.asarray(night(day), np.uint8)
    seen = assessed(noise(dark if k // 10 % 2 else day) for k in range(200))
    assert not any(look.moving for look in seen)
    assert not any(any(look.shift) for look in seen)


def test_t5_a_walker_after_the_pan_is_motion_again(scene: Pixels) -> None:
    def pictures() -> Iterator[Pixels]:
        for k in range(60):
            picture = panned(scene, 200 + 20.0 * min(max(k - 10, 0), 9))
            if k >= 40:
                picture = picture.copy()
                picture[150:250, 100 + 6 * (k - 40) :][:, :40] = 240
            yield picture

    seen = assessed(pictures())
    assert [k for k, look in enumerate(seen) if look.moving][:1] == [40]


@pytest.mark.parametrize("speed", [3.0, 6.0, 12.0])
def test_t5_a_slow_pan_is_measured_too(scene: Pixels, noise: Callable[[Pixels], Pixels], speed: float) -> None:
    """Pixels a frame at 10 a second, of 640."""
    ways = [*[0.0] * 20, *np.arange(0, 192, speed), *[192.0] * 30]
    seen = assessed(noise(panned(scene, 200 + way)) for way in ways)
    assert np.array([look.shift for look in seen]).sum(axis=0) == pytest.approx((-192, 0), abs=10)


@pytest.mark.parametrize("frames", [4, 6, 20])
def test_t5_light_that_fades_is_no_motion(scene: Pixels, noise: Callable[[Pixels], Pixels], frames: int) -> None:
    day = panned(scene, 300)
    levels = [*[1.0] * 20, *np.linspace(1.0, 0.3, frames), *[0.3] * 30, *np.linspace(0.3, 1.0, frames), *[1.0] * 20]
    seen = assessed(noise(np.asarray(day * level, np.uint8)) for level in levels)
    assert not any(look.moving for look in seen)


def test_somebody_right_before_the_camera_is_motion(scene: Pixels) -> None:
    """Who fills most of the picture changes it everywhere, in frame after frame."""
    random = np.random.default_rng(3)
    coat = cv2.GaussianBlur(random.integers(0, 256, (360, 900, 3)).astype(np.uint8), (0, 0), 12)
    coat = np.asarray(cv2.normalize(coat, None, 0, 255, cv2.NORM_MINMAX), np.uint8)  # type: ignore[call-overload]

    def pictures() -> Iterator[Pixels]:
        for k in range(40):
            picture = panned(scene, 300).copy()
            if k >= 20:
                picture[:, 60:580] = coat[:, 10 * (k - 20) :][:, :520]
            yield picture

    seen = assessed(pictures())
    assert sum(look.moving for look in seen[20:]) >= 15


# --- visits and alerts


class PannedWalk:
    """A person parked in the scene, seen by a camera that turns; the figure's box is the detection."""

    def __init__(self, scene: Pixels, *, at: int, **settings: object) -> None:
        self._scene, self._at = scene.copy(), at
        self._scene[180:300, at : at + 40] = (30, 40, 200)
        self._pipeline = CameraPipeline(name="porch", settings=camera(**settings), device_id="yard")
        self._frames = 0
        self.told: list[str] = []
        self.alerts = 0
        self.stationary = False

    def look(self, way: float) -> None:
        t = self._frames / 10
        frame = Frame(
            camera="porch",
            seq=self._frames,
            captured_mono=t,
            captured_wall=t,
            image=ArrayImage(panned(self._scene, way)),
        )
        self._frames += 1
        if not self._pipeline.should_detect(frame):
            return
        left, right = max(self._at - way, 0.0), min(self._at + 40 - way, SIZE[0])
        boxes = [[left, 120, right, 240]] if right - left > 15 else []
        found = Detections(
            frame=frame,
            boxes=np.array(boxes, np.float32).reshape(-1, 4),
            scores=np.full(len(boxes), 0.9, np.float32),
            infer_ms=1.0,
        )
        outcome = self._pipeline.process(found, armed_as="armed_away")
        self.alerts += len(outcome.alerts)
        self.told += [change.type for change in outcome.changes]
        self.stationary = outcome.changes[-1].after.stationary if outcome.changes else self.stationary

    def play(self, pause: int) -> None:
        for way in (*[100.0] * 80, *np.linspace(100, 292, 11), *[292.0] * pause, *np.linspace(292, 100, 11)):
            self.look(way)
        for _ in range(80):
            self.look(100.0)


@pytest.mark.parametrize("still_days", [0, 7])
def test_t5_a_parked_person_who_stays_in_view_is_one_visit_and_one_alert(scene: Pixels, still_days: float) -> None:
    walk = PannedWalk(scene, at=500, cooldown_s=0, still_days=still_days)
    walk.play(pause=40)
    assert [kind for kind in walk.told if kind != "update"] == ["new"]
    assert (walk.alerts, walk.stationary) == (1, True)
    assert walk.told.count("update") == 1, "stationary once, and never moved again"


@pytest.mark.parametrize("pause", [5, 40, 300])
def test_t5_a_parked_person_whom_the_camera_turned_away_from_is_the_same_visit(scene: Pixels, pause: int) -> None:
    walk = PannedWalk(scene, at=150, cooldown_s=0, still_days=0)
    walk.play(pause=pause)
    assert [kind for kind in walk.told if kind != "update"] == ["new"]
    assert walk.alerts == 1


def test_t5_a_known_place_is_known_again_after_the_camera_looked_elsewhere_for_long(scene: Pixels) -> None:
    walk = PannedWalk(scene, at=150, cooldown_s=0)
    walk.play(pause=700)
    assert [kind for kind in walk.told if kind != "update"] == ["new", "end", "new"]
    assert walk.alerts == 1


def test_t5_somebody_else_who_comes_after_the_turn_alerts(scene: Pixels) -> None:
    walk = PannedWalk(scene, at=150, cooldown_s=0)
    for way in (*[100.0] * 80, *np.linspace(100, 292, 11)):
        walk.look(way)
    for step in range(60):
        walk._at = 400 + 6 * step
        walk.look(292.0)
    assert walk.alerts == 2
