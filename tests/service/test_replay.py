from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace as changed
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detector.alerts.payloads import encode, parse_timestamp
from detector.analytics.places import NEVER_MOVED, PROPOSED_AFTER
from detector.capture.factory import file_source
from detector.capture.source import CapturedImage
from detector.config import document
from detector.config.schema import Config
from detector.core.errors import EndOfStreamError, SourceError
from detector.core.types import ArrayImage, Detections, Frame, Image
from detector.inference.detector import PersonDetector
from detector.inference.factory import load_detector
from detector.service.replay import Line, replay
from support import sample

BRIGHT = 200
STARTS_WITHIN_S = 1.0


def config(*, alarm: dict[str, Any] | None = None, alert: dict[str, Any] | None = None, **camera: Any) -> Config:
    porch = {"source": "clip.mp4", "alert": {"cooldown_s": 0, **(alert or {})}, **camera}
    return document.validate({"device": {"id": "yard"}, "cameras": {"porch": porch}, "alarm": alarm or {}})


class Clip:
    """Pictures with their media times, read as from a file."""

    def __init__(self, pictures: Iterable[tuple[float | None, Image]]) -> None:
        self._pictures = iter(pictures)

    def read(self) -> CapturedImage:
        try:
            media_s, image = next(self._pictures)
        except StopIteration:
            raise EndOfStreamError("clip.mp4: end of file") from None
        return CapturedImage(image=image, media_s=media_s)


class BrightSpot:
    """A detector of what is bright: one box around it."""

    input_size = (320, 240)

    def __init__(self) -> None:
        self.times: list[float] = []

    def detect(self, frame: Frame) -> Detections:
        self.times.append(frame.captured_mono)
        rows, columns = np.nonzero(frame.image.luma() >= BRIGHT)
        boxes = [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]] if rows.size else []
        return Detections(
            frame=frame,
            boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
            scores=np.full(len(boxes), 0.9, dtype=np.float32),
            infer_ms=3.0,
        )


