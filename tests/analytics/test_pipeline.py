from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from detector.analytics.pipeline import CameraPipeline, PipelineOutcome
from detector.core.types import ArrayImage, Box, Detections, Floats, Frame
from support.people import camera

SIZE = (320, 240)


def picture(*boxes: Box) -> ArrayImage:
    """A grey scene with a white figure in each box."""
    pixels = np.full((SIZE[1], SIZE[0], 3), 90, dtype=np.uint8)
    for x1, y1, x2, y2 in boxes:
        pixels[int(y1) : int(y2), int(x1) : int(x2)] = 255
    return ArrayImage(pixels)


def figure(x: float) -> Box:
    return (x, 80.0, x + 40.0, 200.0)


class PipelineRun:
    """Plays frames at 10 a second through a pipeline; the figures are the detections."""

    def __init__(self, *, score: float = 0.9, **settings: object) -> None:
        self.pipeline = CameraPipeline(name="porch", settings=camera(**settings), device_id="yard")
        self.score, self.frames, self.runs = score, 0, 0
        self.outcomes: list[PipelineOutcome] = []

    def show(self, *boxes: Box, armed_as: str | None = "armed_away") -> bool:
        t = self.frames / 10
        frame = Frame(camera="porch", seq=self.frames, captured_mono=t, captured_wall=t, image=picture(*boxes))
        self.frames += 1
        if not self.pipeline.should_detect(frame):
            return False
        self.runs += 1
        array: Floats = np.array(boxes, dtype=np.float32).reshape(-1, 4)
        scores: Floats = np.full(len(boxes), self.score, dtype=np.float32)
        found = Detections(frame=frame, boxes=array, scores=scores, infer_ms=1.0)
        self.outcomes.append(self.pipeline.process(found, armed_as=armed_as))  # type: ignore[arg-type]
        return True

    @property
    def shown(self) -> int:
        return len(self.outcomes[-1].tracks)

    @property
    def told(self) -> list[str]:
        return [change.type for outcome in self.outcomes for change in outcome.changes]

    @property
    def alerts(self) -> int:
        return sum(len(outcome.alerts) for outcome in self.outcomes)


def test_a_walk_is_one_event_with_one_alert() -> None:
    scene = PipelineRun()
    for _ in range(10):
        scene.show()
    for step in range(40):
        scene.show(figure(10 + step * 6))
    for _ in range(60):
        scene.show()
    assert [kind for kind in scene.told if kind != "update"] == ["new", "end"]
    assert scene.alerts == 1


def test_shows_confirmed_people_where_they_are() -> None:
    scene = PipelineRun(min_frames=3)
    for step in range(3):
        scene.show(figure(100 + step))
        assert scene.shown == (step == 2)
    outcome = scene.outcomes[-1]
    assert outcome.people == 1
    assert outcome.moving
    assert outcome.tracks[0].box == pytest.approx(figure(102), abs=4.0)


def test_does_not_show_who_was_not_seen_lately() -> None:
    scene = PipelineRun(motion={"enabled": False})
    for _ in range(5):
        scene.show(figure(100))
    for _ in range(4):
        scene.show()
    assert scene.shown == 1
    for _ in range(4):
        scene.show()
    assert scene.shown == 0
    assert scene.outcomes[-1].people == 1


def test_a_still_empty_scene_is_rarely_wanted() -> None:
    scene = PipelineRun(motion={"idle_recheck_s": 2.0, "hold_s": 0.5})
    for _ in range(100):
        scene.show()
    assert scene.runs <= 8
    assert not scene.pipeline.moving


def test_somebody_who_stands_is_rechecked_more_often_than_nobody() -> None:
    scene = PipelineRun(motion={"idle_recheck_s": 50.0, "recheck_s": 1.0, "hold_s": 0.5})
    scene.show()
    for _ in range(300):
        scene.show(figure(100))
    busy = scene.runs
    for _ in range(60):
        scene.show(figure(100))
    assert 5 <= scene.runs - busy <= 8
    assert [kind for kind in scene.told if kind != "update"] == ["new"]
    assert scene.outcomes[-1].people == 1


def test_armed_as_is_compared_with_the_cameras_own_list() -> None:
    scene = PipelineRun(armed=["armed_away"])
    for step in range(10):
        scene.show(figure(100 + step), armed_as="armed_home")
    for step in range(10):
        scene.show(figure(110 + step), armed_as=None)
    assert scene.alerts == 0
    scene.show(figure(120), armed_as="armed_away")
    assert scene.alerts == 1


@pytest.mark.parametrize("min_score", [0.05, 0.3])
def test_a_low_min_score_lets_weak_detections_count(min_score: float) -> None:
    scene = PipelineRun(score=0.35, min_score=min_score)
    for step in range(10):
        scene.show(figure(100 + step))
    assert scene.told[:1] == ["new"]


def test_a_high_min_score_waits_for_a_sure_detection() -> None:
    scene = PipelineRun(score=0.6, min_score=0.8)
    for step in range(10):
        scene.show(figure(100 + step))
    assert scene.told == []
    scene.score = 0.85
    for step in range(10):
        scene.show(figure(110 + step))
    assert scene.told[:1] == ["new"]


def test_close_ends_events_and_starts_afresh_with_the_same_cooldown() -> None:
    scene = PipelineRun(cooldown_s=30)
    for step in range(10):
        scene.show(figure(100 + step))
    outcome = scene.pipeline.close()
    assert ([change.type for change in outcome.changes], outcome.people, outcome.moving) == (["end"], 0, False)
    for step in range(10):
        scene.show(figure(110 + step))
    assert (scene.told, scene.alerts) == (["new", "new"], 1)
    assert scene.pipeline.close().changes[0].after.id != outcome.changes[0].after.id


