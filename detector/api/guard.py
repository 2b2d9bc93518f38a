"""Checks before every route: token, origin, host, size of the body. Paths need the token unless listed as open.

Against a web page that the operator has open elsewhere: `Sec-Fetch-Site` and `Origin` stop it from
driving the detector (CSRF); the Host check stops a name that an attacker points at the loopback
address (DNS rebinding), which matters only where no token is set.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .auth import Authorizer, has_token
from .forwarded import Forwarded, ForwardedReader, Headers, with_forwarded
from .guess_limit import GuessLimit
from .respond import fault
from .security_headers import SecurityHeaders
from .signed_links import SignedLinks

_log = logging.getLogger(__name__)
MAX_BODY = 1 << 20
_DRAIN = 16 << 20  # read on this far past the limit, so that the client hears the 413 and no reset
BODY_S = 10.0
_OPEN_PATHS = {"/", "/docs", "/docs/", "/healthz", "/readyz", "/api/session", "/frigate/api/login"}
_OPEN_PREFIX = "/page/"
_PROBES = {"/healthz", "/readyz"}  # open, but they say more to who has the token: guesses here count too
_CHANGING = {"POST", "PUT", "PATCH", "DELETE"}
_TYPES = {"application/json", "application/yaml", "application/x-yaml", "text/yaml"}
# No attacker can own a name under these: they resolve on the local network alone.
_LOCAL_SUFFIXES = (".local", ".localhost", ".internal", ".lan", ".home", ".home.arpa", ".test")


class _TooLargeError(Exception):
    """The body is larger than MAX_BODY."""


class _GoneError(Exception):
    """The client went before its body was whole."""


def is_local_host(host: str) -> bool:
    """Whether `host` (a Host header's value) is an address or a name that only the local network resolves."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return bool(name) and ("." not in name or name.endswith(_LOCAL_SUFFIXES))
    return True


def is_foreign(headers: Headers, *, method: str, hosts: Collection[str] = ()) -> bool:
    """Whether a browser says that another site's page made this request. `hosts`: the detector's names besides Host."""
    site = headers.get(b"sec-fetch-site")
    if site in (b"cross-site", b"same-site"):
        # Following a link is fine; loading or changing something from afar is not.
        return method in _CHANGING or headers.get(b"sec-fetch-mode") != b"navigate"
    origin = headers.get(b"origin")
    if site is not None or origin is None or method not in _CHANGING:
        return False
    # Browsers leave Sec-Fetch-Site out on plain http; host and port only: a proxy may have ended TLS.
    try:
        place = urlsplit(origin.decode("latin-1")).netloc.lower()
    except ValueError:
        return True
    own = {headers.get(b"host", b"").decode("latin-1").lower(), *hosts}
    return place not in own


async def _read(receive: Receive, length: int | None) -> bytes:
    """The body whole; raises _GoneError, or _TooLargeError once past MAX_BODY (read on a little, and thrown away)."""
    body, size, more = bytearray(), 0, True
    if length is not None and length > _DRAIN:
        raise _TooLargeError
    while more and size <= _DRAIN:
        message = await receive()
        if message["type"] == "http.disconnect":
            # Half a YAML document may well be a valid one: it must never be acted on.
            raise _GoneError
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= MAX_BODY:
            body += chunk
        more = message.get("more_body", False)
    if size > MAX_BODY:
        raise _TooLargeError
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A receive that gives `body` whole, then what the connection says next."""
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


_AUTHORIZED = "detector.authorized"


def is_authorized(request: Request) -> bool:
    """Whether the request carries the token, or none is set; for open routes that say more to the operator."""
    return bool(request.scope.get(_AUTHORIZED, False))


def too_many_guesses(guesses: GuessLimit, scope: Scope) -> Response | None:
    """Count a wrong token of the request `scope`; the answer where its address has sent too many of late."""
    wait_s = guesses.wrong((scope.get("client") or ("",))[0])
    if not wait_s:
        return None
    return fault(
        429,
        f"too many wrong tokens from this address: try again in {wait_s} s, with the token that is api.token",
        headers={"Retry-After": str(wait_s)},
    )


def _expired(problem: str) -> Response | None:
    return fault(403, f"{problem}: use that of a newer alert, or the token") if problem else None


class Guard:
    """ASGI middleware around all routes: catches every exception, adds the security headers to every answer."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        authorizer: Authorizer,
        proxies: ForwardedReader,
        security: SecurityHeaders,
        signed: SignedLinks,
    ) -> None:
        self._app, self._authorizer, self._proxies = app, authorizer, proxies
        self._security, self._signed = security, signed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False
        headers: Headers = dict(scope["headers"])
        found = self._proxies.read(scope, headers)
        link = self._signed.check(scope["method"], found.path, scope["query_string"])
        security = self._security.of(ingress=found.ingress, any_site=link == "")

        async def marked(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                answered = [*message["headers"], *security]
                if not any(name == b"cache-control" for name, _ in answered):
                    answered.append((b"cache-control", b"no-store"))
                message = {**message, "headers": answered}
            await send(message)

        try:
            authorized = self._authorizer.allows(headers)
            refusal = self._refusal(scope["method"], found, headers, authorized) if link is None else _expired(link)
            if link is None and not authorized and has_token(headers):
                refusal = self._count_guess(scope, found.path, refusal)
            scope = {**with_forwarded(scope, found), _AUTHORIZED: authorized}
            await self._serve(scope, refusal, receive, marked)
        except Exception:
            _log.exception("the API failed to answer %s", scope["path"])
            if started:
                raise
            await fault(500, "the detector could not answer: its log says why")(scope, receive, marked)

    async def _serve(self, scope: Scope, refusal: Response | None, receive: Receive, send: Send) -> None:
        if refusal is None and scope["method"] in _CHANGING:
            try:
                length = dict(scope["headers"]).get(b"content-length")
                whole = await asyncio.wait_for(_read(receive, None if length is None else int(length)), BODY_S)
                receive = _replay(whole, receive)
            except _GoneError:
                return
            except _TooLargeError:
                refusal = fault(413, "the body is larger than 1 MiB", headers={"connection": "close"})
            except asyncio.TimeoutError:
                refusal = fault(408, "the body did not arrive in time", headers={"connection": "close"})
        if scope["method"] == "HEAD" and not scope["path"].endswith(".mjpg"):
            # The server itself leaves a HEAD's body out, and tells it by its own scope.
            scope = {**scope, "method": "GET"}
        await (refusal or self._app)(scope, receive, send)

    def _count_guess(self, scope: Scope, path: str, refusal: Response | None) -> Response | None:
        """A wrong token came; a proxy's own login on the open pages is none."""
        if path in _PROBES:
            # Answered all the same: the supervisor of a probe with an old token would restart the service.
            too_many_guesses(self._authorizer.guesses, scope)
        elif refusal is not None:
            return too_many_guesses(self._authorizer.guesses, scope) or refusal
        return refusal

    def _refusal(self, method: str, found: Forwarded, headers: Headers, authorized: bool) -> Response | None:
        path = found.path
        if not path:
            return Response(status_code=307, headers={"Location": f"{found.prefix}/"})
        # Browsers always send Host; what sends none is a plain old health check.
        host = headers.get(b"host", b"localhost").decode("latin-1")
        if self._authorizer.open and not is_local_host(host) and host.lower() != self._proxies.public_host:
            return fault(403, "this name is not the detector's own: use its address, or set api.token")
        public = path in _OPEN_PATHS or path.startswith(_OPEN_PREFIX)
        if (not public or method in _CHANGING) and is_foreign(headers, method=method, hosts=self._hosts(found)):
            return fault(403, "a page of another site may not use the detector")
        if not public and not authorized:
            return fault(
                401,
                "a valid token is required: send Authorization: Bearer TOKEN (api.token in the config)",
                headers={"WWW-Authenticate": 'Bearer realm="detector"'},
            )
        kind = headers.get(b"content-type", b"").decode("latin-1").split(";")[0].strip().lower()
        if method in _CHANGING - {"DELETE"} and kind not in _TYPES:
            return fault(415, "send JSON with Content-Type: application/json")
        return None

    def _hosts(self, found: Forwarded) -> set[str]:
        """The names besides the Host header by which a browser may know the detector; a proxy may have changed Host."""
        return {host.lower() for host in (found.host, self._proxies.public_host) if host}
