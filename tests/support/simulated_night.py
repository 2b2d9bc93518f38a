"""A home's night, 22:00 to 06:00: what happens, hour by hour, and what is kept of it. See `tests/night`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .fed_camera import FedCamera
from .mosquitto import Mosquitto, RecordingSubscriber
from .night_scenes import NightScenes
from .simulation import ServiceOnMediaTime
from .timeline import TimelineRow, told

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
    """The home, what happens there, and what came of it."""

    service: ServiceOnMediaTime
    scenes: NightScenes
    door: FedCamera
    broker: Mosquitto
    phones: RecordingSubscriber
    subscriber: RecordingSubscriber
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
        new = self.subscriber.heard[self.heard :]
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


def happen(night: SimulatedNight) -> None:
    """All of it, from 22:00 to 06:00."""
    _evening(night)
    _first_half(night)
    _intrusions(night)
    _morning(night)


def night_document(data: Path, model: Path, door: FedCamera, garden: FedCamera, broker: Mosquitto) -> dict[str, Any]:
    return {
        "device": {"id": "home"},
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
    night.subscriber.publish("detector/garden/suppress/set", visit["id"])
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
    night.subscriber.publish("detector/alarm/set", "DISARM")
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
