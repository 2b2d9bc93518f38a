"""The history: visits, newest first, the picture and clip of each."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from . import documents as doc
from .control import Control
from .respond import document

# An id may become part of a file's name in the service: nothing that could climb out of a folder gets there.
_EVENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")
NO_EVENT: dict[int | str, dict[str, Any]] = {404: {"model": doc.Fault, "description": "No such event or picture"}}


def known_id(event_id: str) -> str:
    """`event_id`, or a 404 for what no visit's id can be."""
    if len(event_id) > 128 or not _EVENT_ID.fullmatch(event_id):
        raise HTTPException(404, "no such event")
    return event_id


def epoch(moment: datetime | None) -> float | None:
    """Epoch seconds; a time without a zone is in UTC."""
    if moment is None:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def _end(before: datetime | None, before_id: str | None) -> float | str | None:
    return epoch(before) if before_id is None else known_id(before_id)


Camera = Annotated[str | None, Query(pattern="^[a-z0-9_-]{1,32}$", description="only this camera's")]
Zone = Annotated[str | None, Query(pattern="^[a-z0-9_-]{1,32}$", description="only those who entered this zone")]
Alerted = Annotated[bool | None, Query(description="only those that raised an alert, or only those that did not")]
MOMENT = "epoch seconds, or RFC 3339 (UTC where it names no zone)"


def router(control: Control) -> APIRouter:
    """`/api/events`, one event, its snapshot and clip."""
    routes = APIRouter(tags=["events"], prefix="/api/events")

    @routes.get("", summary="Visits, newest first", response_model=list[doc.EventDocument])
    def events(
        camera: Camera = None,
        after: Annotated[datetime | None, Query(description=f"started after: {MOMENT}")] = None,
        before: Annotated[datetime | None, Query(description=f"started before: {MOMENT}")] = None,
        before_id: Annotated[
            str | None, Query(description="the next page: the last visit's id", max_length=128)
        ] = None,
        zone: Zone = None,
        alerted: Alerted = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Response:
        end = _end(before, before_id)
        return document(control.events(camera, epoch(after), limit, before=end, zone=zone, alerted=alerted))

    @routes.get("/{event_id}", summary="One visit", response_model=doc.EventDocument, responses=NO_EVENT)
    def event(event_id: str) -> Response:
        found = control.event(known_id(event_id))
        if found is None:
            raise HTTPException(404, "no such event")
        return document(found)

    @routes.get(
        "/{event_id}/snapshot.jpg",
        summary="The frame that the visit's alert speaks of",
        response_class=Response,
        responses={**NO_EVENT, 200: {"content": {"image/jpeg": {}}}},
    )
    def snapshot(event_id: str) -> Response:
        picture = control.snapshot(known_id(event_id))
        if picture is None:
            raise HTTPException(404, "no such event, or it has no picture (any more)")
        # A running visit may still get a better picture, so not for long.
        return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=60"})

    @routes.head("/{event_id}/clip.mp4", include_in_schema=False)
    @routes.get(
        "/{event_id}/clip.mp4",
        summary="The seconds around the visit's alert, as the camera sent them; ranges may be asked for",
        response_class=Response,
        responses={**NO_EVENT, 200: {"content": {"video/mp4": {}}}, 206: {"description": "The range asked for"}},
    )
    def clip(event_id: str) -> Response:
        file = control.clip(known_id(event_id))
        if file is None:
            raise HTTPException(404, "no such event, or it has no clip (yet, or any more)")
        # A clip never changes; its visit's retention may remove it.
        return FileResponse(file, media_type="video/mp4", headers={"Cache-Control": "private, max-age=3600"})

    return routes
