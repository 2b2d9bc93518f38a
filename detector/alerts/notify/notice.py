"""One notification and what takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from detector.alerts.payloads import parse_timestamp
from detector.core.errors import DetectorError

Document = Mapping[str, Any]


class NotifyError(DetectorError):
    """A target could not be reached or refused; it is tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """`document` is the alert as it is published, `picture` its JPEG; `title` and `text` are for people."""

    document: Document
    title: str
    text: str
    picture: bytes | None


class NoticeTarget(Protocol):
    """Takes notices, each in limited time; from one thread."""

    def send(self, notice: Notice) -> None:
        """Raises NotifyError, one line without secrets."""
        ...


def fields(document: Document) -> dict[str, str]:
    """The values of `template.FIELDS` for an alert's document; local time. Addresses only where they lead somewhere."""
    moment = datetime.fromtimestamp(parse_timestamp(document["captured_at"])).astimezone()
    total = document["latency_ms"]["total"]

    def address(key: str) -> str:
        url = document.get(key)
        return url if isinstance(url, str) and url.startswith("http") else ""  # without public_url it is a mere path

    return {
        "alert_id": str(document["id"]),
        "camera": str(document["camera"]),
        "clip_url": address("clip_url"),
        "date": moment.strftime("%Y-%m-%d"),
        "device": str(document["device"]),
        "event_id": str(document["event_id"]),
        "latency_ms": "" if total is None else f"{total:.0f}",
        "people_since": str(document["since_last"]["people"]),
        "score": f"{100 * document['score']:.0f} %",
        "snapshot_url": address("snapshot_url"),
        "time": moment.strftime("%H:%M:%S"),
        "zones": ", ".join(document["zones"]),
    }
