"""Finds what a broker ends the connection at, by what was on its way when it did.

Brokers do so without a word: at a packet above their limit (MQTT 3.1.1), at a topic or a subscription that their
access rules forbid. What is on its way is on trial until the broker has answered something sent after it. When
the connection is lost meanwhile, all of it is under suspicion, and from then on goes out alone, one after the
other. What was on its way at two losses, the second time alone, is left out for a while.

Alerts and events are not on trial: they are never left out.
"""

from __future__ import annotations

from dataclasses import dataclass

RETRY_S = 600.0  # how long something is left out: rules and limits change, and a broker may just have died
EXPIRE_S = 5.0  # a broker that answers nothing for so long, and stays, took it
CLEAR_S = 60.0  # a connection that lasts so long ends all suspicion


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """`name`: a topic, or a subscription's filter; `size` bytes; `hint`: what to do where a broker forbids it.

    `shrinks`: it can be had smaller, so its size is taken for the reason.
    """

    name: str
    size: int
    hint: str
    shrinks: bool = False

    def verdict(self) -> str:
        """One line on a trial that was left out."""
        return f"the broker does not take {self.name} ({self.size} bytes): {self.hint}"


class Trials:
    """Not thread-safe; times are monotonic s, `order` rises with each packet sent in a connection."""

    def __init__(self) -> None:
        self._on_way: dict[str, tuple[int, float, Trial]] = {}
        self._suspects: dict[str, int] = {}
        self._left_out: dict[str, tuple[float, Trial]] = {}
        self._began = 0.0

    @property
    def careful(self) -> bool:
        """Something is under suspicion: alerts first, then the rest one at a time."""
        return bool(self._suspects)

    @property
    def last_order(self) -> int:
        """The newest packet on trial; 0 for none."""
        return max((order for order, _, _ in self._on_way.values()), default=0)

    def left_out(self, now: float) -> list[str]:
        """One line on each that is left out at present."""
        return [trial.verdict() for until, trial in self._left_out.values() if until > now]

    def size_limit(self, now: float) -> int | None:
        """Bytes that the broker can be expected to take: half of the smallest that was left out for its size."""
        sizes = [trial.size for until, trial in self._left_out.values() if until > now and trial.shrinks]
        return min(sizes) // 2 if sizes else None

    def is_left_out(self, trial: Trial, now: float) -> bool:
        """Whether it was left out: its like that is too large for what is known, or this very topic."""
        if trial.shrinks:
            limit = self.size_limit(now)
            return limit is not None and trial.size > limit
        until, _ = self._left_out.get(trial.name, (now, trial))
        return until > now

    def may_begin(self) -> bool:
        """Whether another may be sent now."""
        return not (self.careful and self._on_way)

    def begin(self, trial: Trial, order: int, now: float) -> None:
        """`trial` was just sent, as packet `order`."""
        self._on_way[trial.name] = (order, now, trial)

    def connected(self, now: float) -> None:
        """A connection stands."""
        self._began = now

    def proved(self, order: int) -> None:
        """The broker answered packet `order`: it took all that was sent before."""
        for name in [name for name, (sent, _, _) in self._on_way.items() if sent <= order]:
            del self._on_way[name]
            self._suspects.pop(name, None)

    def pass_time(self, now: float) -> None:
        """Call now and then while connected."""
        for name in [name for name, (_, since, _) in self._on_way.items() if now - since > EXPIRE_S]:
            del self._on_way[name]
            self._suspects.pop(name, None)
        if now - self._began > CLEAR_S:
            self._suspects.clear()

    def lost(self, now: float) -> Trial | None:
        """The connection is lost: what is left out from now on, if anything."""
        on_way, self._on_way = self._on_way, {}
        if len(on_way) == 1:
            ((name, (_, _, trial)),) = on_way.items()
            if self._suspects.get(name, 0):
                self.leave_out(trial, now)
                return trial
        for name in on_way:
            self._suspects[name] = self._suspects.get(name, 0) + 1
        return None

    def leave_out(self, trial: Trial, now: float) -> None:
        """It is known by other means that the broker does not take it."""
        self._suspects.pop(trial.name, None)
        self._left_out[trial.name] = (now + RETRY_S, trial)

    def forgive(self) -> None:
        """The broker cannot be reached: it was its own end, not what was on its way."""
        self._suspects.clear()
