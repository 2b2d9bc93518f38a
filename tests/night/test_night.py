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
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import groupby
from pathlib import Path
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
from detector.inference.factory import load_detector
from support.fed_camera import FedCamera
from support.media_clock import MediaClock
from support.mosquitto import Mosquitto, RecordingSubscriber
from support.night_scenes import FPS, NightScenes, night_scenes
from support.schemas import load_schema
from support.simulation import ServiceOnMediaTime
from support.timeline import TimelineRow, table, told

pytestmark = [pytest.mark.night, pytest.mark.timeout(3600)]

EVENING = datetime(2026, 12, 1, 22, 0, tzinfo=timezone.utc).timestamp()
HOUR_S = 3600.0
STILL_S = 20.0
PRE_S, POST_S = 5.0, 10.0
SURE = 0.5  # the score that an alert takes
SETTINGS = {
    "timeout_s": 120,  # s: in quiet hours a picture comes every STILL_S only
    # Crops are made in idle time, and all time is idle while the clock stands.
    "motion": {"recheck_s": 60, "idle_recheck_s": 300, "crops_per_s": 1},
    "clip": {"pre_s": PRE_S, "post_s": POST_S},
}

Span = tuple[float, float]


@dataclass(kw_only=True)
class SimulatedNight:
    """The house, what happens to it, and what came of it."""

    service: ServiceOnMediaTime
    scenes: NightScenes
    door: FedCamera
    broker: Mosquitto
    phones: RecordingSubscriber
    house: RecordingSubscriber
    rows: list[TimelineRow] = field(default_factory=list)
    residents: list[Span] = field(default_factory=list)  # epoch s
    intruder: list[Span] = field(default_factory=list)
    pictures: dict[str, bytes] = field(default_factory=dict)  # by the event's id: the snapshot over HTTP
    clips: dict[str, bytes] = field(default_factory=dict)
    heard: int = 0

    @property
    def alarm(self) -> str:
        return self.service.parts.detection.arming.state

    def until(self, time_of_day: str) -> None:
        """Nothing happens until then."""
        hours, minutes = map(int, time_of_day.split(":"))
        self.service.quiet_until(1000.0 + ((hours - 22) % 24) * HOUR_S + minutes * 60.0)

    def note(self, happened: str, *, delivered: bool = True) -> None:
        if delivered:
            self.service.settle()
        passed = round(self.service.clock.mono() - 1000.0)
        time = f"{(22 + passed // 3600) % 24:02}:{passed // 60 % 60:02}:{passed % 60:02}"
        new = self.house.heard[self.heard :]
        self.heard += len(new)
        row = TimelineRow(time=time, happened=happened, alarm=self.alarm, published=told(new, "detector"))
        self.rows.append(row)

    def phone(self, person: str, where: str) -> None:
        """The phone says where its owner is, as Home Assistant's trackers do: retained."""
        self.phones.publish(f"phones/{person}", where, retain=True)
        known = self.service.parts.detection.arming.document
        expected = {"home": "home", "not_home": "away"}[where]
        self.service.wait(lambda: known()["people"][person]["where"] == expected, f"{person} {where}")

    def wait_alarm(self, state: str) -> None:
        self.service.wait(lambda: self.alarm == state, f"the alarm {state}, it is {self.alarm}")

    def visit(self, number: int, who: list[Span]) -> None:
        """Somebody comes to the door and goes."""
        self.service.rest("door", PRE_S)
        begin = self.service.clock.wall()
        self.service.play("door", self.scenes.visits[number])
        who.append((begin, self.service.clock.wall()))

    def coat(self, *, hangs: bool) -> None:
        self.service.still["garden"] = self.scenes.coat if hangs else self.scenes.garden
        self.service.rest("garden", 4.0)

    def keep_evidence(self) -> None:
        """The picture and the clip of the latest visit at the door, over HTTP, once they are there."""
        event = f"/api/events/{self.service.json('/api/events?camera=door&limit=1')[0]['id']}"
        self.service.rest("door", POST_S + 2.0)
        self.service.wait(lambda: self.service.json(event)["has_clip"], "the clip")
        found = self.service.json(event)
        self.pictures[found["id"]] = self.service.get(f"{event}/snapshot.jpg")
        self.clips[found["id"]] = self.service.get(found["clip"])


