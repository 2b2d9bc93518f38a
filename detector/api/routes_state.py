"""How the detector is: alive, ready, which version, what state, what figures."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response

from . import documents as doc
from .control import Control
from .metrics import CONTENT_TYPE, exposition
from .respond import document


def router(control: Control) -> APIRouter:
    """`/healthz`, `/readyz`, `/metrics`, `/api/version`, `/api/status`."""
    routes = APIRouter(tags=["state"])

    @routes.get(
        "/healthz",
        summary="Is the process alive and does every stage progress?",
        response_model=doc.HealthAnswer,
        responses={503: {"model": doc.HealthAnswer, "description": "A stage stands still; `stage` names it"}},
    )
    async def healthz() -> Response:
        health = control.health()
        body = {"ok": health.ok, "stage": health.stage, "detail": health.detail}
        return document(body, status=200 if health.ok else 503)

    @routes.get(
        "/readyz",
        summary="Is the model loaded and has every enabled camera given a frame?",
        response_model=doc.ReadyAnswer,
        responses={503: {"model": doc.ReadyAnswer, "description": "Not yet; `reasons` says what is missing"}},
    )
    async def readyz() -> Response:
        ready = control.ready()
        return document({"ok": ready.ok, "reasons": ready.reasons}, status=200 if ready.ok else 503)

    @routes.get("/metrics", summary="Figures for Prometheus", response_class=PlainTextResponse)
    def metrics() -> Response:
        return Response(exposition(control.status()), media_type=CONTENT_TYPE)

    @routes.get("/api/version", summary="What runs here", response_model=doc.Version)
    def version() -> Response:
        return document(control.version())

    @routes.get("/api/status", summary="The whole state at this moment", response_model=doc.Status)
    def status() -> Response:
        return document(control.status())

    return routes
