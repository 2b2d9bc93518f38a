"""The boxes of a camera's newest frame with their reasons, and what other zones would make of its visits."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import Response

from . import documents as doc
from . import scene_documents as shown
from .control import Control
from .respond import document

_FAULTS: dict[int | str, dict[str, Any]] = {
    404: {"model": doc.Fault, "description": "No such camera"},
    503: {"model": doc.Fault, "description": "No picture yet"},
}


def router(control: Control) -> APIRouter:
    """`/api/cameras/CAM/scene` and `/api/cameras/CAM/zones/preview`."""
    routes = APIRouter(tags=["cameras"])

    def known(camera: str) -> str:
        if camera not in control.camera_names():
            raise HTTPException(404, "no such camera: /api/status lists them")
        return camera

    @routes.get(
        "/api/cameras/{camera}/scene",
        summary="The boxes of the newest frame, why each raises no alert, and the zones",
        response_model=shown.Scene,
        responses=_FAULTS,
    )
    def scene(camera: str) -> Response:
        found = control.scene(known(camera))
        if found is None:
            raise HTTPException(503, f"{camera} has given no picture yet", headers={"Retry-After": "1"})
        return document(found)

    @routes.post(
        "/api/cameras/{camera}/zones/preview",
        summary="Who would have alerted with other zones, masks and sizes; nothing is saved",
        response_model=shown.ZonePreview,
        responses={404: _FAULTS[404], 422: {"model": doc.Fault}},
    )
    def preview(camera: str, draft: shown.ZoneDraft) -> Response:
        return document(control.preview_zones(known(camera), draft))

    return routes