@pytest.fixture(scope="module")
def model(model_file: Any, shared: Path) -> Path:
    path: Path = model_file("yolox_tiny_humanart")
    return path


@pytest.fixture(scope="module")
def detector(model: Path) -> PersonDetector:
    return load_detector(path=model, name="detector", threads=1, score_floor=SURE)


@pytest.fixture(scope="module")
def judge(model: Path) -> PersonDetector:
    return load_detector(path=model, name="judge", threads=1, score_floor=0.2)


@pytest.fixture(scope="module")
def night(
    tmp_path_factory: pytest.TempPathFactory, shared: Path, model: Path, detector: PersonDetector
) -> Iterator[SimulatedNight]:
    folder = tmp_path_factory.mktemp("night")
    broker = Mosquitto(folder / "mosquitto", persistent=True, verbose=False, options=["max_queued_messages 0"])
    scenes = night_scenes(shared, detector, party_s=15.0)
    with pytest.MonkeyPatch.context() as patch, ExitStack() as closing:
        patch.setattr("detector.service.service.CHECK_S", 0.02)  # the alarm looks at the clock twice a second
        patch.setattr("detector.service.service.START_S", 120.0)  # real time: a busy machine takes longer
        broker.start()
        closing.callback(broker.kill)
        phones = RecordingSubscriber(broker.port, "nothing", durable="phones")
        closing.callback(phones.close)
        for person in ("anna", "ben"):
            phones.publish(f"phones/{person}", "not_home", retain=True)
        house = RecordingSubscriber(broker.port, "detector/#", durable="house")
        closing.callback(house.close)
        door, garden = (closing.enter_context(FedCamera(one.sdp)) for one in (scenes.door, scenes.garden))
        service = ServiceOnMediaTime(
            _document(folder / "data", model, door, garden, broker),
            clock=MediaClock(EVENING),
            cameras={"door": door, "garden": garden},
            still={"door": scenes.door, "garden": scenes.garden},
            still_every_s=STILL_S,
            fps=FPS,
        )
        closing.callback(service.stop)
        result = SimulatedNight(service=service, scenes=scenes, door=door, broker=broker, phones=phones, house=house)
        service.start()
        _evening(result)
        _first_half(result)
        _intrusions(result)
        _morning(result)
        print(f"\n{table(result.rows)}\n\n{service.pictures} pictures")
        yield result


def _document(data: Path, model: Path, door: FedCamera, garden: FedCamera, broker: Mosquitto) -> dict[str, Any]:
    return {
        "device": {"id": "house"},
        "data_dir": str(data),
        # The model as it is: measuring its forms takes the machine's time.
        "model": {"name": str(model), "backend": "onnxruntime", "threads": 1},
        "cameras": {"door": {"source": door.url, **SETTINGS}, "garden": {"source": garden.url, **SETTINGS}},
        "mqtt": {"broker": f"mqtt://127.0.0.1:{broker.port}", "stats_interval_s": 600},
        "presence": {"topics": {person: {"topic": f"phones/{person}"} for person in ("anna", "ben")}},
        "schedules": {"night": {"start": "23:30", "end": "05:30", "arm": "armed_night"}},
        "location": {"timezone": "UTC"},
        "self_test": {"every_h": 24},
        "api": {"port": 0},
    }


def _evening(night: SimulatedNight) -> None:
    night.wait_alarm("armed_away")
    night.note("nobody is at home")
    for number, person in enumerate(("anna", "ben")):
        night.until(f"22:{20 + 20 * number}")
        night.phone(person, "home")
        night.wait_alarm("disarmed")
        night.visit(number, night.residents)
        night.service.rest("door", 3.0)
        night.note(f"{person} comes home")
    night.until("22:50")
    night.service.play("garden", night.scenes.party)
    night.service.rest("garden", 4.0)
    night.note("guests in the garden")
    night.until("23:05")
    night.coat(hangs=True)
    night.note(f"a coat is hung up in the garden: a person by {night.scenes.coat_score:.2f}, says the model")
    visit = night.service.json("/api/events?camera=garden&limit=1")[0]
    assert visit["end_time"] is None, "it is there"
    night.house.publish("detector/garden/suppress/set", visit["id"])
    night.service.wait(lambda: any(one["asked"] for one in night.service.json("/api/suppressions")), "the suppression")
    night.note('"nobody is here" is pressed')
    night.until("23:20")
    night.coat(hangs=False)
    night.note("the light in the garden goes out: the coat is not seen")
    night.until("23:31")
    night.wait_alarm("armed_night")
    night.note("all sleep")


