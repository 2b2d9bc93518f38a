"""What happened in a simulated night, and what was published meanwhile: a table for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .mosquitto import Heard


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineRow:
    """`time`: of the night, HH:MM:SS. `alarm`: its state at the row's end."""

    time: str
    happened: str
    alarm: str
    published: tuple[str, ...]


def told(messages: Sequence[Heard], prefix: str) -> tuple[str, ...]:
    """The messages that people care about, in a few words each; what comes twice is said once."""
    return tuple(dict.fromkeys(word for message in messages for word in _words(message, prefix)))


def table(rows: Sequence[TimelineRow]) -> str:
    """A Markdown table."""
    lines = ["| time | what happened | alarm | published |", "|---|---|---|---|"]
    lines += [f"| {r.time} | {r.happened} | {r.alarm} | {', '.join(r.published)} |" for r in rows]
    return "\n".join(lines)


def _words(message: Heard, prefix: str) -> Iterator[str]:
    topic = message.topic.removeprefix(f"{prefix}/")
    if topic == "alerts":
        alert = json.loads(message.payload)
        late = ", replayed" if alert["replayed"] else ""
        yield f"**alert {alert['seq']} of {alert['camera']}** (seen {alert['captured_at'][11:19]}{late})"
    elif topic == "clips":
        clip = json.loads(message.payload)
        yield f"clip of {clip['camera']}, {clip['duration_s']:.0f} s"
    elif topic == "events":
        change = json.loads(message.payload)
        if change["type"] == "new":
            nobody = " (suppressed)" if change["after"]["suppressed"] else ""
            yield f"visit at the {change['after']['camera']}{nobody}"
    elif topic == "alarm/state":
        yield f"alarm {message.payload.decode()}"
    elif topic == "tamper":
        yield f"tamper alert {message.payload.decode()}"
    elif topic.endswith("/status"):
        yield f"{topic.removesuffix('/status')} {message.payload.decode()}"
