"""The last alert of each camera is kept by a real broker, and said again after a restart of either side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from detector.alerts.last_alerts import LAST_ALERTS, LastAlerts
from support.dispatcher import TOPICS, RunningDispatcher, running_dispatcher
from support.messages import make_alert
from support.mosquitto import Mosquitto, RecordingSubscriber, wait_until


def last_alerts(delivery: RunningDispatcher) -> LastAlerts:
    last = LastAlerts(
        topics=TOPICS,
        saved=delivery.outbox.get_state(LAST_ALERTS),
        save=delivery.dispatcher.save_state,
        send=delivery.dispatcher.send,
    )
    delivery.dispatcher.listen_alerts(last.note)
    return last


def told(subscriber: RecordingSubscriber, camera: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(subscriber.last(f"p/{camera}/last_alert") or b"{}")
    return document


def test_an_alert_that_went_out_is_the_camera_s_last(broker: Mosquitto, tmp_path: Path) -> None:
    subscriber = RecordingSubscriber(broker.port)
    with running_dispatcher(tmp_path, broker.port) as delivery:
        last_alerts(delivery)
        wait_until(delivery.link.session)
        for number, camera in ((1, "porch"), (2, "door"), (3, "porch")):
            delivery.dispatcher.alert(make_alert(number, camera=camera))
        wanted = {"porch": "alert-3", "door": "alert-2"}
        heard = subscriber.wait_for(lambda _: all(told(subscriber, c).get("id") == i for c, i in wanted.items()))
        alert = [json.loads(h.payload) for h in heard if h.topic == "p/alerts"][-1]
        assert told(subscriber, "porch") == {
            **{key: alert[key] for key in ("id", "event_id", "captured_at", "score", "zones", "repeat", "replayed")},
            "latency_ms": alert["latency_ms"]["total"],
        }
    subscriber.close()
    with running_dispatcher(tmp_path, broker.port) as delivery:
        fresh = RecordingSubscriber(broker.port, "p/+/last_alert")
        heard = fresh.wait_for(lambda h: len(h) == 2)
        assert all(h.retained for h in heard), "the broker kept them"
        fresh.heard.clear()
        last = last_alerts(delivery)
        wait_until(delivery.link.session)
        last.announce(["porch", "attic"])
        assert json.loads(fresh.wait_for(lambda h: h)[0].payload)["id"] == "alert-3"
        last.forget("porch")
        wait_until(lambda: (delivery.outbox.get_state(LAST_ALERTS) or {}).keys() == {"door"})
        fresh.close()


def test_what_is_damaged_on_the_disk_is_left_out() -> None:
    sent: list[object] = []
    saved = {"porch": "x", "door": None, "yard": {"id": "a"}}
    last = LastAlerts(topics=TOPICS, saved=saved, save=lambda _n, _d: None, send=sent.append)
    last.announce(saved)
    assert len(sent) == 1
