"""Suppressions: mark a visit as nobody, list what raises no alert, undo."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import Response

from . import documents as doc
from .control import Control, UnknownVisitError
from .respond import document
from .routes_events import known_id

_NONE: dict[int | str, dict[str, Any]] = {404: {"model": doc.Fault, "description": "No such visit or suppression"}}


def router(control: Control) -> APIRouter:
    """`POST /api/events/ID/suppress`, `/api/suppressions`."""
    routes = APIRouter(tags=["suppressions"], prefix="/api")

    @routes.post(
        "/events/{event_id}/suppress",
        summary="Nobody is here: no alerts of what is seen in this place again, until it moves",
        response_model=doc.Suppression,
        responses=_NONE,
    )
    def suppress(event_id: str) -> Response:
        try:
            return document(control.suppress(known_id(event_id)))
        except UnknownVisitError as error:
            raise HTTPException(404, str(error)) from None

    @routes.get(
        "/suppressions", summary="What raises no alert, the latest seen first", response_model=list[doc.Suppression]
    )
    def suppressions() -> Response:
        return document(control.suppressions())

    @routes.delete("/suppressions/{suppression_id}", summary="Undo", status_code=204, responses=_NONE)
    def undo(suppression_id: str) -> Response:
        if not control.unsuppress(known_id(suppression_id)):
            raise HTTPException(404, "no such suppression: /api/suppressions lists them")
        return Response(status_code=204)

    @routes.get(
        "/suppressions/{suppression_id}/snapshot.jpg",
        summary="The picture of what is suppressed",
        response_class=Response,
        responses={**_NONE, 200: {"content": {"image/jpeg": {}}}},
    )
    def snapshot(suppression_id: str) -> Response:
        picture = control.suppression_picture(known_id(suppression_id))
        if picture is None:
            raise HTTPException(404, "no such suppression, or it has no picture (any more)")
        return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=60"})

    return routes
