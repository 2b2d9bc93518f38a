"""Pictures of the cameras: when there are enough, which judge, and that they pass through memory whole."""

from __future__ import annotations

import numpy as np
import pytest

from detector.core.types import ArrayImage
from detector.models.autotune.samples import GAP_S, CalibrationSet, SampleCollector, SampleQuota, small, split, unpack

BASE = (128, 128)
NEED = SampleQuota(pictures=6, pictures_each=4, visits_each=2, visits=3)


def picture(grey: int) -> ArrayImage:
    return ArrayImage(np.full((48, 64, 3), grey, np.uint8))


def fed(
    collector: SampleCollector, scene: str, count: int, *, visits: int = 3, start: float = 0.0, cameras: int = 1
) -> float:
    for index in range(count):
        collector.observe(scene, picture(index), {index % visits}, now=start + index * GAP_S, cameras=cameras)
    return start + count * GAP_S


def test_pictures_lie_apart_in_time() -> None:
    collector = SampleCollector(base=BASE, need=NEED)
    for tick in range(40):
        collector.observe("a", picture(tick), {tick}, now=tick / 10, cameras=1)
    assert collector.missing({"a": "porch"}) is not None
    fed(collector, "a", 5, start=GAP_S)
    assert collector.missing({"a": "porch"}) is None


def test_one_long_visit_is_thin() -> None:
    collector = SampleCollector(base=BASE, need=NEED)
    fed(collector, "a", 50, visits=1)
    assert "2 visits" in str(collector.missing({"a": "porch"}))
    collector = SampleCollector(base=BASE, need=NEED)
    fed(collector, "a", 50, visits=2)
    assert collector.missing({"a": "porch"}) == "pictures of more than 2 visits"


def test_a_camera_that_saw_nobody_is_no_evidence() -> None:
    collector = SampleCollector(base=BASE, need=NEED)
    end = fed(collector, "a", 10, cameras=2)
    for index in range(50):
        collector.observe("b", picture(index), (), now=end + index * 100, cameras=2)
    missing = collector.missing({"a": "porch", "b": "garage"})
    assert missing is not None
    assert "garage" in missing
    assert "porch" not in missing
    assert collector.missing({}) is not None


def test_the_same_picture_does_not_calibrate_and_judge() -> None:
    """O9, of a camera that hangs: every picture is the same one."""
    collector = SampleCollector(base=BASE, need=NEED)
    for index in range(10):
        collector.observe("a", picture(7), {index}, now=index * GAP_S, cameras=1)
    assert collector.missing({"a": "porch"}) is None
    found = collector.evidence(["a"])
    assert found.calibration
    assert found.held_out == ()


def test_what_judges_came_after_what_calibrates() -> None:
    collector = SampleCollector(base=BASE, need=NEED)
    fed(collector, "a", 5)
    collector.observe("a", picture(200), (), now=0, cameras=1)
    evidence = collector.evidence(["a"])
    greys = [[int(image.bgr()[0, 0, 0]) for image in part] for part in (evidence.calibration, evidence.held_out)]
    assert max(grey for grey in greys[0] if grey < 200) < min(greys[1])
    assert not {*greys[0]} & {*greys[1]}
    assert len(greys[0]) + len(greys[1]) == 6
    assert evidence.scenes == ("a",)


def test_the_oldest_make_room() -> None:
    collector = SampleCollector(base=BASE, need=NEED)
    fed(collector, "a", 100)
    evidence = collector.evidence(["a"])
    assert len(evidence.calibration) + len(evidence.held_out) == NEED.each(1)
    assert min(int(image.bgr()[0, 0, 0]) for image in evidence.calibration) == 100 - NEED.each(1)


def test_pictures_are_kept_as_small_as_the_model_sees_them() -> None:
    wide = ArrayImage(np.zeros((1080, 1920, 3), np.uint8))
    assert (small(wide, (416, 416)).width, small(wide, (416, 416)).height) == (416, 234)
    assert small(picture(3), BASE).width == 64, "never larger than they came"


def test_a_pack_comes_out_as_it_went_in() -> None:
    evidence = split([picture(grey) for grey in range(11)], ("porch-1", "garage-2"))
    assert (len(evidence.calibration), len(evidence.held_out)) == (7, 4)
    found = unpack(evidence.pack())
    assert found.scenes == evidence.scenes
    for one, other in zip(found.calibration + found.held_out, evidence.calibration + evidence.held_out, strict=True):
        np.testing.assert_array_equal(one.bgr(), other.bgr())
    assert unpack(CalibrationSet(calibration=(), held_out=()).pack()) == CalibrationSet(calibration=(), held_out=())
    with pytest.raises(ValueError, match=r"."):
        unpack(b"nothing")
