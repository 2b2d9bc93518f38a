"""RTSP URLs: host, credentials and request; and how a control attribute extends them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from detector.core.urls import split_url

_PORTS = {"rtsp": 554, "rtsps": 322}
_UNSENDABLE = re.compile(r"[ #]")
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
    """The parts of `url`, a password in it percent-encoded or raw; ValueError, without the URL in it, where it is none."""
    found = split_url(url.strip())
    # A line's end in what is sent would end the request's line too.
    sent = f"{found.place}{found.rest}" if found is not None else ""
    host = _HOST.fullmatch(found.place) if found is not None else None
    if (
        found is None
        or host is None
        or found.scheme not in _PORTS
        or not sent.isprintable()
        or _UNSENDABLE.search(sent)
    ):
        raise ValueError("not an RTSP URL")
    port = int(host["port"] or _PORTS[found.scheme])
    if not 0 < port < 65536:
        raise ValueError("not an RTSP URL: no such port")
    name = f"[{host['six']}]" if host["six"] else host["name"]
    return RtspTarget(
        secure=found.scheme == "rtsps",
        host=host["six"] or host["name"],
        port=port,
        request=f"{found.scheme}://{name}:{port}{found.rest}",
        user=found.user,
        password=found.password,
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
