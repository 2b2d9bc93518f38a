"""Who armed or disarmed, and why: commands by hand, presence and schedules decide about one alarm.

- A command by hand takes effect at once, and stands until presence or a schedule wants something else than before.
- Presence and schedules want one state together: armed while nobody is at home or a period runs (the stricter of the two,
  armed_away before armed_home), else disarmed. They act only when what they want changes, or a period begins.
- They never undo or weaken what was armed by hand.
- Time alone disarms only while the clock is known to be right, has not jumped in the last JUMP_HOLD_S, and no alarm is on
  its way or sounding. That nobody is at home and that a period begins arms always.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from detector.config.arming import ArmedState
from detector.config.schema import Config
from detector.core.clock import Clock
from detector.core.types import AlarmState, JsonObject

from .alarm_controller import AlarmController
from .arming_audit import ArmingAudit
from .presence import PresenceTracker, Where
from .schedule import Period, ScheduleCalendar

log = logging.getLogger(__name__)

ARMING_STATE = "arming"
"""The name under which the outbox keeps who armed, what was wanted, who is at home, and the audit list."""
JUMP_S: Final = 60.0
JUMP_HOLD_S: Final = 600.0
_RANK: Final[dict[ArmedState | None, int]] = {None: 0, "armed_home": 1, "armed_away": 3}
_OTHER_RANK: Final = 2

Kind = Literal["initial", "hand", "presence", "schedule"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmingCause:
    """Why the alarm is as it is: `why` in plain words, `since` and `until` epoch s, `by` who or what."""

    kind: Kind = "initial"
    by: str = "initial"
    why: str = "since the first start"
    since: float | None = None
    until: float | None = None
    schedule: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What presence and schedules want; `state` None: disarmed. `periods` are the names of those that run."""

    state: ArmedState | None
    cause: ArmingCause
    overall: Where | None
    periods: tuple[str, ...]


