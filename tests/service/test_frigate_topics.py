from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Literal

from detector.config import document as config_file
from detector.config.schema import Config
from detector.core.types import Event, EventChange, TamperAlert
from detector.service.frigate_config import frigate_config
from detector.service.frigate_topics import FrigateTopics, retained_topics
from support.frigate import RecordingSink
from support.visits import alert, event, frame

DOCUMENT: dict[str, Any] = {
    "cameras": {
        "porch": {
            "source": "rtsp://cam:hunter2-secret@10.0.0.4/1",
            "zones": {"garden": [[0, 0.5], [1, 0.5], [1, 1]], "path": [[0, 0], [1, 0], [1, 1]]},
            "alert": {"zones": ["garden"], "min_area": 0.0001},
        },
        "drive": {"source": "usb://0", "zones": {"path": [[0, 0], [1, 0], [1, 1]]}, "clip": {"enabled": False}},
    },
    "mqtt": {"topic_prefix": "frigate", "username": "u", "password": "mqtt-secret-1"},
    "api": {"token": "token-secret-1"},
}


class FrigateBench:
    def __init__(self) -> None:
        self.heard, self.config = RecordingSink(), config_file.validate(DOCUMENT)
        self.topics = FrigateTopics(sink=self.heard, config=lambda: self.config)
        self.topics.announce()

    def visit(self, kind: Literal["new", "update", "end"], after: Event) -> None:
        self.topics.change(EventChange(type=kind, before=after, after=after, frame=frame()))

    def counts(self, *topics: str) -> list[str]:
        return [self.heard.last[topic] for topic in topics]


def test_counts_of_all_of_zones_and_of_who_moves() -> None:
    it = FrigateBench()
    assert it.counts("porch/all", "garden/person", "path/all/active") == ["0", "0", "0"]
    one = event(id="a", current_zones=("garden", "path"))
    it.visit("new", one)
    it.visit("new", event(id="b", camera="drive", current_zones=("path",)))
    assert it.counts("porch/all", "drive/all", "garden/person", "path/person", "path/all") == ["1", "1", "1", "2", "2"]
    it.visit("update", replace(one, stationary=True))
    assert it.counts("porch/all", "porch/all/active", "porch/person/active", "path/all/active") == ["1", "0", "0", "1"]
    it.visit("end", replace(one, end_wall=9.0))
    assert it.counts("porch/all", "garden/all", "path/all") == ["0", "0", "1"]
    assert "porch/person" not in it.heard.last, "that is the dispatcher's own"


def test_a_count_that_stays_is_not_sent_again() -> None:
    it = FrigateBench()
    it.visit("new", event())
    before = len(it.heard.messages)
    it.visit("update", event(score=0.7))
    assert len(it.heard.messages) == before


def test_all_is_passed_on() -> None:
    it = FrigateBench()
    it.topics.people("porch", 2)
    it.topics.motion("porch", True)
    it.topics.tamper(TamperAlert(id="t", camera="porch", kind="black", wall=1.0))
    raised = alert()
    it.topics.alert(raised)
    assert it.heard.passed[:2] == [("porch", 2), ("porch", True)]
    assert it.heard.passed[-1] is raised


def test_reviews_and_their_status_follow_visits_and_alerts() -> None:
    it = FrigateBench()
    assert it.heard.last["porch/review_status"] == "NONE"
    it.visit("new", event(id=alert().event_id))
    assert it.heard.last["porch/review_status"] == "DETECTION"
    it.topics.alert(alert())
    assert it.heard.last["porch/review_status"] == "ALERT"
    it.visit("end", event(id=alert().event_id, end_wall=5.0))
    assert it.heard.last["porch/review_status"] == "NONE"
    reviews = [json.loads(m.payload) for m in it.heard.messages if m.topic == "frigate/reviews"]
    assert [(one["type"], one["after"]["severity"]) for one in reviews] == [
        ("new", "detection"),
        ("update", "alert"),
        ("end", "alert"),
    ]
    assert not any(m.retain for m in it.heard.messages if m.topic == "frigate/reviews")


def test_switches_show_what_is_so() -> None:
    last = FrigateBench().heard.last
    assert {last[f"porch/{switch}/state"] for switch in ("motion", "recordings", "snapshots", "enabled")} == {"ON"}
    assert last["drive/recordings/state"] == "OFF"
    assert last["porch/audio/state"] == last["porch/improve_contrast/state"] == "OFF"
    assert "porch/detect/state" not in last, "that is a real switch, and the dispatcher's"


def test_h4_all_that_the_broker_keeps_is_known_by_name() -> None:
    it = FrigateBench()
    it.visit("new", event(id=alert().event_id, current_zones=("garden",)))
    it.topics.alert(alert())
    for name in DOCUMENT["cameras"]:
        it.topics.snoozed(name, None)
    assert {message.topic for message in it.heard.messages if message.retain} == retained_topics(it.config)
    assert retained_topics(config_file.validate({**DOCUMENT, "mqtt": {}})) == set()


def test_a_removed_camera_and_its_zones_are_cleared() -> None:
    it = FrigateBench()
    it.topics.forget("porch")
    document = {**DOCUMENT, "cameras": {"drive": DOCUMENT["cameras"]["drive"]}}
    it.config = config_file.validate(document)
    it.topics.announce()
    gone = {topic for topic, text in it.heard.last.items() if topic.startswith(("porch/", "garden/"))}
    assert gone
    assert {it.heard.last[topic] for topic in gone} == {""}
    assert it.heard.last["path/person"] == "0"


def configured() -> Config:
    return config_file.validate(DOCUMENT)


def test_the_configuration_in_frigates_shape_is_what_clients_walk_through_and_holds_no_secret() -> None:
    config = frigate_config(configured(), {"porch": {"width": 1920, "height": 1080}})
    assert config["mqtt"]["topic_prefix"] == "frigate"
    assert {(cam, obj) for cam, one in config["cameras"].items() for obj in one["objects"]["track"]} == {
        ("porch", "person"),
        ("drive", "person"),
    }
    porch = config["cameras"]["porch"]
    assert float(porch["motion"]["threshold"]) == 30, "of a camera whose threshold follows the noise"
    assert float(porch["motion"]["contour_area"]) >= 1
    assert (porch["detect"]["width"], porch["detect"]["height"]) == (1920, 1080)
    assert (porch["record"]["enabled"], config["cameras"]["drive"]["record"]["enabled"]) == (True, False)
    assert porch["zones"]["garden"]["coordinates"] == "0,0.5,1,0.5,1,1"
    assert porch["review"]["alerts"]["required_zones"] == ["garden"]
    assert porch["objects"]["filters"]["person"]["min_area"] == 207
    text = json.dumps(config)
    assert not any(secret in text for secret in ("hunter2", "mqtt-secret", "token-secret", "rtsp://"))


def test_the_shapes_are_on_with_the_prefix_or_by_the_key() -> None:
    def on(**mqtt: Any) -> bool:
        return config_file.validate({"cameras": {"a": {"source": "x"}}, "mqtt": mqtt}).mqtt.speaks_frigate

    assert [on(), on(topic_prefix="frigate"), on(topic_prefix="yard", frigate=True)] == [False, True, True]
    assert not on(topic_prefix="frigate", frigate=False)
