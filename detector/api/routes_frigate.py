"""Frigate's HTTP paths, under `/frigate`: what its Home Assistant integration and card ask for (docs/frigate.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, PlainTextResponse, Response

from detector import __version__
from detector.core import frigate

from . import documents as doc
from .auth import Authorizer
from .control import Control, Document
from .pictures import Pictures
from .respond import document
from .routes_cameras import Width
from .routes_events import known_id
from .routes_page import WRONG_TOKEN, wrong_token

_MOST = 1000
_NONE: dict[int | str, dict[str, Any]] = {
    404: {"model": doc.Fault, "description": "Not there, or Frigate's shapes are off"}
}
Flag = Annotated[int | None, Query(ge=0, le=1)]
Names = Annotated[str | None, Query(max_length=1024, description="names separated by commas; all: every one")]
Moment = Annotated[float | None, Query(ge=0, le=1e11, description="epoch seconds")]


def _is_named(names: str | None, wanted: set[str]) -> bool:
    """Whether one of `wanted` is among `names`, as Frigate's lists are written."""
    return names in (None, "", "all") or bool(wanted & set(str(names).split(",")))


def _configured(control: Control) -> Document:
    config = control.frigate_config()
    if config is None:
        raise HTTPException(404, "Frigate's shapes are off: set mqtt.topic_prefix: frigate, or mqtt.frigate: true")
    return config


def _visit(control: Control, event_id: str) -> Document:
    _configured(control)
    found = control.event(known_id(event_id))
    if found is None:
        raise HTTPException(404, "no such event")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Frigate's query parameters of `/api/events`."""

    camera: Names = None
    cameras: Names = None
    label: Names = None
    labels: Names = None
    zone: Names = None
    zones: Names = None
    before: Moment = None
    has_clip: Flag = None
    has_snapshot: Flag = None
    in_progress: Flag = None

    def takes(self, event: Document) -> bool:
        """Whether `event`, in Frigate's shape, is asked for."""
        named = (
            ((self.camera, self.cameras), {event["camera"]}),
            ((self.label, self.labels), {event["label"]}),
            ((self.zone, self.zones), set(event["zones"])),
        )
        flags = (
            (self.has_clip, event["has_clip"]),
            (self.has_snapshot, event["has_snapshot"]),
            (self.in_progress, event["end_time"] is None),
        )
        return (
            all(_is_named(names, wanted) for both, wanted in named for names in both)
            and all(flag is None or bool(flag) == value for flag, value in flags)
            and (self.before is None or event["start_time"] < self.before)
        )


def router(control: Control, pictures: Pictures, authorizer: Authorizer) -> APIRouter:
    """`/frigate/api/...`; 404 while `mqtt.frigate` is off."""
    routes = APIRouter(tags=["frigate"], prefix="/frigate/api", responses=_NONE)
    _add_login(routes, control, authorizer)
    _add_documents(routes, control)
    _add_absent(routes, control)
    _add_pictures(routes, control, pictures)
    return routes


def _add_login(routes: APIRouter, control: Control, authorizer: Authorizer) -> None:
    @routes.post("/login", summary="Exchange the token for one that lasts a day", responses=WRONG_TOKEN)
    async def frigate_login(wanted: doc.FrigateLogin, request: Request) -> Response:
        _configured(control)
        if not authorizer.is_token(wanted.password.encode()):
            return wrong_token(authorizer, request)
        return Response(b"{}", media_type="application/json", headers={"Set-Cookie": authorizer.frigate_cookie()})


