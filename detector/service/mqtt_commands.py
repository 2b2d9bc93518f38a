"""What subscribers may ask over MQTT: the alarm, detection, a snooze, "nobody is here", a restart, discovery again."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from typing import get_args

from detector.alerts.snapshot_files import safe_id
from detector.alerts.topics import Topics
from detector.api.control import WrongCodeError
from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.types import AlarmCommand

from .alarm_code import AlarmCode
from .arming import ArmingController
from .camera_switches import CameraSwitches
from .config_store import ConfigStore
from .refused_commands import RefusedCommands
from .snooze import Snoozes
from .suppressions import Suppressions

log = logging.getLogger(__name__)

_MAX_BYTES = 256  # of a command; the longest, an alarm's with a code of 64 characters, has less
_SHOWN = 64  # characters of a payload in the log
BIRTH_S = 1.0  # Home Assistant's births closer together than this are one
Handler = Callable[[str, bytes], None]


class MqttCommands:
    """Each handler acts on one message; nonsense is counted, named in the log, and has no other effect."""

    def __init__(
        self,
        *,
        topics: Topics,
        store: ConfigStore,
        alarm: ArmingController,
        code: AlarmCode,
        switches: CameraSwitches,
        snoozes: Snoozes,
        restart: threading.Event,
        announce: Callable[[], None],
        suppressions: Suppressions,
        refused: RefusedCommands,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._topics, self._store, self._alarm, self._code = topics, store, alarm, code
        self._switches, self._snoozes, self._restart = switches, snoozes, restart
        self._announce, self._suppressions, self._refused, self._clock = announce, suppressions, refused, clock
        self._next_birth = float("-inf")

    def handlers(self) -> list[tuple[str, Handler]]:
        """(topic filter, handler): what to give the MQTT client before it starts."""
        prefix = self._store.config.mqtt.discovery_prefix
        birth = [(f"{prefix}/status", self._on_birth)] if prefix else []
        return [
            (self._topics.alarm_set, self._on_alarm),
            (self._topics.detect_set("+"), self._on_detect),
            (self._topics.snooze_set("+"), self._on_snooze),
            (self._topics.suppress_set("+"), self._on_suppress),
            (self._topics.restart_set, self._on_restart),
            *birth,
        ]

    def _on_alarm(self, topic: str, payload: bytes) -> None:
        try:
            word, code = _alarm_command(payload)
            self._code.check(word, code, state=self._alarm.state)
            self._alarm.command(word, by="MQTT")
        except WrongCodeError as error:
            self._refused.add(topic, str(error))
        except ValueError:
            self._refuse(topic, payload)

    def on_retained_alarm(self, _topic: str, payload: bytes) -> None:
        """A retained command was given to nobody in particular, perhaps long ago: it is written down, nothing else."""
        try:
            word, _ = _alarm_command(payload)
        except ValueError:
            word = "command"  # what is none may hold a code
        self._alarm.ignored(word)

    def _on_detect(self, topic: str, payload: bytes) -> None:
        word = _word(payload).upper()
        camera = self._camera(topic, self._topics.detect_set)
        if camera is None or word not in ("ON", "OFF"):
            self._refuse(topic, payload)
            return
        try:
            self._switches.switch(camera, enabled=word == "ON")
        except KeyError:  # disabled in the config
            self._refuse(topic, payload)
            return
        log.info("camera %s: detection %s by MQTT", camera, word)

    def _on_snooze(self, topic: str, payload: bytes) -> None:
        word, camera = _word(payload), self._camera(topic, self._topics.snooze_set)
        if camera is None or not (word.isascii() and word.isdigit()):
            self._refuse(topic, payload)
            return
        try:
            self._snoozes.set(camera, int(word))
        except ValueError:  # too long
            self._refuse(topic, payload)
            return
        log.info("camera %s: no alerts for %s s by MQTT", camera, word)

    def _on_suppress(self, topic: str, payload: bytes) -> None:
        word, camera = _word(payload), self._camera(topic, self._topics.suppress_set)
        if camera is None or not safe_id(word):
            self._refuse(topic, payload)
            return
        self._suppressions.ask_soon(
            camera, word, refused=lambda why: self._refused.add(topic, f"not a command that can be followed: {why}")
        )

    def _on_restart(self, topic: str, payload: bytes) -> None:
        if _word(payload).upper() != "RESTART":
            self._refuse(topic, payload)
            return
        log.info("restart by MQTT")
        self._restart.set()

    def _on_birth(self, _topic: str, payload: bytes) -> None:
        now = self._clock.mono()
        if _word(payload) == "online" and now >= self._next_birth:
            self._next_birth = now + BIRTH_S
            self._announce()

    def _camera(self, topic: str, of: Callable[[str], str]) -> str | None:
        return next((name for name in self._store.config.cameras if topic == of(name)), None)

    def _refuse(self, topic: str, payload: bytes) -> None:
        text = payload[: 2 * _MAX_BYTES].decode("utf-8", "replace").strip()
        # A document may hold a code, wrong by one digit.
        shown = "{...}" if text.startswith("{") else self._code.masked(text)[:_SHOWN]
        size = f" ({len(payload)} bytes)" if len(payload) > _MAX_BYTES else ""
        self._refused.add(topic, f"{shown!r}{size} is not a command that is known here")


def _word(payload: bytes) -> str:
    """The command; "", which is none, where it is too long to be one."""
    return payload.decode("utf-8", "replace").strip() if len(payload) <= _MAX_BYTES else ""


def _alarm_command(payload: bytes) -> tuple[str, str | None]:
    """`DISARM`, or `{"action": "DISARM", "code": "1234"}`: (the command, the code). Raises ValueError."""
    word, code = _word(payload), None
    if word.startswith("{"):
        document = json.loads(word)
        word, code = str(document.get("action")), document.get("code")
    word = word.strip().upper()
    if word not in get_args(AlarmCommand) or not isinstance(code, (str, type(None))):
        raise ValueError("not a command")
    return word, code
