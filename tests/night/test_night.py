"""One night, 22:00 to 06:00, through the whole service: exactly the intruder's alerts, each with picture and clip.

Eight hours of media time in minutes, see `support.simulation`: real RTSP cameras (H.264), decoder, motion gate, model,
tracker, rules, alarm, presence, schedule, suppressions, outbox, history, clips, HTTP and Mosquitto. Two residents come home
and leave again, their phones say so over MQTT; they have guests; they hang up a coat that the model takes for a person, and
say once that nobody is there; somebody else comes twice. The broker, a camera, the clock and the service fail meanwhile.

Not on media time: what waits by the machine's own clock (the pauses between two dials of a camera, the broker's and the API's
sockets), and the health of threads, which look stuck where the clock goes on by many seconds between two of their turns.
In quiet hours each camera sends a picture every STILL_S, and the intervals of looking again are set to match.
"""

from __future__ import annotations

import io
import json
from itertools import groupby
from typing import Any

import av
import cv2
import jsonschema
import numpy as np
import pytest

from detector.alerts.payloads import parse_timestamp
from detector.core.geometry import iou
from detector.core.types import ArrayImage, Detections, Frame, Pixels
from detector.inference.detector import PersonDetector
from support.night_scenes import FPS
from support.schemas import load_schema
from support.simulated_night import EVENING, HOUR_S, POST_S, PRE_S, SURE, SimulatedNight, Span

pytestmark = [pytest.mark.night, pytest.mark.timeout(3600)]


def heard(night: SimulatedNight, topic: str) -> list[dict[str, Any]]:
    """What was published on `topic`, without the duplicates that QoS 1 may bring."""
    payloads = dict.fromkeys(one.payload for one in night.subscriber.heard if one.topic == f"detector/{topic}")
    return [json.loads(payload) for payload in payloads]


def alerts_of(night: SimulatedNight) -> list[dict[str, Any]]:
    by_id = {alert["id"]: alert for alert in heard(night, "alerts")}
    return sorted(by_id.values(), key=lambda alert: int(alert["seq"]))


def within(wall: float, spans: list[Span]) -> list[int]:
    return [number for number, (begin, end) in enumerate(spans) if begin <= wall <= end]


def people_in(judge: PersonDetector, bgr: Pixels) -> Detections:
    return judge.detect(Frame(camera="door", seq=0, captured_mono=0.0, captured_wall=0.0, image=ArrayImage(bgr)))


def sees_a_person(judge: PersonDetector, bgr: Pixels) -> bool:
    return bool((people_in(judge, bgr).scores >= SURE).any())


def shows(judge: PersonDetector, jpeg: bytes, alert: dict[str, Any]) -> bool:
    """Whether somebody is where the alert says; the box that is drawn there makes the model less sure."""
    bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None, "no picture"
    overlaps = iou(people_in(judge, np.asarray(bgr, np.uint8)).boxes, np.asarray([alert["box"]], np.float32))
    return bool((overlaps >= 0.5).any())


def test_exactly_the_intruder_s_alerts_are_published(night: SimulatedNight) -> None:
    alerts = alerts_of(night)
    for alert in alerts:
        jsonschema.validate(alert, load_schema("alert"))
    assert [alert["camera"] for alert in alerts] == ["door", "door"]
    assert [within(parse_timestamp(alert["captured_at"]), night.intruder) for alert in alerts] == [[0], [1]]
    assert heard(night, "tamper") == []


def test_no_alert_is_lost_over_the_outages(night: SimulatedNight) -> None:
    alerts = alerts_of(night)
    assert [alert["seq"] for alert in alerts] == [1, 2]
    assert [alert["replayed"] for alert in alerts] == [True, False]


def test_each_alert_has_a_picture_of_the_intruder(night: SimulatedNight, judge: PersonDetector) -> None:
    pushed = {
        one.payload for one in night.subscriber.heard if one.topic == "detector/door/person/snapshot" and one.payload
    }
    for alert in alerts_of(night):
        assert shows(judge, night.pictures[alert["event_id"]], alert), "over HTTP"
        # The picture over MQTT is the newest one's: one that waited over a restart comes over HTTP alone.
        assert alert["replayed"] or any(shows(judge, jpeg, alert) for jpeg in pushed), "over MQTT"


def test_each_alert_has_a_clip_from_before_to_after(night: SimulatedNight, judge: PersonDetector) -> None:
    for alert in alerts_of(night):
        with av.open(io.BytesIO(night.clips[alert["event_id"]])) as clip:
            assert clip.streams.video[0].codec_context.name == "h264"
            shown = [(frame.time or 0.0, frame.to_ndarray(format="bgr24")) for frame in clip.decode(video=0)]
        assert shown[-1][0] - shown[0][0] >= PRE_S + POST_S - 1.0
        assert len(shown) >= (PRE_S + POST_S - 1.0) * FPS, "at the camera's rate"
        begin = shown[0][0]
        assert not sees_a_person(judge, shown[0][1]), "it begins before somebody came"
        moments = [bgr for time, bgr in shown[::FPS] if PRE_S <= time - begin <= PRE_S + POST_S]
        assert any(sees_a_person(judge, bgr) for bgr in moments)
    written = {clip["event_id"] for clip in heard(night, "clips")}
    assert {alert["event_id"] for alert in alerts_of(night)} >= written, "of nobody else"


def test_residents_and_guests_are_seen_and_raise_no_alert(night: SimulatedNight) -> None:
    begun = [change["after"] for change in heard(night, "events") if change["type"] == "new"]
    seen = {
        number
        for event in begun
        if event["camera"] == "door"
        for number in within(event["start_time"], night.residents)
    }
    assert seen == {0, 1, 2, 3}
    evening = [event for event in begun if event["camera"] == "garden" and event["start_time"] < EVENING + HOUR_S]
    assert len(evening) >= 2, "guests"


def test_the_coat_is_seen_again_and_again_and_raises_no_alert(night: SimulatedNight) -> None:
    assert night.scenes.coat_score >= SURE
    armed = EVENING + 1.5 * HOUR_S
    begun = [change["after"] for change in heard(night, "events") if change["type"] == "new"]
    coat = [event for event in begun if event["camera"] == "garden" and event["start_time"] > armed]
    assert len(coat) >= 4
    assert all(event["suppressed"] for event in coat)
    assert len({event["suppressed"]["id"] for event in coat}) == 1, "the one that was asked for"


def test_every_visit_that_began_has_ended_once(night: SimulatedNight) -> None:
    changes = heard(night, "events")
    begun = [change["after"]["id"] for change in changes if change["type"] == "new"]
    ended = [change["after"]["id"] for change in changes if change["type"] == "end"]
    assert sorted(begun) == sorted(ended)
    assert len(set(begun)) == len(begun)


def test_it_was_armed_and_disarmed_as_people_and_the_clock_wanted(night: SimulatedNight) -> None:
    states = [row.alarm for row in night.rows if row.alarm != "triggered"]
    changes = [state for state, _ in groupby(states)]
    assert changes == ["armed_away", "disarmed", "armed_night", "disarmed", "armed_away"]
