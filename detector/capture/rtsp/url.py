"""RTSP URLs: host, credentials and request; and how a control attribute extends them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

_PORTS = {"rtsp": 554, "rtsps": 322}
_URL = re.compile(r"(?P<scheme>rtsps?)://(?P<authority>[^/?#]*)(?P<path>[^#]*)", re.IGNORECASE)
_HOST = re.compile(r"(?:\[(?P<six>[^\]]+)\]|(?P<name>[^:\[\]]+))(?::(?P<port>\d{1,5})?)?")
_ABSOLUTE = re.compile(r"rtsps?://", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RtspTarget:
    """`request` is the URL as it is sent: without the user, with the port."""

    secure: bool
    host: str
    port: int
    request: str
    user: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)

    def redirected(self, location: str) -> RtspTarget:
        """The target `location`; the credentials are sent only to the same host, and never from TLS to plain."""
        target = parse(location)
        if target.user is not None or target.host != self.host or (self.secure and not target.secure):
            return target
        return RtspTarget(
            secure=target.secure,
            host=target.host,
            port=target.port,
            request=target.request,
            user=self.user,
            password=self.password,
        )


def parse(url: str) -> RtspTarget:
    """The parts of `url`; raises ValueError, without the URL in it, if it is not an RTSP URL."""
    url = url.strip()
    # A line break in it would also end the line of the request.
    found = _URL.fullmatch(url) if url.isprintable() and " " not in url else None
    # Up to the last @: passwords may contain one.
    info, _, place = found["authority"].rpartition("@") if found else ("", "", "")
    host = _HOST.fullmatch(place)
    if found is None or host is None:
        raise ValueError("not an RTSP URL")
    scheme = found["scheme"].lower()
    port = int(host["port"] or _PORTS[scheme])
    if not 0 < port < 65536:
        raise ValueError("not an RTSP URL: no such port")
    user, _, password = info.partition(":")
    return RtspTarget(
        secure=scheme == "rtsps",
        host=host["six"] or host["name"],
        port=port,
        request=f"{scheme}://{place.partition(']')[0] + ']' if host['six'] else host['name']}:{port}{found['path']}",
        user=unquote(user) if info else None,
        password=unquote(password),
    )


def absolute(url: str) -> bool:
    return _ABSOLUTE.match(url) is not None


def controlled(base: str, control: str) -> str:
    """The URL that `control` (an SDP attribute, "" for none) names relative to `base`.

    Cameras expect a relative one to be appended, also after a query, where RFC 3986 would replace the last
    part.
    """
    control = control.strip()
    if control in ("", "*"):
        return base
    if absolute(control):
        return control
    return f"{base.rstrip('/')}/{control.lstrip('/')}"
