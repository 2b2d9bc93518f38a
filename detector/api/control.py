"""What the API may ask of the service; `service` implements it, the routes use nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from detector.core.errors import DetectorError
from detector.core.histogram import HistogramCounts
from detector.core.types import AlarmCommand

from .scene_documents import ZoneDraft

Document = dict[str, Any]
LatencyCounts = Mapping[str, Mapping[str, HistogramCounts]]


class StaleConfigError(DetectorError):
    """The configuration changed since the caller read it."""

    def __init__(self) -> None:
        super().__init__("the configuration changed since you read it: read it again, then repeat the change")


class WrongCodeError(DetectorError):
    """The alarm's code is missing or wrong, or too many wrong ones were given."""


class UnknownVisitError(DetectorError):
    """What was asked of a visit cannot be done: it is not known, or its camera is not running."""


@dataclass(frozen=True, slots=True)
class Health:
    """Whether every stage makes progress; else which one does not, and what is known of it."""

    ok: bool
    stage: str | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Ready:
    """Whether the model is loaded and every enabled camera gave a frame; else what is missing.

    `stages` are the names of what is missing alone (model, camera-NAME): all that is said without a token.
    """

    ok: bool
    reasons: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()


class Control(Protocol):
    """The service as the API sees it. Thread-safe.

    `health`, `ready` and `camera_names` are called on the server's event loop and must return at
    once; the others run on a few worker threads and may take up to a second. Documents are JSON-ready
    and hold no secrets; a figure that is not known is None. Any of them may raise DetectorError.
    """

    def version(self) -> Document:
        """The device's id and the versions of what runs here."""
        ...

    def status(self) -> Document:
        """The whole state at this moment, as `documents.Status` names it."""
        ...

    def latencies(self) -> LatencyCounts:
        """Histograms by metric (without `detector_`), then by stage."""
        ...

    def figures(self, *, day: bool) -> Document:
        """The figures of the last day or hour, as `figure_documents.FigureSeries` names them."""
        ...

    def health(self) -> Health: ...

    def ready(self) -> Ready: ...

    def config_document(self) -> tuple[Document, str]:
        """The configuration, secrets masked, and its entity tag, quotes included."""
        ...

    def replace_config(self, document: Document, if_match: str | None) -> tuple[Document, str, list[str]]:
        """Validate, write and apply; returns the new document masked, its tag, and the keys that need a restart.

        Raises ConfigError naming the key, StaleConfigError when `if_match` (None: whatever is there)
        is no longer the tag; either way the old configuration stays.
        """
        ...

    def events(
        self,
        camera: str | None,
        after: float | None,
        limit: int,
        *,
        before: float | str | None = None,
        zone: str | None = None,
        alerted: bool | None = None,
    ) -> list[Document]:
        """Visits that started after epoch second `after`, newest first, at most `limit`.

        `before`: earlier than this epoch second, or than the visit of this id. `zone`: only those that entered it.
        `alerted`: only those that raised an alert, or only those that did not.
        """
        ...

    def event(self, event_id: str) -> Document | None:
        """One visit, its path included."""
        ...

    def delete_event(self, event_id: str) -> bool:
        """Remove a visit that is over, its picture and its clip; False where there is none."""
        ...

    def scene(self, camera: str) -> Document | None:
        """What the newest frame shows, as `scene_documents.Scene` names it; None before the first one."""
        ...

    def preview_zones(self, camera: str, draft: ZoneDraft) -> Document:
        """Who would have alerted with other zones, as `scene_documents.ZonePreview` names it."""
        ...

    def snapshot(self, event_id: str) -> bytes | None:
        """The event's JPEG; None when the event or its picture is not (or no longer) there."""
        ...

    def clip(self, event_id: str) -> Path | None:
        """The event's MP4; None when the event has none, none yet, or none any more."""
        ...

    def suppress(self, event_id: str) -> Document:
        """Nobody is where this visit was seen: no alerts of what is seen there again; returns the suppression.

        Raises UnknownVisitError.
        """
        ...

    def suppressions(self) -> list[Document]:
        """What raises no alert, as `documents.Suppression` names it, the latest seen first."""
        ...

    def unsuppress(self, suppression_id: str) -> bool:
        """What is seen there alerts again; False where it is not known."""
        ...

    def suppression_picture(self, suppression_id: str) -> bytes | None:
        """The JPEG of what is suppressed; None where it or its picture is not known."""
        ...

    def latest_jpeg(self, camera: str, *, boxes: bool, max_width: int | None) -> tuple[int, bytes] | None:
        """The newest frame's number and its picture as JPEG, None before the first one."""
        ...

    def frame_seq(self, camera: str) -> int | None:
        """The newest frame's number, None before the first one; returns at once."""
        ...

    def frigate_config(self) -> Document | None:
        """The configuration in Frigate's shape; None while its shapes are off."""
        ...

    def camera_names(self) -> tuple[str, ...]: ...

    def alarm_command(self, command: AlarmCommand, by: str, code: str | None) -> None:
        """`by`: over what, and from which address.

        Raises WrongCodeError where the alarm has a code that `command` needs and `code` is not.
        """
        ...

    def alarm_audit(self) -> list[Document]:
        """Who armed or disarmed, when and why, newest first."""
        ...

    def detect_switch(self, camera: str, on: bool) -> None:
        """Turn detection for a known camera on or off, as `P/CAM/detect/set` does."""
        ...
