"""The state of the detector: health, readiness, version, status, metrics."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import PlainTextResponse, Response

from detector.core.redact import redact

from . import documents as doc
from .control import Control
from .figure_documents import FigureSeries
from .guard import is_authorized
from .guess_limit import GuessLimit
from .metrics import CONTENT_TYPE, exposition
from .respond import document


def router(control: Control, guesses: GuessLimit) -> APIRouter:
    """`/healthz`, `/readyz`, `/metrics`, `/api/version`, `/api/status`, `/api/figures`."""
    routes = APIRouter(tags=["state"])

    @routes.get(
        "/healthz",
        summary="Is the process alive and does every stage make progress?",
        description="Without the token (where one is set) `detail` stays empty.",
        response_model=doc.HealthAnswer,
        responses={503: {"model": doc.HealthAnswer, "description": "A stage makes no progress; `stage` names it"}},
    )
    async def healthz(request: Request) -> Response:
        health = control.health()
        detail = health.detail if is_authorized(request) else ""
        body = {"ok": health.ok, "stage": health.stage, "detail": detail}
        return document(body, status=200 if health.ok else 503)

    @routes.get(
        "/readyz",
        summary="Is the model loaded and has every enabled camera given a frame?",
        description="Without the token (where one is set) `reasons` holds no more than the stages' names.",
        response_model=doc.ReadyAnswer,
        responses={503: {"model": doc.ReadyAnswer, "description": "Not yet; `reasons` says what is missing"}},
    )
    async def readyz(request: Request) -> Response:
        ready = control.ready()
        reasons = ready.reasons if is_authorized(request) else ready.stages
        return document({"ok": ready.ok, "reasons": reasons}, status=200 if ready.ok else 503)

    @routes.get("/metrics", summary="Metrics for Prometheus", response_class=PlainTextResponse)
    def metrics() -> Response:
        status = redact.document(control.status())
        text = exposition(status, wrong_tokens=guesses.total, latencies=control.latencies())
        return Response(text, media_type=CONTENT_TYPE)

    @routes.get("/api/version", summary="What runs here", response_model=doc.Version)
    def version() -> Response:
        return document(control.version())

    @routes.get("/api/status", summary="The complete current state", response_model=doc.Status)
    def status() -> Response:
        return document(control.status())

    @routes.get("/api/figures", summary="The figures of the last hour or day", response_model=FigureSeries)
    def figures(
        span: Annotated[Literal["hour", "day"], Query(description="kept since the start")] = "hour",
    ) -> Response:
        return document(control.figures(day=span == "day"))

    return routes
