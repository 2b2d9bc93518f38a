"""The HTTP API as one ASGI application: all routes behind one guard."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import Response

from detector import __version__
from detector.config.schema import Api
from detector.core.link_signer import LinkSigner

from . import documents as doc
from . import (
    respond,
    routes_cameras,
    routes_config,
    routes_events,
    routes_frigate,
    routes_page,
    routes_review,
    routes_scene,
    routes_state,
    routes_suppressions,
)
from .auth import Authorizer
from .control import Control, Document
from .forwarded import ForwardedReader, forwarded
from .guard import Guard
from .pictures import Pictures
from .security_headers import SecurityHeaders
from .signed_links import SignedLinks
from .stream import Streams

_ABOUT = """\
On-device person detection. Faults are `{"error": ..., "key": ...}`.

Where a token is set, send it as `Authorization: Bearer TOKEN`, as `X-API-Key: TOKEN`, or as the
password of HTTP Basic; `/healthz`, `/readyz` and the pages need none. Changes take JSON.
"""
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "basic": {"type": "http", "scheme": "basic", "description": "any user name; the token as password"},
}
_INVALID = {
    "description": "A parameter or key is wrong; `key` names it",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Fault"}}},
}
_FREE = ("/healthz", "/readyz", "/api/session", "/frigate/api/login")


class DetectorApi(FastAPI):
    """FastAPI whose OpenAPI document describes how to send the token and what errors look like.

    FastAPI knows neither: the guard decides before routing, and `respond` replaces FastAPI's own 422,
    which would echo what was sent.
    """

    def openapi(self) -> Document:
        if self.openapi_schema:
            return self.openapi_schema
        document = super().openapi()  # made once and kept, so what is changed stays
        document["components"]["securitySchemes"] = _SCHEMES
        document["security"] = [{name: []} for name in _SCHEMES]
        for path, operations in document["paths"].items():
            for operation in operations.values():
                if path in _FREE:
                    operation["security"] = []
                if "422" in operation["responses"]:
                    operation["responses"]["422"] = _INVALID
        for stock in ("HTTPValidationError", "ValidationError"):
            document["components"]["schemas"].pop(stock, None)
        return document


def create_app(control: Control, *, settings: Api, config_schema: Document, links: LinkSigner | None = None) -> FastAPI:
    """The application. Without `settings.token` everybody may use it who reaches the port by a local name.

    `links` checks signed addresses; None: they need the token, as others do.
    """
    authorizer, streams, pictures = Authorizer(settings.token), Streams(), Pictures(control)
    # FastAPI's own /docs loads scripts from elsewhere, which an offline device shows as a blank page. Its redirects
    # from /x/ to /x name the host and lose a proxy's prefix.
    app = DetectorApi(
        title="detector",
        version=__version__,
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        responses={
            401: {"model": doc.Fault, "description": "The token is missing or wrong"},
            429: {"model": doc.Fault, "description": "Too many wrong tokens from this address"},
        },
    )
    routers: Sequence[APIRouter] = (
        routes_state.router(control, authorizer.guesses),
        routes_config.router(control, config_schema),
        routes_review.router(control),
        routes_events.router(control),
        routes_scene.router(control),
        routes_suppressions.router(control),
        routes_cameras.router(control, streams, pictures),
        routes_frigate.router(control, pictures, authorizer),
        routes_page.session(authorizer, framed=bool(settings.frame_ancestors)),
        routes_page.pages(),
    )
    for router in routers:
        app.include_router(router)

    @app.get("/openapi.json", include_in_schema=False)
    def description(request: Request) -> Response:
        # Relative to the document's own address (OpenAPI 3.1, 4.8.5): right behind any proxy.
        return respond.fixed({**app.openapi(), "servers": [{"url": forwarded(request).prefix or "."}]})

    respond.install(app)
    proxies = ForwardedReader(trusted=settings.trusted_proxies, public_url=settings.public_url)
    security = SecurityHeaders(settings.frame_ancestors)
    signed = SignedLinks(links)
    app.add_middleware(Guard, authorizer=authorizer, proxies=proxies, security=security, signed=signed)
    app.state.streams, app.state.pictures, app.state.guesses = streams, pictures, authorizer.guesses
    return app