def test_t1_memory_goes_on_in_another_pipeline_and_a_damaged_one_is_refused() -> None:
    scene, later = PipelineRun(), PipelineRun()
    for _ in range(100):
        scene.show(figure(100))
    assert scene.alerts == 1
    before = scene.pipeline.revision
    saved = json.loads(json.dumps(scene.pipeline.dump()))
    assert before > 0
    for damaged in (
        {},
        {"places": [3], "held_back": {}},
        {"places": None, "held_back": None},
        {**saved, "held_back": 1},
    ):
        assert not later.pipeline.load(damaged)
        assert later.pipeline.dump()["places"] == []
    assert later.pipeline.load(saved)
    for _ in range(100):
        later.show(figure(101))
    assert (later.told[0], later.alerts) == ("new", 0)


# --- idle


def idle_after(scene: PipelineRun, *, frames: int) -> list[bool]:
    """Whether it is idle after each of so many frames of an empty scene."""
    seen = []
    for _ in range(frames):
        scene.show()
        seen.append(scene.pipeline.idle)
    return seen


def test_a_camera_is_idle_when_nothing_moved_for_a_while_and_nobody_is_there() -> None:
    with pytest.raises(ValueError, match="RTSP cameras only"):
        PipelineRun(motion={"idle_decode": "keyframes"})
    rtsp: dict[str, Any] = {
        "source": "rtsp://10.0.0.4/live",
        "motion": {"idle_decode": "keyframes", "idle_after_s": 3},
    }
    scene = PipelineRun(**rtsp)
    seen = idle_after(scene, frames=40)
    assert seen.index(True) == 30
    assert all(seen[30:])
    scene.show(figure(100))
    assert not scene.pipeline.idle
    for _ in range(100):
        scene.show(figure(100))
    assert not scene.pipeline.idle, "somebody stands there"
    assert idle_after(scene, frames=150)[-1]
    scene.pipeline.close()
    assert not scene.pipeline.idle


def test_all_is_decoded_unless_the_config_says_otherwise() -> None:
    scene = PipelineRun(motion={"idle_after_s": 1})
    assert not any(idle_after(scene, frames=60))


# --- closer looks

INPUT = (64, 64)


def views(scene: PipelineRun, *boxes: Box, score: float = 0.9) -> int:
    """How many closer looks a frame with these figures is worth, of which `boxes` were found in the whole picture."""
    t = scene.frames / 10
    frame = Frame(
        camera="porch",
        seq=scene.frames,
        captured_mono=t,
        captured_wall=t,
        image=picture((20.0 + 8 * scene.frames, 50.0, 26.0 + 8 * scene.frames, 66.0), *boxes),
    )
    scene.frames += 1
    assert scene.pipeline.should_detect(frame)
    array: Floats = np.array(boxes, np.float32).reshape(-1, 4)
    found = Detections(frame=frame, boxes=array, scores=np.full(len(boxes), score, np.float32), infer_ms=1.0)
    count = len(scene.pipeline.plan_crops(found, INPUT))
    scene.outcomes.append(scene.pipeline.process(found, armed_as="armed_away"))
    return count


def test_small_motion_is_cropped_unless_the_config_says_no() -> None:
    closely = PipelineRun(motion={"crops_per_s": 10})
    counts = [views(closely) for _ in range(10)]
    assert counts[0] == 0, "the first picture shows no motion yet"
    assert 7 <= sum(counts) <= 9
    usual = PipelineRun()
    assert 4 <= sum(views(usual) for _ in range(10)) <= 7
    for motion in ({"crops_per_s": 0}, {"crops_per_s": 10, "enabled": False}):
        never = PipelineRun(motion=motion)
        assert not any(views(never) for _ in range(10))


def test_who_is_new_in_the_whole_picture_does_not_wait_for_closer_looks() -> None:
    scene = PipelineRun(motion={"crops_per_s": 10}, min_frames=3)
    views(scene)
    seen = [views(scene, figure(200)) for _ in range(8)]
    assert seen[:4] == [0, 0, 0, 0]
    assert scene.alerts == 1
    assert all(seen[4:]), "the small one, once the other is known"


def test_other_zones_and_masks_apply_at_once_and_lose_no_track() -> None:
    left, right = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)), ((0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0))
    scene = PipelineRun(zones={"gate": right}, alert_zones=("gate",), min_frames=2)
    for step in range(10):
        scene.show(figure(20 + 2 * step))
    before = scene.outcomes[-1]
    assert (scene.alerts, before.reasons[0].reason) == (0, "outside gate")
    assert scene.pipeline.adopt(camera(zones={"yard": left}, alert_zones=("yard",), min_frames=2), None)
    for step in range(5):
        scene.show(figure(40 + 2 * step))
    after = scene.outcomes[-1]
    assert scene.alerts == 1
    assert [track.id for track in after.tracks] == [track.id for track in before.tracks]
    assert {change.type for outcome in scene.outcomes for change in outcome.changes} == {"new", "update"}, "one visit"
    masked = camera(zones={"yard": left}, alert_zones=("yard",), min_frames=2, masks=[left, right])
    assert scene.pipeline.adopt(masked, None)
    ran = scene.runs
    for step in range(30):
        scene.show(figure(60 + 2 * step))
    assert scene.runs - ran < 30, "what moves in a mask is no motion"
    assert scene.outcomes[-1].reasons[0].alerted


def test_settings_that_need_a_new_pipeline_are_not_adopted() -> None:
    scene = PipelineRun(min_frames=2)
    assert not scene.pipeline.adopt(camera(min_frames=3), None)
    assert not scene.pipeline.adopt(camera(min_frames=2, motion={"threshold": 20}), None)
    assert scene.pipeline.adopt(camera(min_frames=2, min_area=0.01, loiter_s=3), None)
