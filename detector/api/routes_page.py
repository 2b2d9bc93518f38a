"""The operators' page, the page that explains the API, and the session that lets a browser in."""

from __future__ import annotations

import hashlib
import mimetypes
from importlib import resources
from typing import Any

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from . import documents as doc
from .auth import Authorizer
from .forwarded import forwarded
from .guard import is_authorized, too_many_guesses
from .respond import document, fault

_TYPES = {".js": "text/javascript", ".svg": "image/svg+xml"}
WRONG_TOKEN: dict[int | str, dict[str, Any]] = {
    401: {"model": doc.Fault, "description": "Not the token"},
    429: {"model": doc.Fault, "description": "Too many wrong tokens from this address; `Retry-After` says how long"},
}


class _Asset:
    """A file of the page, in memory."""

    def __init__(self, name: str, body: bytes) -> None:
        suffix = name[name.rfind(".") :]
        self.body = body
        self.media_type = _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        self.etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'

    def response(self, request: Request) -> Response:
        # Asked for every time, so that an upgrade never runs an old script on a new API.
        headers = {"ETag": self.etag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == self.etag:
            return Response(status_code=304, headers=headers)
        return Response(self.body, media_type=self.media_type, headers=headers)


def _load() -> dict[str, _Asset]:
    folder = resources.files("detector.api") / "page"
    return {file.name: _Asset(file.name, file.read_bytes()) for file in folder.iterdir() if file.is_file()}


def pages() -> APIRouter:
    """`/`, `/docs`, and their assets under `/page/`."""
    routes = APIRouter()
    assets = _load()

    @routes.get("/", include_in_schema=False)
    async def index(request: Request) -> Response:
        return assets["index.html"].response(request)

    @routes.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        return assets["docs.html"].response(request)

    @routes.get("/docs/", include_in_schema=False)
    async def docs_slash() -> Response:
        return Response(status_code=307, headers={"Location": "../docs"})

    @routes.get("/page/{name}", include_in_schema=False)
    async def asset(name: str, request: Request) -> Response:
        if name not in assets:
            raise HTTPException(404, "no such file")
        return assets[name].response(request)

    return routes


def wrong_token(authorizer: Authorizer, request: Request) -> Response:
    """The answer to a wrong token in a body, which is counted."""
    wrong = fault(401, "this is not the token", headers={"WWW-Authenticate": 'Bearer realm="detector"'})
    return too_many_guesses(authorizer.guesses, request.scope) or wrong


def session(authorizer: Authorizer, *, framed: bool) -> APIRouter:
    """`/api/session`: the token is exchanged for a cookie that scripts cannot read. `framed`: see `session_cookie`."""
    routes = APIRouter(tags=["session"], prefix="/api/session")

    def cookie(request: Request, *, ended: bool = False) -> dict[str, str]:
        found = forwarded(request)
        path = f"{found.prefix}/"
        return {"Set-Cookie": authorizer.session_cookie(path=path, https=found.https, framed=framed, ended=ended)}

    @routes.get("", summary="Is a token required here?", response_model=doc.SessionAnswer)
    async def state(request: Request) -> Response:
        return document({"required": not authorizer.open, "signed_in": is_authorized(request)})

    @routes.post("", summary="Exchange the token for a cookie", status_code=204, responses=WRONG_TOKEN)
    async def enter(wanted: doc.SessionRequest, request: Request) -> Response:
        if not authorizer.is_token(wanted.token.encode()):
            return wrong_token(authorizer, request)
        return Response(status_code=204, headers={} if authorizer.open else cookie(request))

    @routes.delete("", summary="Forget the cookie", status_code=204)
    async def leave(request: Request) -> Response:
        response = Response(status_code=204, headers=cookie(request, ended=True))
        if forwarded(request).prefix:  # a session from before the proxy named its prefix would go on
            response.headers.append(
                "Set-Cookie", authorizer.session_cookie(path="/", https=False, framed=False, ended=True)
            )
        return response

    return routes