def _first_half(night: SimulatedNight) -> None:
    night.until("00:30")
    night.coat(hangs=True)
    night.note("light: the coat is seen")
    night.until("00:40")
    night.broker.save()
    night.broker.kill()
    night.until("00:50")
    night.coat(hangs=False)
    night.note("the broker is down since 00:40; light out", delivered=False)
    night.until("01:00")
    _broker_returns(night)
    night.note("the broker is back")
    night.until("01:10")
    night.door.away()
    night.until("01:25")
    night.door.back()
    night.service.wait_watched()
    night.until("01:26")
    night.note("the door's camera was away for 15 minutes")
    night.until("01:45")
    night.coat(hangs=True)
    night.until("02:00")
    night.service.clock.step_wall(4 * HOUR_S)
    alarm = night.service.parts.detection.arming.document
    night.service.wait(lambda: alarm()["waits"], "the alarm's doubt")
    night.until("02:04")
    night.note(f"the clock jumps to 06:00, after the schedule's end; the alarm: {alarm()['waits']}")
    night.service.clock.step_wall(-4 * HOUR_S)
    night.service.wait(lambda: not alarm()["waits"], "the end of the doubt")
    night.until("02:10")
    night.coat(hangs=False)
    night.note("the clock is right again; the coat was seen for 25 minutes")


def _broker_returns(night: SimulatedNight) -> None:
    night.broker.start()
    client = night.service.parts.output.client
    night.service.wait(lambda: client.status().state == "connected", "the connection to the broker")
    night.service.settle()


def _intrusions(night: SimulatedNight) -> None:
    night.until("02:55")
    night.broker.save()
    night.broker.kill()
    night.until("03:00")
    night.visit(4, night.intruder)
    assert night.alarm == "triggered"
    night.keep_evidence()
    night.note("the intruder is at the door; the broker is down since 02:55", delivered=False)
    night.until("03:10")
    assert night.service.stop() == 0
    night.service.start()
    night.note("the service is started again", delivered=False)
    night.until("03:15")
    _broker_returns(night)
    night.note("the broker is back")
    night.until("03:20")
    night.coat(hangs=True)
    night.until("03:40")
    night.coat(hangs=False)
    night.note("the coat was seen for 20 minutes")
    night.until("04:10")
    night.visit(5, night.intruder)
    assert night.alarm == "triggered"
    night.keep_evidence()
    night.note("the intruder is at the door again")
    night.until("04:40")
    night.coat(hangs=True)
    night.until("04:50")
    night.coat(hangs=False)
    night.note("the coat was seen for 10 minutes")


def _morning(night: SimulatedNight) -> None:
    night.until("05:35")
    night.house.publish("detector/alarm/set", "DISARM")
    night.wait_alarm("disarmed")
    night.note("anna disarms by hand")
    for number, person in enumerate(("anna", "ben")):
        night.until(f"05:{40 + 10 * number}")
        night.visit(2 + number, night.residents)
        night.service.rest("door", 3.0)
        night.phone(person, "not_home")
        night.note(f"{person} leaves")
    night.wait_alarm("armed_away")
    night.until("06:00")
    night.note("nobody is at home")


def heard(night: SimulatedNight, topic: str) -> list[dict[str, Any]]:
    """What was published on `topic`, without the duplicates that QoS 1 may bring."""
    payloads = dict.fromkeys(one.payload for one in night.house.heard if one.topic == f"detector/{topic}")
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
    pushed = {one.payload for one in night.house.heard if one.topic == "detector/door/person/snapshot" and one.payload}
    for alert in alerts_of(night):
        assert shows(judge, night.pictures[alert["event_id"]], alert), "over HTTP"
        assert any(shows(judge, jpeg, alert) for jpeg in pushed), "over MQTT"


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
