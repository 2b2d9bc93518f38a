"""Live pictures of the cameras; the switches for detection and for the alarm."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from . import documents as doc
from .control import Control
from .entity_tags import entity_tags
from .pictures import LivePicture, Pictures
from .respond import document
from .stream import MjpegResponse, Streams

_FAULTS: dict[int | str, dict[str, Any]] = {
    404: {"model": doc.Fault, "description": "No such camera"},
    503: {"model": doc.Fault, "description": "No picture yet, or too many streams"},
}
Boxes = Annotated[bool, Query(description="draw what was detected")]
Width = Annotated[int | None, Query(ge=16, le=7680, description="at most about this many px wide, never enlarged")]


def _require(picture: LivePicture | None, camera: str) -> LivePicture:
    if picture is None:
        raise HTTPException(503, f"{camera} has given no picture yet", headers={"Retry-After": "1"})
    return picture


def router(control: Control, streams: Streams, pictures: Pictures) -> APIRouter:
    """`/api/cameras/CAM/...`, `/api/alarm` and its audit list."""
    routes = APIRouter(tags=["cameras"])

    def known(camera: str) -> str:
        if camera not in control.camera_names():
            raise HTTPException(404, "no such camera: /api/status lists them")
        return camera

    @routes.get(
        "/api/cameras/{camera}/latest.jpg",
        summary="The newest frame",
        response_class=Response,
        responses={**_FAULTS, 200: {"content": {"image/jpeg": {}}}, 304: {"description": "Still the same frame"}},
    )
    def latest(
        camera: str,
        boxes: Boxes = True,
        width: Width = None,
        if_none_match: Annotated[str | None, Header(description="the ETag of the picture at hand")] = None,
    ) -> Response:
        picture = _require(pictures.latest(known(camera), boxes=boxes, width=width), camera)
        headers = {"ETag": picture.etag, "X-Frame-Seq": str(picture.seq), "Cache-Control": "no-store, private"}
        if if_none_match is not None and picture.etag in entity_tags(if_none_match):
            return Response(status_code=304, headers=headers)
        return Response(picture.jpeg, media_type="image/jpeg", headers=headers)

    @routes.get(
        "/api/cameras/{camera}/stream.mjpg",
        summary="Live pictures, motion JPEG",
        response_class=Response,
        responses={**_FAULTS, 200: {"content": {"multipart/x-mixed-replace": {}}}},
    )
    async def stream(camera: str, boxes: Boxes = True, width: Width = None) -> Response:
        newest = partial(pictures.latest, known(camera), boxes=boxes, width=width)
        _require(await run_in_threadpool(newest), camera)
        return MjpegResponse((camera, boxes, pictures.rounded(width)), newest, streams)

    @routes.post(
        "/api/cameras/{camera}/detect",
        summary="Turn a camera's detection on or off",
        response_model=doc.DetectAnswer,
        responses={404: _FAULTS[404], 422: {"model": doc.Fault}},
    )
    def detect(camera: str, wanted: doc.DetectRequest) -> Response:
        control.detect_switch(known(camera), wanted.enabled)
        return document({"camera": camera, "enabled": wanted.enabled})

    @routes.post(
        "/api/alarm",
        tags=["alarm"],
        summary="Arm or disarm",
        response_model=doc.AlarmStatus,
        responses={403: {"model": doc.Fault, "description": "The code is missing or wrong"}, 422: {"model": doc.Fault}},
    )
    def alarm(wanted: doc.AlarmRequest, request: Request) -> Response:
        peer = request.client.host if request.client is not None else "an unknown address"
        control.alarm_command(wanted.command, f"HTTP from {peer}", wanted.code)
        return document(control.status()["alarm"])

    @routes.get(
        "/api/alarm/audit",
        tags=["alarm"],
        summary="Who armed or disarmed, when and why, newest first",
        response_model=list[doc.ArmingEntry],
    )
    def audit() -> Response:
        return document(control.alarm_audit())

    return routes
