"""The window as one ASGI application: the contract's routes behind one guard."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, FastAPI
from pydantic import SecretStr

from detector import __version__

from . import documents as doc
from . import respond, routes_cameras, routes_config, routes_events, routes_page, routes_state
from .auth import Authorizer
from .control import Control, Document
from .guard import Guard
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
_FREE = ("/healthz", "/readyz", "/api/session")


def _describe_token(app: FastAPI) -> None:
    """Write the ways to send the token into the document; the guard has decided before any route is looked up."""
    document = app.openapi()  # made once and kept by FastAPI, so what is added stays
    document["components"]["securitySchemes"] = _SCHEMES
    document["security"] = [{name: []} for name in _SCHEMES]
    for path in _FREE:
        for operation in document["paths"][path].values():
            operation["security"] = []


def create_app(control: Control, *, token: SecretStr | None, config_schema: Document) -> FastAPI:
    """The application; `token` None lets everybody in who reaches the port by a local name."""
    authorizer, streams = Authorizer(token), Streams()
    # FastAPI's own /docs loads scripts from elsewhere, which an offline device shows as a blank page.
    app = FastAPI(
        title="detector",
        version=__version__,
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        responses={401: {"model": doc.Fault, "description": "The token is missing or wrong"}},
    )
    routers: Sequence[APIRouter] = (
        routes_state.router(control),
        routes_config.router(control, config_schema),
        routes_events.router(control),
        routes_cameras.router(control, streams),
    )
    for router in routers:
        app.include_router(router)
    app.include_router(routes_page.router(authorizer))
    respond.install(app)
    app.add_middleware(Guard, authorizer=authorizer)
    app.state.streams = streams
    if not authorizer.open:
        _describe_token(app)
    return app
