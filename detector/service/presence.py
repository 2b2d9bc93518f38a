"""Who is at home, by what their phones say over MQTT; pure, `now` is monotonic s.

Arming and disarming are not equals here. That somebody left may be known from anything. That somebody came home counts
only when the change was observed: a message that is not retained, more than SETTLE_S after the connection was made, of
somebody who was known to be away. Everything else (a retained message, the first word of a phone, what others send again
when the broker comes back) says where the person is, `confirmed: false`, and disarms nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from detector.config.arming import Person, Presence

SETTLE_S: Final = 5.0
Where = Literal["home", "away"]
_NOWHERE = ("", "unknown", "unavailable", "none", "null")  # what Home Assistant and others say when they do not know


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonState:
    """`where` None: nothing is known. `confirmed`: at home because the arrival was observed."""

    where: Where | None = None
    confirmed: bool = False
    away_since_mono: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PresenceChange:
    """What one message changed: `confirmed` is whether it may disarm."""

    person: str
    where: Where
    confirmed: bool


def meaning(person: Person, payload: str) -> Where | None:
    """What `payload` says of `person`; None where it says nothing."""
    text = payload.strip()
    if text == person.home:
        return "home"
    if text == person.away or (person.away == "*" and text.lower() not in _NOWHERE):
        return "away"
    return None


class PresenceTracker:
    """Not thread-safe. `load` takes what `dump` gave before a restart."""

    def __init__(self, settings: Presence) -> None:
        self._settings = settings
        self._people: dict[str, PersonState] = {name: PersonState() for name in settings.topics}
        self._connected_mono: float | None = None
        self._overall: Where | None = None

    @property
    def people(self) -> Mapping[str, PersonState]:
        return self._people

    def use_settings(self, settings: Presence) -> None:
        """Other people: who stays keeps the state."""
        self._settings = settings
        self._people = {name: self._people.get(name, PersonState()) for name in settings.topics}

    def connected(self, now: float) -> None:
        """A connection to the broker was made: what comes within SETTLE_S may be old."""
        self._connected_mono = now

    def observe(self, name: str, where: Where, *, retained: bool, now: float) -> PresenceChange | None:
        """Take a message; None where it is no news."""
        old = self._people[name]
        if old.where == where:
            return None
        settled = self._connected_mono is not None and now - self._connected_mono > SETTLE_S
        observed = where == "home" and old.where == "away" and not retained and settled
        self._people[name] = PersonState(
            where=where, confirmed=observed, away_since_mono=now if where == "away" else None
        )
        return PresenceChange(person=name, where=where, confirmed=observed)

    def confirm(self) -> None:
        """A person disarmed by hand: who was said to be at home is."""
        for name, state in self._people.items():
            if state.where == "home":
                self._people[name] = replace(state, confirmed=True)

    def overall(self, now: float) -> Where | None:
        """`home`: somebody is, confirmed; `away`: all are gone, for `away_after_s`. Else as it was; None: never known."""
        states = self._people.values()
        if any(state.where == "home" and state.confirmed for state in states):
            self._overall = "home"
        elif states and all(self._is_gone(state, now) for state in states):
            self._overall = "away"
        elif not states:
            self._overall = None
        return self._overall

    def _is_gone(self, state: PersonState, now: float) -> bool:
        since = state.away_since_mono
        return state.where == "away" and since is not None and now - since >= self._settings.away_after_s

    def dump(self) -> dict[str, Any]:
        people = {name: {"where": state.where, "confirmed": state.confirmed} for name, state in self._people.items()}
        return {"people": people, "overall": self._overall}

    def load(self, saved: Mapping[str, Any], now: float) -> None:
        """Raises KeyError, TypeError or ValueError for what `dump` did not make."""
        people: dict[str, PersonState] = {}
        for name in self._people:
            kept = saved["people"].get(name, {})
            where = kept.get("where")
            if where not in (None, "home", "away"):
                raise ValueError("no place where a person can be")
            people[name] = PersonState(
                where=where,
                confirmed=where == "home" and bool(kept.get("confirmed")),
                away_since_mono=now if where == "away" else None,
            )
        if saved["overall"] not in (None, "home", "away"):
            raise ValueError("no place where people can be")
        self._people, self._overall = people, saved["overall"]
