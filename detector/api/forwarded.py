"""What a reverse proxy says about the original request: path prefix, scheme, host. Believed from trusted peers only."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from starlette.requests import Request
from starlette.types import Scope

Headers = dict[bytes, bytes]
_PREFIX = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")  # no empty segments, no dot segments, nothing to encode
_MAX_PREFIX = 256
_HOST = re.compile(r"[A-Za-z0-9.:\[\]-]{1,260}")
# The API's own paths begin so: behind such a prefix it cannot be seen whether the proxy removed it, and most do.
_AMBIGUOUS = {"/api", "/api/cameras", "/api/events", "/api/config", "/page"}
_SCOPE = "detector.forwarded"


@dataclass(frozen=True, slots=True)
class Forwarded:
    """`prefix` is where the detector's `/` is for the browser (`/detector`, or empty); `path` is the request's without it.

    `host`: the browser's Host (name, port) where it is known to be another than the request's. `ingress`: Home
    Assistant's ingress, which shows the page in a frame of its own origin.
    """

    path: str
    prefix: str = ""
    host: str | None = None
    https: bool = False
    ingress: bool = False


def forwarded(request: Request) -> Forwarded:
    """What the guard read of `request`."""
    found: Forwarded = request.scope[_SCOPE]
    return found


def with_forwarded(scope: Scope, found: Forwarded) -> Scope:
    """`scope` for the routes: its path without the prefix."""
    return {**scope, "path": found.path, _SCOPE: found}


class ForwardedReader:
    """`trusted`: addresses or networks of proxies, besides the loopback. `public_url`: its path is a prefix, too.

    `public_host`: name and port of `public_url`, in lower case; empty without one.
    """

    def __init__(self, *, trusted: Iterable[str] = (), public_url: str | None = None) -> None:
        self._networks = [ipaddress.ip_network(one) for one in trusted]
        public = urlsplit(public_url or "")
        self._public_prefix = _prefix(unquote(public.path))
        self.public_host = public.netloc.lower()

    def read(self, scope: Scope, headers: Headers) -> Forwarded:
        """What applies to this request; headers of a peer that is not trusted are ignored."""
        path: str = scope["path"]
        if not self._is_trusted(scope.get("client")):
            return self._under_public(Forwarded(path, https=scope.get("scheme") == "https"))
        ingress = _prefix(_text(headers, b"x-ingress-path"))
        prefix = ingress or _prefix(_text(headers, b"x-forwarded-prefix"))
        host = _text(headers, b"x-forwarded-host")
        return self._under_public(
            Forwarded(
                _without(path, prefix),
                prefix=prefix,
                host=host if _HOST.fullmatch(host) else None,
                https=scope.get("scheme") == "https" or _text(headers, b"x-forwarded-proto").lower() == "https",
                ingress=bool(ingress),
            )
        )

    def _under_public(self, found: Forwarded) -> Forwarded:
        """A proxy that neither removes its prefix nor names it: the path of public_url tells."""
        stripped = _without(found.path, self._public_prefix)
        if found.prefix or stripped == found.path:
            return found
        return Forwarded(stripped, prefix=self._public_prefix, host=found.host, https=found.https)

    def _is_trusted(self, client: tuple[str, int] | None) -> bool:
        try:
            address = ipaddress.ip_address(client[0].partition("%")[0] if client else "")
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return address.is_loopback or any(address in network for network in self._networks)


def _text(headers: Headers, name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1").strip()


def _prefix(text: str) -> str:
    """`text` as a prefix: without the `/` at its end; empty where it is none."""
    text = text.rstrip("/")
    return text if len(text) <= _MAX_PREFIX and _PREFIX.fullmatch(text) else ""


def _without(path: str, prefix: str) -> str:
    if not prefix or prefix in _AMBIGUOUS or not f"{path}/".startswith(f"{prefix}/"):
        return path
    return path[len(prefix) :]  # may be empty: `/detector`, which is to be redirected to `/detector/`
