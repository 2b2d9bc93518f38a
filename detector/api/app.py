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
from .guess_limit import GuessLimit
from .pictures import Pictures
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
_FREE = ("/healthz", "/readyz", "/api/session")


class DetectorApi(FastAPI):
    """FastAPI whose document tells how to send the token and what faults really look like.

    FastAPI knows neither: the guard has decided before any route is looked up, and `respond` answers
    in place of FastAPI's own 422, which would echo what was sent.
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


def create_app(control: Control, *, token: SecretStr | None, config_schema: Document) -> FastAPI:
    """The application; `token` None lets everybody in who reaches the port by a local name."""
    authorizer, guesses, streams, pictures = Authorizer(token), GuessLimit(), Streams(), Pictures(control)
    # FastAPI's own /docs loads scripts from elsewhere, which an offline device shows as a blank page.
    app = DetectorApi(
        title="detector",
        version=__version__,
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        responses={
            401: {"model": doc.Fault, "description": "The token is missing or wrong"},
            429: {"model": doc.Fault, "description": "Too many wrong tokens from this address"},
        },
    )
    routers: Sequence[APIRouter] = (
        routes_state.router(control, guesses),
        routes_config.router(control, config_schema),
        routes_events.router(control),
        routes_cameras.router(control, streams, pictures),
    )
    for router in routers:
        app.include_router(router)
    app.include_router(routes_page.router(authorizer, guesses))
    respond.install(app)
    app.add_middleware(Guard, authorizer=authorizer, guesses=guesses)
    app.state.streams, app.state.pictures, app.state.guesses = streams, pictures, guesses
    return app
