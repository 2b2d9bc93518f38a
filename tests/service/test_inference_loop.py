from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.capture.idle_cameras import IdleCameras
from detector.config.schema import Camera
from detector.core.clock import SYSTEM_CLOCK
from detector.core.errors import InferenceError, ModelError
from detector.core.types import ArrayImage, Frame, Pixels
from detector.inference.backends.onnxruntime import OnnxRuntimeBackend
from detector.service.inference_loop import SPARE_S
from support.inference import WALKER, RunningInference, end_to_end_model
from support.tamper_scenes import ATTACKS, expose, image, yard

NAN = float("nan")
WALL = 1_790_000_000.0


@pytest.fixture
def seeing(tmp_path: Path) -> Path:
    return end_to_end_model(tmp_path / "seeing.onnx", [WALKER])


@pytest.fixture
def blind(tmp_path: Path) -> Path:
    """A model that has gone wrong: NaN for every score."""
    return end_to_end_model(tmp_path / "blind.onnx", [[20, 10, 40, 60, NAN, 0]])


def test_a_person_becomes_an_event_an_alert_a_count_and_a_scene(seeing: Path) -> None:
    with RunningInference(seeing) as shop:
        shop.model.wait_loaded(20)
        shop.feed_until(lambda: shop.findings.alerts)
        channel = shop.loop.channel("a")
        assert channel is not None
        shop.feed_until(lambda: channel.view.latency.percentiles()["p50"])
        stages = shop.loop._latencies.frames.counts()
        assert all(counts.buckets[-1][1] > 0 for counts in stages.values())
        parts = sum(stages[stage].total_s for stage in ("wait", "inference", "rules"))
        assert parts == pytest.approx(stages["total"].total_s, abs=0.01 * stages["total"].buckets[-1][1])
        scene = channel.view.scene()
        assert scene is not None
        assert len(scene.people) == 1
    diary = shop.findings
    assert next(c.type for c in diary.changes) == "new"
    assert [c.type for c in diary.changes][-1] == "end", "stopping ends what is open"
    assert len(diary.alerts) == 1
    assert diary.alerts[0].confirmed_mono >= diary.alerts[0].frame.captured_mono
    assert ("a", 1) in diary.counts
    assert diary.counts[-1] == ("a", 0)
    assert ("a", True) in diary.motions
    assert diary.states[-1] == "triggered"


def test_nonsense_from_the_model_is_an_error_never_nobody(blind: Path) -> None:
    # The grey warm-up picture already gives NaN, so the worker does not even start with it.
    with RunningInference(blind) as shop, pytest.raises(InferenceError, match="NaN"):
        shop.model.wait_loaded(20)