def _add_documents(routes: APIRouter, control: Control) -> None:

    @routes.get("/version", summary="Frigate's version of these shapes", response_class=PlainTextResponse)
    def frigate_version() -> Response:
        _configured(control)
        return PlainTextResponse(f"{frigate.VERSION}-{__version__}")

    @routes.get("/config", summary="The configuration in Frigate's shape", response_model=dict[str, Any])
    def frigate_config() -> Response:
        return document(_configured(control))

    @routes.get("/stats", summary="The figures in Frigate's shape", response_model=dict[str, Any])
    def frigate_stats() -> Response:
        _configured(control)
        return document(frigate.stats_document(control.status()))

    @routes.get("/events", summary="Visits in Frigate's shape, newest first", response_model=list[dict[str, Any]])
    def frigate_events(
        wanted: Annotated[EventFilter, Depends()],
        after: Moment = None,
        limit: Annotated[int, Query(ge=1, le=_MOST)] = 100,
    ) -> Response:
        _configured(control)
        found = [frigate.event_document(event) for event in control.events(None, after, _MOST)]
        return document([event for event in found if wanted.takes(event)][:limit])

    @routes.get("/events/summary", summary="Visits counted by day", response_model=list[dict[str, Any]])
    def frigate_summary(has_clip: Flag = None, has_snapshot: Flag = None) -> Response:
        _configured(control)
        wanted = EventFilter(has_clip=has_clip, has_snapshot=has_snapshot)
        found = control.events(None, None, _MOST)
        return document(frigate.event_summary(one for one in found if wanted.takes(frigate.event_document(one))))

    @routes.get("/events/{event_id}", summary="One visit in Frigate's shape", response_model=dict[str, Any])
    def frigate_event(event_id: str) -> Response:
        return document(frigate.event_document(_visit(control, event_id)))


def _add_absent(routes: APIRouter, control: Control) -> None:
    """What the card asks of every camera, and there is none of here: said as Frigate says it, not as a fault."""

    def known(camera: str) -> None:
        _configured(control)
        if camera not in control.camera_names():
            raise HTTPException(404, "no such camera")

    @routes.get("/{camera}/ptz/info", summary="How the camera can be turned: not at all", response_model=dict[str, Any])
    def frigate_ptz(camera: str) -> Response:
        known(camera)
        return document({"name": camera, "features": [], "presets": []})

    @routes.get("/{camera}/recordings/summary", summary="Recordings by day: none", response_model=list[Any])
    @routes.get(
        "/{camera}/recordings",
        summary="Recordings: none, there are only clips",
        response_model=list[Any],
        operation_id="frigate_recordings",
    )
    def frigate_recordings_summary(camera: str) -> Response:
        known(camera)
        return document([])


def _add_pictures(routes: APIRouter, control: Control, pictures: Pictures) -> None:
    @routes.get("/events/{event_id}/snapshot.jpg", summary="The visit's picture", response_class=Response)
    @routes.get(
        "/events/{event_id}/thumbnail.jpg",
        summary="The visit's picture, as large as the snapshot",
        response_class=Response,
        operation_id="frigate_thumbnail",
    )
    def frigate_snapshot(event_id: str) -> Response:
        _visit(control, event_id)
        picture = control.snapshot(event_id)
        if picture is None:
            raise HTTPException(404, "this event has no picture (any more)")
        return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=60"})

    @routes.get("/events/{event_id}/clip.mp4", summary="The visit's clip", response_class=Response)
    def frigate_clip(event_id: str) -> Response:
        _visit(control, event_id)
        file = control.clip(event_id)
        if file is None:
            raise HTTPException(404, "this event has no clip (yet, or any more)")
        return FileResponse(file, media_type="video/mp4")

    @routes.get("/{camera}/latest.jpg", summary="The newest frame", response_class=Response)
    def frigate_latest(
        camera: str,
        h: Annotated[int | None, Query(ge=16, le=4320, description="at most about this many px high")] = None,
        bbox: Flag = 0,
        width: Width = None,
    ) -> Response:
        _configured(control)
        if camera not in control.camera_names():
            raise HTTPException(404, "no such camera")
        wide = width if h is None else round(h * _aspect(control.status()["cameras"][camera]))
        picture = pictures.latest(camera, boxes=bool(bbox), width=wide)
        if picture is None:
            raise HTTPException(503, f"{camera} has given no picture yet", headers={"Retry-After": "1"})
        return Response(picture.jpeg, media_type="image/jpeg", headers={"Cache-Control": "no-store, private"})


def _aspect(camera: Document) -> float:
    return float(camera["width"] / camera["height"]) if camera.get("width") and camera.get("height") else 16 / 9
