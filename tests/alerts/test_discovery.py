"""What Home Assistant was told is taken back when it no longer holds, over restarts, with a real broker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from detector.alerts.discovery import ANNOUNCED, Discovery
from detector.alerts.topics import Topics
from detector.config.schema import Config
from detector.core.types import Message
from support.dispatcher import RunningDispatcher, has, running_dispatcher
from support.messages import make_alert
from support.mosquitto import Mosquitto, RecordingSubscriber, wait_until


def config(*cameras: str, device: str = "yard", **mqtt: Any) -> Config:
    return Config.model_validate(
        {
            "device": {"id": device},
            "cameras": {name: {"source": "a.mp4"} for name in cameras},
            "mqtt": {"topic_prefix": "p", **mqtt},
        }
    )


@contextmanager
def started(folder: Path, port: int, settings: Config) -> Iterator[tuple[RunningDispatcher, Discovery]]:
    """A service's start as far as the broker sees it: states of every camera, discovery."""
    topics = Topics(settings.mqtt.topic_prefix)
    will = Message(topic=topics.available, payload=b"offline", qos=1, retain=True)
    with running_dispatcher(folder, port, topics=topics, will=will) as delivery:
        discovery = Discovery(
            topics=topics,
            send=delivery.dispatcher.send,
            saved=delivery.outbox.get_state(ANNOUNCED),
            save=delivery.dispatcher.save_state,
        )
        delivery.link.listen_cleared(discovery.cleared)
        for name in settings.cameras:
            delivery.dispatcher.people(name, 1)
            delivery.dispatcher.camera_status(name, "online")
            delivery.dispatcher.detect_state(name, True)
        delivery.dispatcher.alarm_state("armed_away")
        delivery.dispatcher.retain(topics.alarm_attributes, {"people": {}})
        delivery.dispatcher.retain(topics.slo, {"share": 1.0})
        discovery.announce(settings, page_url=None)
        yield delivery, discovery


def retained(port: int) -> dict[str, bytes]:
    subscriber = RecordingSubscriber(port, "#")
    marker = RecordingSubscriber(port, "nothing")
    marker.publish("marker", b"now")
    heard = subscriber.wait_for(lambda h: any(m.topic == "marker" for m in h))
    subscriber.close()
    marker.close()
    return {m.topic: m.payload for m in heard if m.retained}


def run_once(folder: Path, port: int, settings: Config) -> dict[str, bytes]:
    with started(folder, port, settings) as (delivery, _):
        wait_until(delivery.link.session)
        wanted = {f"{settings.mqtt.topic_prefix}/{name}/status" for name in settings.cameras}
        prefix = settings.mqtt.discovery_prefix
        wanted |= {f"{prefix}/device/{settings.device.id}/config"} if prefix else set()
        wait_until(lambda: wanted <= retained(port).keys())
        wait_until(lambda: delivery.link.status().unacknowledged == 0)
        known = (delivery.outbox.get_state(ANNOUNCED) or {})["topics"]
        wait_until(lambda: retained(port).keys() <= set(known))
    return retained(port)


PORCH = {"p/porch/person", "p/porch/status", "p/porch/detect/state"}
DOOR = {"p/door/person", "p/door/status", "p/door/detect/state"}
OURS = {"p/available", "p/alarm/state", "p/alarm/attributes", "p/slo"}
YARD = "homeassistant/device/yard/config"


def test_h4_a_renamed_camera_leaves_nothing_behind(broker: Mosquitto, tmp_path: Path) -> None:
    assert run_once(tmp_path, broker.port, config("porch")).keys() == PORCH | OURS | {YARD}
    after = run_once(tmp_path, broker.port, config("door"))
    assert after.keys() == DOOR | OURS | {YARD}
    components = json.loads(after[YARD])["components"]
    assert components["porch_status"] == {"platform": "binary_sensor"}, "so that its entity goes"
    assert components["door_status"].keys() > {"platform"}


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        (config("porch", device="garden"), PORCH | OURS | {"homeassistant/device/garden/config"}),
        (config("porch", discovery_prefix=None), PORCH | OURS),
        (config("porch", discovery_prefix="ha"), PORCH | OURS | {"ha/device/yard/config"}),
        (
            config("porch", topic_prefix="q"),
            {one.replace("p/", "q/", 1) for one in PORCH | OURS} | {YARD},
        ),
    ],
    ids=["device id", "discovery off", "discovery prefix", "topic prefix"],
)
def test_h4_another_id_or_prefix_leaves_nothing_behind(
    broker: Mosquitto, tmp_path: Path, settings: Config, left: set[str]
) -> None:
    run_once(tmp_path, broker.port, config("porch"))
    after = run_once(tmp_path, broker.port, settings)
    assert after.keys() == left
    if YARD in after:
        assert "porch_status" in json.loads(after[YARD])["components"]


