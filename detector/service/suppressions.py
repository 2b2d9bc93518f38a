"""Suppressions: a user says of a visit that nobody is there; what is seen there again raises no alert."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any, Protocol

from detector.alerts.payloads import parse_appearance
from detector.alerts.snapshot_files import Snapshots
from detector.analytics.places import Place
from detector.api.control import UnknownVisitError
from detector.core.errors import StorageError
from detector.core.types import Appearance

log = logging.getLogger(__name__)

Document = dict[str, Any]
LATEST = "LATEST"
"""What may be sent over MQTT instead of an event's id: the camera's latest visit that alerted."""
_LOOKED_AT = 50  # the latest visits of a camera among which the one that alerted is looked for


class VisitRecords(Protocol):
    """What is asked of the history; may wait for the disk."""

    def events(self, camera: str | None = None, after: float | None = None, limit: int = 50) -> list[Document]: ...

    def recorded(self, event_id: str) -> Document | None: ...

    def snapshot(self, event_id: str) -> bytes | None: ...


class SuppressingLoop(Protocol):
    """What is asked of the inference loop."""

    def places(self) -> dict[str, tuple[Place, ...]]: ...

    def suppress(self, name: str, seen: Appearance, *, event_id: str, first_seen: float) -> Place: ...

    def unsuppress(self, place_id: str) -> bool: ...


class Suppressions:
    """Thread-safe; may wait for the disk.

    `pictures` keeps the picture of each suppression that was asked for: it outlasts the visit's in the history.
    `afterwards` runs a callback where waiting for the disk holds up nothing, once what was submitted to the history
    before is written.
    """

    def __init__(
        self,
        *,
        history: VisitRecords,
        loop: SuppressingLoop,
        pictures: Snapshots,
        afterwards: Callable[[Callable[[], object]], object],
    ) -> None:
        self._history, self._loop, self._pictures, self._afterwards = history, loop, pictures, afterwards

    def ask(self, event_id: str) -> Document:
        """Nobody is where the visit was seen; returns the suppression. Raises UnknownVisitError."""
        visit = self._history.recorded(event_id)
        if visit is None:
            raise UnknownVisitError("no such visit: it is not in the history (any more)")
        camera = str(visit["camera"])
        try:
            place = self._loop.suppress(
                camera, parse_appearance(visit), event_id=event_id, first_seen=float(visit["start_time"])
            )
        except KeyError:
            raise UnknownVisitError(f"camera {camera} is switched off or no longer in the configuration") from None
        except ValueError as error:
            raise UnknownVisitError(f"the visit cannot be suppressed: {error}") from None
        self._keep_picture(camera, place, event_id)
        log.info("camera %s: visit %s is marked as nobody: no alerts of what is seen there again", camera, event_id)
        return self._document(camera, place)

    def ask_soon(self, camera: str, word: str, *, refused: Callable[[str], None]) -> None:
        """As `ask`, of a camera's visit by its id or LATEST, in another thread; `refused` gets the reason of a failure."""
        self._afterwards(lambda: self._ask_or_refuse(camera, word, refused))

    def list(self) -> list[Document]:
        """Every suppression, the latest seen first."""
        found = [self._document(camera, place) for camera, places in self._loop.places().items() for place in places]
        return sorted(found, key=lambda document: -float(document["last_seen"]))

    def undo(self, suppression_id: str) -> bool:
        """What is seen there alerts again; False where it is not known."""
        found = self._find(suppression_id)
        if found is None or not self._loop.unsuppress(suppression_id):
            return False
        log.info("camera %s: the suppression %s is undone: what is seen there alerts again", found[0], suppression_id)
        try:
            self._pictures.delete([_file(found[0], suppression_id)])
        except StorageError as error:
            log.warning("the picture of a suppression that was undone stays: %s", error)
        return True

    def picture(self, suppression_id: str) -> bytes | None:
        """The JPEG of what is suppressed; None where there is none."""
        found = self._find(suppression_id)
        if found is None:
            return None
        camera, place = found
        return self._pictures.load(_file(camera, place.id)) or self._history.snapshot(place.event_id or place.id)

    def _ask_or_refuse(self, camera: str, word: str, refused: Callable[[str], None]) -> None:
        try:
            self._ask_of(camera, word)
        except (UnknownVisitError, StorageError) as error:
            refused(str(error))

    def _ask_of(self, camera: str, word: str) -> None:
        event_id = self._latest(camera) if word.upper() == LATEST else word
        visit = self._history.recorded(event_id)
        if visit is None or visit["camera"] != camera:
            raise UnknownVisitError("no such visit of this camera")
        self.ask(event_id)

    def _latest(self, camera: str) -> str:
        visits = self._history.events(camera, None, _LOOKED_AT)
        alerted = [visit for visit in visits if visit.get("alerts")]
        if not alerted:
            raise UnknownVisitError("no visit of this camera has alerted lately")
        return str(alerted[0]["id"])

    def _keep_picture(self, camera: str, place: Place, event_id: str) -> None:
        try:
            jpeg = self._history.snapshot(event_id)
            if jpeg is not None:
                self._pictures.save(_file(camera, place.id), jpeg)
            self._sweep()
        except (StorageError, ValueError) as error:
            log.warning("the picture of a suppression is not kept: %s", error)

    def _sweep(self) -> None:
        """Remove the pictures of suppressions that have expired; a camera that is off may come back with its own."""
        running = self._loop.places()
        wanted = {_file(camera, place.id) for camera, places in running.items() for place in places}
        self._pictures.delete(
            name
            for name in self._pictures.ids(before=math.inf)
            if name not in wanted and any(name.startswith(_file(camera, "")) for camera in running)
        )

    def _find(self, suppression_id: str) -> tuple[str, Place] | None:
        for camera, places in self._loop.places().items():
            for place in places:
                if place.id == suppression_id:
                    return camera, place
        return None

    @staticmethod
    def _document(camera: str, place: Place) -> Document:
        x1, y1, x2, y2 = (round(side, 4) for side in place.box)
        return {
            "id": place.id,
            "camera": camera,
            "reason": place.reason,
            "asked": place.asked,
            "proposed": place.proposed,
            "since": place.first_seen,
            "last_seen": place.last_seen,
            "matches": place.matches,
            "event_id": place.event_id or None,
            "box": [x1, y1, x2, y2],
        }


def _file(camera: str, suppression_id: str) -> str:
    """The name of its picture; a camera's name may begin with a sign that a file's must not."""
    return f"of-{camera}.{suppression_id}"