def visits(*spans: tuple[float, float], length_s: float, fps: float = 10.0, tall: int = 120) -> Clip:
    """A clip in which a bright figure walks from left to right within each span of seconds."""

    def pictures() -> Iterator[tuple[float, Image]]:
        for index in range(round(length_s * fps)):
            t = index / fps
            pixels = np.full((240, 320, 3), 90, dtype=np.uint8)
            for start, end in spans:
                if start <= t < end:
                    x = 20 + round((t - start) / (end - start) * 240)
                    pixels[80 : 80 + tall, x : x + tall // 3] = 255
            yield t, ArrayImage(pixels)

    return Clip(pictures())


def run(clip: Clip, settings: Config, **more: Any) -> list[Line]:
    return list(replay(config=settings, camera="porch", source=clip, detector=BrightSpot(), **more))


def of(lines: list[Line], topic: str, kind: str | None = None) -> list[dict[str, Any]]:
    return [
        line["payload"]
        for line in lines
        if line["topic"] == topic and (kind is None or line["payload"]["type"] == kind)
    ]


def test_each_visit_is_an_event_and_an_alert_on_media_time() -> None:
    lines = run(visits((1.0, 4.0), (8.0, 11.0), length_s=15), config())
    new, end, alerts = of(lines, "events", "new"), of(lines, "events", "end"), of(lines, "alerts")
    assert [event["after"]["start_time"] for event in new] == [1.0, 8.0]
    assert [event["after"]["end_time"] for event in end] == [3.9, 10.9]
    assert [alert["event_id"] for alert in alerts] == [event["after"]["id"] for event in new]
    assert [alert["seq"] for alert in alerts] == [1, 2]
    for alert in alerts:
        assert alert["captured_at"] == alert["confirmed_at"] == alert["published_at"]
        assert not alert["replayed"]
        assert set(alert["latency_ms"].values()) == {0.0}
    assert parse_timestamp(alerts[0]["captured_at"]) == pytest.approx(1.2)


def test_the_event_is_told_before_its_alert() -> None:
    lines = run(visits((1.0, 4.0), length_s=5), config())
    assert [(line["topic"], line["payload"].get("type")) for line in lines[:2]] == [("events", "new"), ("alerts", None)]


def test_the_end_of_the_clip_ends_the_open_event() -> None:
    lines = run(visits((1.0, 60.0), length_s=5), config())
    assert lines[-1]["payload"]["type"] == "end"
    assert lines[-1]["payload"]["after"]["end_time"] == 4.9


@pytest.mark.parametrize(
    ("fps", "detect_fps", "runs"), [(10.0, 10.0, 50), (10.0, 5.0, 25), (30.0, 10.0, 50), (25.0, 10.0, 50)]
)
def test_runs_at_most_detect_fps_times_a_media_second(fps: float, detect_fps: float, runs: int) -> None:
    detector = BrightSpot()
    settings = config(detect_fps=detect_fps, motion={"enabled": False})
    clip = visits((1.0, 60.0), length_s=5, fps=fps)
    list(replay(config=settings, camera="porch", source=clip, detector=detector))
    assert len(detector.times) == pytest.approx(runs, abs=2)


def test_a_frame_before_its_turn_goes_late_when_no_other_comes() -> None:
    dark = ArrayImage(np.zeros((240, 320, 3), dtype=np.uint8))
    detector = BrightSpot()
    clip = Clip([(t, dark) for t in (0.0, 0.02, 1.0, 1.05)])
    settings = config(detect_fps=10, motion={"enabled": False})
    list(replay(config=settings, camera="porch", source=clip, detector=detector))
    assert detector.times == [0.0, 0.02, 1.0, 1.05]


def test_a_still_clip_is_hardly_looked_at() -> None:
    detector = BrightSpot()
    list(replay(config=config(), camera="porch", source=visits(length_s=30), detector=detector))
    assert len(detector.times) < 30 * 10 / 5


def test_a_clip_while_disarmed_has_events_and_no_alerts() -> None:
    lines = run(visits((1.0, 4.0), length_s=8), config(alarm={"initial": "disarmed"}))
    assert len(of(lines, "events", "new")) == 1
    assert of(lines, "alerts") == []


def test_entry_delay_passes_on_media_time() -> None:
    lines = run(visits((1.0, 4.0), length_s=10), config(alarm={"entry_delay_s": 5}))
    (alert,) = of(lines, "alerts")
    assert 5.0 <= alert["latency_ms"]["confirm_to_publish"] / 1000 < 7.1  # a still scene is looked at every 2 s
    assert alert["captured_at"] == alert["confirmed_at"] < alert["published_at"]


def test_t2_an_alert_says_who_came_during_the_cooldown() -> None:
    lines = run(
        visits((1.0, 4.0), (8.0, 11.0), (14.0, 17.0), (40.0, 43.0), length_s=45), config(alert={"cooldown_s": 30})
    )
    ids = [event["after"]["id"] for event in of(lines, "events", "new")]
    first, second = of(lines, "alerts")
    assert (first["event_id"], first["since_last"]) == (ids[0], {"people": 0, "events": []})
    assert (second["event_id"], second["since_last"]) == (ids[3], {"people": 2, "events": ids[1:3]})


def test_t1_a_still_figure_that_comes_and_goes_gives_one_alert_and_every_visit_an_event() -> None:
    """Shown for 6 s, hidden for 6 s, again and again, as a coat that is now and then taken for a person."""

    def pictures() -> Iterator[tuple[float, Image]]:
        empty = np.full((240, 320, 3), 90, dtype=np.uint8)
        shown = empty.copy()
        shown[80:200, 100:140] = 255
        for k in range(30 * 12 * 5):
            yield k / 5, ArrayImage(shown if k / 5 % 12 >= 6 else empty)

    lines = run(Clip(pictures()), config())
    new = of(lines, "events", "new")
    assert len(new) == 30
    assert [alert["event_id"] for alert in of(lines, "alerts")] == [new[0]["after"]["id"]]
    why = {"id": new[0]["after"]["id"], "reason": NEVER_MOVED, "since": new[0]["after"]["start_time"]}
    assert [event["after"]["suppressed"] for event in new[:4]] == [
        None,
        *({**why, "matches": visit, "asked": False, "proposed": visit >= PROPOSED_AFTER} for visit in (2, 3, 4)),
    ]
    assert new[-1]["after"]["stationary_since"] == new[0]["after"]["start_time"]


def walked_in(**camera: Any) -> tuple[list[float], str]:
    """When a clip of 30 fps is looked at, in which somebody walks from second 2 to 8, and when the alert is raised."""
    detector = BrightSpot()
    clip = visits((2.0, 8.0), length_s=9.0, fps=30.0)
    lines = list(replay(config=config(**camera), camera="porch", source=clip, detector=detector))
    (alert,) = of(lines, "alerts")
    return detector.times, alert["captured_at"]


def test_who_is_not_confirmed_yet_is_looked_at_faster_unless_the_rate_is_set() -> None:
    usual, at_usual = walked_in(detect_fps=10)
    fast, at_fast = walked_in()
    _, at_chosen = walked_in(detect_fps=10, burst_fps=30)
    assert at_chosen <= at_fast < at_usual
    assert len(usual) < len(fast) <= len(usual) + 10, "for the moment until the visit is confirmed"
    assert (fast, at_fast) == walked_in()


def test_two_replays_are_byte_identical() -> None:
    def once() -> bytes:
        return b"\n".join(encode(line) for line in run(visits((1.0, 4.0), (8.0, 11.0), length_s=15), config()))

    assert once() == once()


def test_closer_looks_are_the_same_in_every_replay() -> None:
    """A model that finds in windows alone: its input is a quarter of the picture's size."""

    class Near(BrightSpot):
        input_size = (80, 60)

        def detect(self, frame: Frame) -> Detections:
            found = super().detect(frame)
            far = frame.image.width == 320
            return changed(found, scores=np.full_like(found.scores, 0.2)) if far else found

    def lines(rate: float) -> list[Line]:
        settings, clip = config(motion={"crops_per_s": rate}), visits((1.0, 4.0), length_s=8, tall=24)
        return list(replay(config=settings, camera="porch", source=clip, detector=Near()))

    assert of(lines(0), "alerts") == []
    (alert,) = of(lines(5), "alerts")
    assert parse_timestamp(alert["captured_at"]) < 2.0
    assert [encode(line) for line in lines(5)] == [encode(line) for line in lines(5)]


def test_progress_counts_the_frames_read() -> None:
    said: list[tuple[int, int | None]] = []
    run(visits(length_s=2), config(), progress=lambda done, total, what: said.append((done, total)))
    assert said == [(index + 1, None) for index in range(20)]


def test_a_source_without_time_is_refused() -> None:
    clip = Clip([(None, ArrayImage(np.zeros((8, 8, 3), dtype=np.uint8)))])
    with pytest.raises(SourceError, match="no time stamps"):
        run(clip, config())


# The real thing


@pytest.fixture(scope="module")
def model(model_file: Callable[[str], Path]) -> Iterator[PersonDetector]:
    detector = load_detector(path=model_file("yolox_tiny_humanart"), name="tiny", threads=2)
    yield detector
    detector.close()


def watch(clip: Path, settings: Config, detector: PersonDetector) -> Generator[Line, None, None]:
    source = file_source(clip)
    source.open()
    try:
        yield from replay(config=settings, camera="porch", source=source, detector=detector)
    finally:
        source.close()


@contextmanager
def busy_cores() -> Iterator[None]:
    """Every core loaded by a child process, which ends by itself after half a minute at the latest."""
    spin = "import time\nend = time.monotonic() + 30\nwhile time.monotonic() < end: pass"
    children = [subprocess.Popen([sys.executable, "-c", spin]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for child in children:
            child.kill()
            child.wait()


@pytest.mark.slow
@pytest.mark.timeout(400)  # some 700 model runs: half a minute on two free cores, more on busy ones
def test_one_by_one_has_six_visits(shared: Path, model: PersonDetector) -> None:
    """At half the default rate to save time; the first part again on a loaded machine, byte for byte."""
    video = shared / "media" / "video"
    truth = json.loads((video / "gt" / "one-by-one_presence_machine.json").read_text())
    # Shorter ones are the two detectors disagreeing for a frame or two.
    starts = [first / truth["fps"] for first, last in truth["segments"] if last - first > truth["fps"]]
    clip, settings = video / "one-by-one-person-detection.mp4", config(detect_fps=5)
    lines = list(watch(clip, settings, model))
    new, end, alerts = of(lines, "events", "new"), of(lines, "events", "end"), of(lines, "alerts")
    assert len(new) == len(end) == len(alerts) == len(starts) == 6
    assert {event["after"]["id"] for event in new} == {event["after"]["id"] for event in end}
    for event, alert, start in zip(new, alerts, starts, strict=True):
        assert alert["event_id"] == event["after"]["id"]
        assert abs(event["after"]["start_time"] - start) <= STARTS_WITHIN_S
        assert abs(parse_timestamp(alert["captured_at"]) - start) <= STARTS_WITHIN_S
    with busy_cores(), closing(watch(clip, settings, model)) as second:
        again = list(islice(second, 4))
    assert [encode(line) for line in again] == [encode(line) for line in lines[:4]]


def test_who_stands_still_stays_one_visit(model: PersonDetector) -> None:
    """A minute of one picture with a camera's noise: nothing moves, the re-checks alone see that somebody is there."""
    (person,) = sample.frames([125])
    random = np.random.default_rng(0)
    noises = [random.normal(0.0, 2.0, person.shape) for _ in range(5)]
    pictures = [ArrayImage(np.clip(person + noise, 0, 255).astype(np.uint8)) for noise in noises]
    seen: list[float] = []

    class CountedModel:
        input_size = model.input_size

        def detect(self, frame: Frame) -> Detections:
            seen.append(frame.captured_mono)
            return model.detect(frame)

    clip = Clip((k / 10, pictures[k % 5]) for k in range(600))
    lines = list(replay(config=config(), camera="porch", source=clip, detector=CountedModel()))
    (new,), (end,) = of(lines, "events", "new"), of(lines, "events", "end")
    assert end["after"]["end_time"] - new["after"]["start_time"] > 58.0
    assert len(of(lines, "alerts")) == 1
    assert len(seen) < 80, "one look a second is enough"


def shaken(image: Image, seconds: float = 1.5) -> Clip:
    """A picture as a restless camera would send it: shifted and zoomed a little from frame to frame."""
    picture, height, width = image.bgr(), image.height, image.width

    def frames() -> Iterator[tuple[float, Image]]:
        for index in range(round(seconds * 10)):
            zoom, shift = 1.0 + 0.01 * index, 2.0 * index
            matrix = np.array([[zoom, 0.0, -shift], [0.0, zoom, -shift]])
            moved = cv2.warpAffine(picture, matrix, (width, height)).astype(np.uint8, copy=False)
            yield index / 10, ArrayImage(moved)

    return Clip(frames())


@pytest.mark.parametrize("number", range(3))
def test_nobody_in_a_shaken_picture_is_no_visit(nobody: Path, model: PersonDetector, number: int) -> None:
    clip = shaken(sample.image(sorted(nobody.iterdir())[number]))
    lines = list(replay(config=config(), camera="porch", source=clip, detector=model))
    assert (of(lines, "events", "new"), of(lines, "alerts")) == ([], [])


@pytest.mark.parametrize(("picture", "people"), [("astronaut.png", 1), ("zidane.jpg", 2)])
def test_people_in_a_shaken_picture_are_a_visit_each(
    request: pytest.FixtureRequest, has_shared: bool, model: PersonDetector, picture: str, people: int
) -> None:
    if has_shared:
        image = sample.image(request.getfixturevalue("shared") / "media" / "images" / picture)
    else:
        image = ArrayImage(sample.frames([125])[0] if people == 1 else sample.pairs()[0])
    lines = list(replay(config=config(), camera="porch", source=shaken(image), detector=model))
    assert len(of(lines, "events", "new")) == len(of(lines, "alerts")) == people