class ArmingController:
    """From any thread; `save` and `publish` must return at once.

    `publish(document)` gets what explains the alarm's state whenever it changes. `saved` is what `save` got before the
    restart; a damaged one is ignored: then nothing disarms until the next change.
    """

    def __init__(
        self,
        *,
        alarm: AlarmController,
        config: Config,
        saved: Mapping[str, Any] | None,
        clock: Clock,
        clock_synced: Callable[[], bool] = lambda: True,
        save: Callable[[str, JsonObject], None] = lambda _name, _document: None,
        publish: Callable[[JsonObject], None] = lambda _document: None,
    ) -> None:
        self._alarm, self._config, self._clock = alarm, config, clock
        self._clock_synced, self._save, self._publish = clock_synced, save, publish
        self._lock = threading.RLock()
        self._calendar = ScheduleCalendar(config.schedules, config.location)
        self.audit = ArmingAudit(clock=clock)
        self._people = PresenceTracker(config.presence)
        self._cause = ArmingCause()
        self._wanted: dict[str, Any] | None = None  # the last wish that was acted on
        self._waits: str | None = None
        self._offset = clock.wall() - clock.mono()
        self._hold_until = clock.mono()
        self._published: JsonObject | None = None
        if saved is not None:
            self._restore(saved)

    @property
    def state(self) -> AlarmState:
        return self._alarm.state

    def command(self, command: str, *, by: str = "hand") -> None:
        """ARM_AWAY, ARM_HOME or DISARM, by a person (`by`: over what, from where); raises ValueError on any other."""
        with self._lock:
            self._alarm.command(command)
            if command == "DISARM":
                self._people.confirm()
            self._cause = ArmingCause(kind="hand", by=by, why=f"by {by}", since=self._clock.wall())
            wish = self._wish(None)
            if wish is not None:  # it stands until something else is wanted
                self._wanted, self._waits = _wanted(wish), None
            self._finish(command)

    def person(self, name: str, where: Where, *, retained: bool) -> None:
        """What somebody's phone says."""
        with self._lock:
            if name not in self._people.people:
                return  # taken out of the configuration
            arrival = self._people.observe(name, where, retained=retained, now=self._clock.mono())
            if arrival is None:
                return
            log.info("presence: %s is %s%s", name, where, " (retained)" if retained else "")
            if where == "home" and not arrival.confirmed:
                how = "by a retained message" if retained else "without an arrival that was observed"
                self._note(f"{name} is said to be at home {how}: nothing is disarmed")
            self._keep()
            self.tick(who=name)

    def ignored(self, command: str) -> None:
        """A retained command came: it is written down and has no effect."""
        with self._lock:
            self._note(f"a retained {command[:16]!r} was ignored: commands must not be retained")
            self._keep()

    def connected(self) -> None:
        """A connection to the broker was made."""
        with self._lock:
            self._people.connected(self._clock.mono())

    def use_config(self, config: Config) -> None:
        """Other schedules and another place; people change with the next start."""
        with self._lock:
            self._config = config
            self._calendar = ScheduleCalendar(config.schedules, config.location)
            self.tick()

    def tick(self, *, who: str | None = None) -> None:
        """Look at the clock and at who is at home; twice a second. `who` is whose message is the reason."""
        with self._lock:
            self._watch_clock()
            wish = self._wish(who)
            if wish is not None:
                self._follow(wish)
            self._announce()

    def announce(self) -> None:
        """Publish the explanation as it is: at start."""
        with self._lock:
            self._published = None
            self._announce()

    def document(self) -> dict[str, Any]:
        """For the status: what explains the alarm's state, who is at home, and what comes next."""
        with self._lock:
            now = self._clock.wall()
            coming = self._calendar.next_start(now)
            return {
                **self._explanation(),
                "waits": self._waits,
                "people": {
                    name: {"where": state.where, "confirmed": state.confirmed}
                    for name, state in self._people.people.items()
                },
                "next": None if coming is None else f"{coming.name} from {self._time(coming.start)}",
                "notes": list(self._calendar.notes(now)),
            }

    # -- inside, under the lock ---------------------------------------------------------------------

    def _wish(self, who: str | None) -> Wish | None:
        """What presence and schedules want now; None where neither is configured or known."""
        now, overall = self._clock.wall(), self._people.overall(self._clock.mono())
        periods = self._calendar.active(now)
        causes: list[tuple[ArmedState | None, ArmingCause]] = []
        if overall == "away":
            causes.append((self._config.presence.arm, _cause("presence", "presence", "nobody is at home", now)))
        causes += [(period.arm, self._schedule_cause(period, now)) for period in periods]
        if not causes and overall == "home":
            why = f"{who} came home" if who is not None else "somebody is at home"
            causes.append((None, _cause("presence", "presence", why, now)))
        elif not causes and self._config.schedules:
            causes.append((None, _cause("schedule", "schedule", "no schedule arms now", now)))
        if not causes:
            return None
        # Of equals the one that lasts longest; presence has no end.
        state, cause = max(causes, key=lambda one: (_rank(one[0]), one[1].until or float("inf")))
        return Wish(state=state, cause=cause, overall=overall, periods=tuple(period.name for period in periods))

    def _schedule_cause(self, period: Period, now: float) -> ArmingCause:
        why = f"the schedule {period.name} until {self._time(period.end)}"
        return ArmingCause(
            kind="schedule", by=f"schedule {period.name}", why=why, since=now, until=period.end, schedule=period.name
        )

    def _follow(self, wish: Wish) -> None:
        last, mode = self._wanted, self._alarm.mode
        begun = set(wish.periods) - set(() if last is None else last["periods"])
        if last is not None and last["state"] == wish.state and not begun:
            self._stay(wish)
            return
        arrived = wish.overall == "home" and (last is None or last["overall"] != "home")
        if _rank(wish.state) < _rank(mode):
            if self._cause.kind == "hand":
                self._settle(wish, note=f"{wish.cause.why}: not followed, the alarm was armed {self._cause.why}")
                return
            if last is None and not arrived:
                self._settle(wish, note=None)  # the first time: the state is the configuration's
                return
            if not arrived and (why := self._time_may_not_disarm()) is not None:
                self._wait(why)
                return
        self._settle(wish, note=None)
        self._act(wish, mode)

    def _stay(self, wish: Wish) -> None:
        """What is wanted is as before; perhaps for another reason, or for longer."""
        cause, self._waits = self._cause, None
        is_other = (cause.by, cause.until) != (wish.cause.by, wish.cause.until)
        adopts = is_other and cause.kind in ("presence", "schedule") and wish.state == self._alarm.mode is not None
        if adopts:
            self._cause = wish.cause
        if adopts or _wanted(wish) != self._wanted:
            self._settle(wish, note=None)

    def _act(self, wish: Wish, mode: ArmedState | None) -> None:
        if wish.state != mode:
            command = "DISARM" if wish.state is None else f"ARM_{wish.state.removeprefix('armed_').upper()}"
            self._alarm.command(command)
            self._cause = wish.cause
            self._finish(command)
        elif self._cause.kind != "hand":
            self._cause = wish.cause
            self._keep()

    def _settle(self, wish: Wish, *, note: str | None) -> None:
        self._wanted, self._waits = _wanted(wish), None
        if note is not None:
            self._note(note)
        self._keep()

    def _time_may_not_disarm(self) -> str | None:
        if not self._clock_synced():
            return "not followed yet: the clock is not known to be right"
        if self._clock.mono() < self._hold_until:
            return "not followed yet: the clock has jumped"
        if self._alarm.state in ("pending", "triggered"):
            return "not followed yet: an alarm is on"
        return None

    def _wait(self, why: str) -> None:
        if why != self._waits:
            self._waits = why
            self._note(why)
            self._keep()

    def _watch_clock(self) -> None:
        offset = self._clock.wall() - self._clock.mono()
        if abs(offset - self._offset) > JUMP_S:
            log.warning("the clock jumped by %.0f s: schedules only arm for %.0f s", offset - self._offset, JUMP_HOLD_S)
            self._hold_until = self._clock.mono() + JUMP_HOLD_S
        self._offset = offset

    def _finish(self, command: str) -> None:
        self.audit.add(command=command, state=self._alarm.state, by=self._cause.by, why=self._cause.why)
        log.info("alarm: %s, %s: now %s", command, self._cause.why, self._alarm.state)
        self._keep()
        self._announce()

    def _note(self, text: str) -> None:
        log.warning("alarm: %s", text)
        self.audit.add(command=None, state=self._alarm.state, by="-", why=text)

    def _time(self, wall: float) -> str:
        local = self._calendar.local(wall)
        return local.strftime("%H:%M" if abs(wall - self._clock.wall()) < 20 * 3600 else "%a %H:%M")

    def _explanation(self) -> dict[str, Any]:
        cause, mode = self._cause, self._alarm.mode
        word = "disarmed" if mode is None else "armed"
        because = " because of " if cause.kind == "schedule" else " because " if cause.kind == "presence" else " "
        if cause.kind == "schedule" and mode is None:
            because = " because "
        return {
            "because": f"{word}{because}{cause.why}",
            "by": cause.by,
            "since": cause.since,
            "until": cause.until,
            "schedule": cause.schedule,
        }

    def _announce(self) -> None:
        explanation = {"state": self._alarm.state, **self._explanation()}
        if explanation != self._published:  # not what changes from day to day: it is retained
            self._published = explanation
            self._publish(explanation)

    def _keep(self) -> None:
        cause = self._cause
        self._save(
            ARMING_STATE,
            {
                "cause": {key: getattr(cause, key) for key in ArmingCause.__dataclass_fields__},
                "wanted": self._wanted,
                "presence": self._people.dump(),
                "audit": self.audit.entries(),
            },
        )

    def _restore(self, saved: Mapping[str, Any]) -> None:
        try:
            cause, wanted = ArmingCause(**saved["cause"]), saved["wanted"]
            kept = None if wanted is None else {key: wanted[key] for key in ("state", "overall", "periods")}
            self._people.load(saved["presence"], self._clock.mono())
            self.audit.load(saved["audit"])
        except (KeyError, TypeError, ValueError, AttributeError):
            log.warning("what was kept of who armed the alarm cannot be read and is not used")
            self._people = PresenceTracker(self._config.presence)
            return
        self._cause, self._wanted = cause, kept


def _cause(kind: Kind, by: str, why: str, now: float) -> ArmingCause:
    return ArmingCause(kind=kind, by=by, why=why, since=now)


def _rank(state: ArmedState | None) -> int:
    """How strict; states that are unknown here lie between at home and away."""
    return _RANK.get(state, _OTHER_RANK)


def _wanted(wish: Wish) -> dict[str, Any]:
    return {"state": wish.state, "overall": wish.overall, "periods": list(wish.periods)}