def test_a_model_that_goes_wrong_is_reported_loaded_again_and_recovers(
    seeing: Path, blind: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with RunningInference(seeing) as shop:
        shop.model.wait_loaded(20)
        shop.feed_until(lambda: shop.findings.alerts)
        broken = shop.load()
        broken._backend = _load(blind)  # as memory gone bad would
        shop.model.detector = broken
        errors: list[str | None] = []
        shop.feed_until(lambda: errors.append(shop.model.error) or errors[-1])  # type: ignore[func-returns-value]
        assert "NaN" in str(errors[-1])
        shop.feed_until(lambda: shop.model.failing_since is None)
    assert "inference fails" in caplog.text
    assert "loaded again" in caplog.text


def _load(path: Path) -> OnnxRuntimeBackend:
    return OnnxRuntimeBackend(path=path, precision="auto", threads=1)


def test_a_bad_model_at_start_is_raised_to_who_waits(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_text("no model")
    with RunningInference(tmp_path / "bad.onnx") as shop, pytest.raises(ModelError, match=r"bad\.onnx"):
        shop.model.wait_loaded(20)


def test_another_model_is_swapped_in_between_frames(seeing: Path, tmp_path: Path) -> None:
    empty = end_to_end_model(tmp_path / "empty.onnx", [])
    with RunningInference(seeing) as shop:
        shop.model.wait_loaded(20)
        shop.feed_until(lambda: ("a", 1) in shop.findings.counts)
        shop.path = empty
        fresh = shop.load()
        shop.model.swap(fresh, shop.load)
        shop.feed_until(lambda: shop.model.detector is fresh)
        shop.feed_until(lambda: shop.findings.counts[-1] == ("a", 0))


def test_detection_switched_off_ends_the_visit_and_looks_at_nothing(seeing: Path) -> None:
    with RunningInference(seeing) as shop:
        shop.model.wait_loaded(20)
        shop.feed_until(lambda: ("a", 1) in shop.findings.counts)
        shop.loop.switch("a", enabled=False)
        assert shop.findings.changes[-1].type == "end"
        channel = shop.loop.channel("a")
        assert channel is not None
        seen = channel.view.detected
        taken = shop.frames.counts("a").taken
        shop.feed_until(lambda: shop.frames.counts("a").taken > taken + 5)
        assert channel.view.detected <= seen + 1, "the frame under way may still finish"
        with pytest.raises(KeyError):
            shop.loop.switch("nobody", enabled=True)


def test_a_dark_or_removed_camera_ends_its_visits(seeing: Path) -> None:
    with RunningInference(seeing) as shop:
        shop.model.wait_loaded(20)
        shop.feed_until(lambda: ("a", 1) in shop.findings.counts)
        shop.loop.end_visits("a")
        assert shop.findings.changes[-1].type == "end"
        shop.feed_until(lambda: shop.findings.counts[-1] == ("a", 1))
        shop.loop.remove("a")
        assert shop.findings.changes[-1].type == "end"
        assert shop.loop.channel("a") is None
        shop.loop.end_visits("a")
        shop.loop.remove("a")


def test_one_cameras_fault_leaves_the_others_their_eyes(seeing: Path, caplog: pytest.LogCaptureFixture) -> None:
    class TornFrame:
        width = height = 64

        def bgr(self) -> object:
            raise ValueError("torn picture")

        luma = bgr

    import dataclasses

    with RunningInference(seeing) as shop:
        shop.model.wait_loaded(20)
        shop.frames.add("b", 100)
        shop.loop.add("b", shop.camera, enabled=True)
        shop.feed_until(lambda: (channel := shop.loop.channel("b")) and channel.view.scene(), camera="b")
        channel = shop.loop.channel("b")
        assert channel is not None
        scene = channel.view.scene()
        assert scene is not None
        later = scene.frame.captured_mono + 60
        torn = dataclasses.replace(scene.frame, captured_mono=later, image=TornFrame())  # type: ignore[arg-type]  # torn on purpose
        shop.frames.put(torn)
        shop.feed_until(lambda: "camera b: a frame could not be processed" in caplog.text)
        shop.feed_until(lambda: ("a", 1) in shop.findings.counts)


def test_a_model_that_cannot_run_is_not_swapped_in(seeing: Path, blind: Path, caplog: pytest.LogCaptureFixture) -> None:
    with RunningInference(seeing) as shop:
        shop.model.wait_loaded(20)
        serving = shop.model.detector
        shop.path = blind
        shop.model.swap(shop.load(), shop.load)
        shop.feed_until(lambda: shop.model.note)
        shop.feed_until(lambda: shop.findings.alerts)
        assert shop.model.detector is serving
        assert "could not be run" in str(shop.model.note)
        assert shop.model.error is None
    assert "the old one stays" in caplog.text


def test_crops_wait_for_idle_time_and_for_every_waiting_frame(seeing: Path, tmp_path: Path) -> None:
    shop = RunningInference(end_to_end_model(tmp_path / "empty.onnx", []), motion={"crops_per_s": 50})
    loop, channel = shop.loop, shop.channel()
    shop.model.detector = detector = shop.load()
    now = SYSTEM_CLOCK.mono()
    for k in range(2):
        pixels = np.full((480, 640, 3), 90, np.uint8)
        pixels[100:130, 100 + 20 * k : 110 + 20 * k] = 250
        frame = Frame(camera="a", seq=k, captured_mono=now + k, captured_wall=0.0, image=ArrayImage(pixels))
        assert channel.pipeline.should_detect(frame)
    found = detector.detect(frame)
    assert loop._detect_in_crops(channel, found) is found, "there was no idle time yet"
    loop._spare_s = 0.5
    shop.feed()
    assert loop._detect_in_crops(channel, found) is found, "a frame waits"
    shop.frames.take(0.0)
    closer = loop._detect_in_crops(channel, found)
    assert channel.view.close_ups == 1
    assert closer.infer_ms > found.infer_ms
    assert loop._spare_s < 0.5, "it is paid for"


def test_idle_time_is_saved_up_while_frames_are_waited_for(seeing: Path) -> None:
    with RunningInference(seeing) as shop:
        shop.model.wait_loaded(20)
        shop.feed_until(lambda: 0.0 < shop.loop._spare_s <= SPARE_S)


def test_an_idle_camera_may_rest_and_one_that_is_switched_off_may_not(tmp_path: Path) -> None:
    """Only its own pipeline knows; who watches the live picture of a camera without detection wants all of it."""
    attention = IdleCameras()
    rtsp: dict[str, Any] = {
        "source": "rtsp://10.0.0.4/live",
        "motion": {"idle_decode": "keyframes", "idle_after_s": 0.2},
    }
    with RunningInference(end_to_end_model(tmp_path / "empty.onnx", []), idle=attention, **rtsp) as shop:
        shop.model.wait_loaded(20)
        shop.feed_until(lambda: attention.is_idle("a"), still=True)
        shop.feed_until(lambda: not attention.is_idle("a"))  # noise: everything moves
        shop.feed_until(lambda: attention.is_idle("a"), still=True)
        shop.loop.switch("a", enabled=False)
        assert not attention.is_idle("a")


def watching(model: Path, **camera: Any) -> RunningInference:
    """A loop that is not running, with a camera that is watched for tampering: frames are given by hand."""
    return RunningInference(model, tamper={"enabled": True}, motion={"enabled": False}, **camera)


def seen(shop: RunningInference, luma: Pixels, second: int) -> bool:
    """Whether the model would be asked about this picture of a second."""
    frame = Frame(camera="a", seq=second, captured_mono=1000.0 + second, captured_wall=WALL + second, image=image(luma))
    return shop.loop._admitted(frame) is not None


def test_night_08_a_view_that_is_taken_away_is_one_alert_when_armed(seeing: Path) -> None:
    shop, scene = watching(seeing), yard()
    _, cover = ATTACKS["hand"]
    for second in range(20):
        assert seen(shop, expose(scene, seed=second), second)
    for second in range(20, 40):
        seen(shop, cover(scene, second, False), second)
    assert shop.loop.tamper("a") == "covered"
    (alert,) = shop.findings.tampers
    assert (alert.camera, alert.kind) == ("a", "covered")
    assert 20 <= alert.wall - WALL <= 30
    for second in range(40, 60):
        seen(shop, expose(scene, seed=second), second)
    assert shop.loop.tamper("a") is None
    for second in range(60, 75):
        seen(shop, cover(scene, second, False), second)
    assert len(shop.findings.tampers) == 2, "the next time is another one"


def test_night_08_disarmed_it_is_no_alert_until_the_alarm_is_armed(seeing: Path) -> None:
    shop, scene = watching(seeing), yard()
    shop.alarm.command("DISARM")
    for second in range(20):
        seen(shop, expose(scene, seed=second), second)
    for second in range(20, 40):
        seen(shop, ATTACKS["black"][1](scene, second, False), second)
    assert shop.loop.tamper("a") == "black"
    assert shop.findings.tampers == []
    shop.alarm.command("ARM_AWAY")
    seen(shop, ATTACKS["black"][1](scene, 40, False), 40)
    assert [alert.kind for alert in shop.findings.tampers] == ["black"]


def test_night_08_no_person_is_looked_for_in_noise(seeing: Path) -> None:
    shop, scene = watching(seeing), yard()
    for second in range(20):
        assert seen(shop, expose(scene, seed=second), second)
    assert not any(seen(shop, ATTACKS["noise"][1](scene, second, False), second) for second in range(20, 30))
    assert shop.loop.tamper("a") == "noise"
    assert seen(shop, expose(scene, seed=30), 30)


def test_night_08_files_are_not_watched_unless_they_are_to_be(seeing: Path) -> None:
    assert RunningInference(seeing).channel().pipeline.tamper is None
    assert watching(seeing).channel().pipeline.tamper is not None
    camera = Camera.model_validate({"source": "rtsp://127.0.0.1/s"})
    assert camera.notices_tamper
    assert not Camera.model_validate({"source": "usb://0", "tamper": {"enabled": False}}).notices_tamper


def test_other_zones_keep_the_visit_and_other_settings_end_it(seeing: Path) -> None:
    corner = {"corner": ((0.0, 0.0), (0.2, 0.0), (0.2, 0.2))}
    with RunningInference(seeing) as shop:
        shop.model.wait_loaded(20)
        shop.feed_until(lambda: shop.findings.alerts)
        channel = shop.loop.channel("a")
        assert channel is not None
        shop.loop.add("a", shop.camera.model_copy(update={"zones": corner}), enabled=True)
        assert shop.loop.channel("a") is channel
        assert [change.type for change in shop.findings.changes if change.type == "end"] == []
        shop.loop.add("a", Camera.model_validate({"source": "x", "alert": {"min_frames": 9}}), enabled=True)
        assert shop.findings.changes[-1].type == "end"
