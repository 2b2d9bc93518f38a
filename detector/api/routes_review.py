"""Deletion of a visit, and the export of a day of them as a zip."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from . import documents as doc
from .control import Control, Document
from .export import zipped
from .routes_events import MOMENT, NO_EVENT, Alerted, Camera, Zone, epoch, known_id

_PAGE = 200  # visits at a time in an export


def router(control: Control) -> APIRouter:
    """`/api/events/export.zip`, `DELETE /api/events/ID`; must come before the routes of single events."""
    routes = APIRouter(tags=["events"], prefix="/api/events")

    @routes.get(
        "/export.zip",
        summary="The visits of a stretch of time as a zip: a JSON document, picture and clip of each",
        response_class=Response,
        responses={200: {"content": {"application/zip": {}}}},
    )
    def export(
        after: Annotated[datetime, Query(description=f"started after: {MOMENT}")],
        before: Annotated[datetime, Query(description=f"started before: {MOMENT}")],
        camera: Camera = None,
        zone: Zone = None,
        alerted: Alerted = None,
    ) -> Response:
        start, end = epoch(after), epoch(before)

        def visits() -> Iterator[Document]:
            last: float | str | None = end
            while page := control.events(camera, start, _PAGE, before=last, zone=zone, alerted=alerted):
                yield from page
                last = page[-1]["id"]

        name = f"visits-{datetime.fromtimestamp(start or 0.0).astimezone():%Y-%m-%d}.zip"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return StreamingResponse(
            zipped(visits(), control.snapshot, control.clip), media_type="application/zip", headers=headers
        )

    @routes.delete(
        "/{event_id}",
        summary="Remove a visit that is over, its picture and its clip",
        status_code=204,
        responses={**NO_EVENT, 409: {"model": doc.Fault, "description": "The visit is not over yet"}},
    )
    def delete(event_id: str) -> Response:
        if control.delete_event(known_id(event_id)):
            return Response(status_code=204)
        if control.event(event_id) is not None:
            raise HTTPException(409, "the visit is not over yet: delete it when the person has left")
        raise HTTPException(404, "no such event")

    return routes
