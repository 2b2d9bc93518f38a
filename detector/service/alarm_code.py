"""The alarm's code: who disarms by a keypad, over MQTT or HTTP, must give it."""

from __future__ import annotations

import hmac
import threading
from collections import deque
from collections.abc import Callable

from pydantic import SecretStr

from detector.api.control import WrongCodeError
from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.redact import MASK
from detector.core.types import AlarmState

TRIES = 5
WINDOW_S = 60.0
"""TRIES wrong codes in WINDOW_S, then none is compared until it is over: 10,000 codes take a day and a half."""


class AlarmCode:
    """`code` gives the configured one, None while there is none. Thread-safe."""

    def __init__(self, *, code: Callable[[], SecretStr | None], clock: Clock = SYSTEM_CLOCK) -> None:
        self._code, self._clock = code, clock
        self._lock = threading.Lock()
        self._wrong: deque[float] = deque()

    def check(self, command: str, given: str | None, *, state: AlarmState) -> None:
        """Raises WrongCodeError unless `given` allows `command` in `state`.

        Arming a disarmed alarm needs no code. To disarm, or to arm otherwise (fewer cameras may be armed then), does.
        """
        secret = self._code()
        if secret is None or (state == "disarmed" and command != "DISARM"):
            return
        if given is None:
            raise WrongCodeError(f"{command} needs the alarm's code")
        with self._lock:
            now = self._clock.mono()
            while self._wrong and now - self._wrong[0] >= WINDOW_S:
                self._wrong.popleft()
            if len(self._wrong) >= TRIES:
                raise WrongCodeError(f"{TRIES} wrong codes: wait a minute, then try again")
            if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), secret.get_secret_value().encode()):
                self._wrong.append(now)
                raise WrongCodeError("the code is wrong")

    def masked(self, text: str) -> str:
        """`text` without the code in it."""
        secret = self._code()
        return text if secret is None else text.replace(secret.get_secret_value(), MASK)