def test_h4_a_picture_of_a_removed_camera_goes_too(broker: Mosquitto, tmp_path: Path) -> None:
    with started(tmp_path, broker.port, config("porch", "door")) as (delivery, _):
        wait_until(delivery.link.session)
        delivery.dispatcher.alert(make_alert(1, camera="door"))
        wait_until(lambda: "p/door/person/snapshot" in retained(broker.port))
    assert run_once(tmp_path, broker.port, config("porch")).keys() == PORCH | OURS | {YARD}


def test_h4_what_could_not_be_cleared_is_cleared_at_a_later_start(broker: Mosquitto, tmp_path: Path) -> None:
    run_once(tmp_path, broker.port, config("porch"))
    broker.save()
    broker.stop()
    with started(tmp_path, broker.port, config("door")) as (delivery, _):  # the broker is away meanwhile
        wait_until(lambda: delivery.dispatcher.stats().waiting == 0)
    broker.start()
    assert run_once(tmp_path, broker.port, config("door")).keys() == DOOR | OURS | {YARD}
    with started(tmp_path, broker.port, config("door")) as (delivery, _):
        wait_until(
            lambda: (
                set((delivery.outbox.get_state(ANNOUNCED) or {})["topics"])
                == {*DOOR, *OURS, YARD, *Topics("p").retained_of("door")}
            )
        )


def test_h6_after_home_assistants_birth_every_state_is_said_again(broker: Mosquitto, tmp_path: Path) -> None:
    with started(tmp_path, broker.port, config("porch", "door")) as (delivery, discovery):
        wait_until(delivery.link.session)
        delivery.dispatcher.motion("porch", False)
        delivery.dispatcher.motion("door", True)
        delivery.dispatcher.status({"state": "ok"})
        wait_until(lambda: delivery.dispatcher.stats().waiting == 0)
        wait_until(lambda: YARD in retained(broker.port))
        home_assistant = RecordingSubscriber(broker.port, "p/+/motion", "p/stats")  # restarted: nothing is retained
        assert home_assistant.heard == []
        discovery.announce(config("porch", "door"), page_url=None)
        delivery.dispatcher.restate()
        heard = home_assistant.wait_for(lambda h: len(h) == 3)
        assert {m.topic: m.payload for m in heard} == {
            "p/porch/motion": b"OFF",
            "p/door/motion": b"ON",
            "p/stats": b'{"state":"ok"}',
        }
        delivery.dispatcher.forget_camera("door")
        home_assistant.heard.clear()
        delivery.dispatcher.restate()
        home_assistant.wait_for(lambda h: len(h) == 2)
        home_assistant.close()


def test_a_state_document_that_is_not_what_was_written_is_harmless() -> None:
    sent: list[Message] = []
    for saved in ({"topics": "p/x", "cameras": {"a": 1}}, {"topics": [1, None], "cameras": [2], "discovery": YARD}):
        discovery = Discovery(
            topics=Topics("p"),
            send=lambda message, _hint: sent.append(message),
            saved=saved,
            save=lambda _name, _document: None,
        )
        discovery.announce(config("porch"), page_url=None)
        discovery.cleared("p/x")
    assert [message.topic for message in sent] == [YARD, YARD]


def test_an_alert_is_not_kept_waiting_by_much_to_clear(broker: Mosquitto, tmp_path: Path) -> None:
    names = [f"cam{number}" for number in range(60)]
    run_once(tmp_path, broker.port, config(*names))
    subscriber = RecordingSubscriber(broker.port, "p/alerts")
    with started(tmp_path, broker.port, config("porch")) as (delivery, _):
        delivery.dispatcher.alert(make_alert(1))
        subscriber.wait_for(has("alert-1"))
        wait_until(lambda: retained(broker.port).keys() >= PORCH | OURS | {YARD})
        wait_until(lambda: not any("cam" in topic for topic in retained(broker.port)))
    subscriber.close()
