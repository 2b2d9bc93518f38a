"""Which way a camera's source is opened; refuses, with what to do, one that cannot be understood."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import quote

from detector.core.urls import split_url

_RESERVED = "/?#@"
SourceKind = Literal["rtsp", "http", "v4l2", "csi", "file", "gstreamer"]


def _check_url(url: str) -> None:
    """Refuse, with what to do, a camera's URL that cannot be understood in one way; never with a part of it."""
    split = split_url(url)
    body = url.strip().partition("://")[2]
    if split is None:
        reserved = [f"{c} as {quote(c, safe='')}" for c in dict.fromkeys(body) if c in _RESERVED and ":" in body]
        hint = f": percent-encode what a URL reserves in its password ({', '.join(reserved)})" if reserved else ""
        raise ValueError(f"the URL has no host{hint}")
    if split.ambiguous:
        raise ValueError(
            "two readings of this URL are possible: encode / as %2F, ? as %3F, # as %23 and @ as %40 in the password, "
            "and @ as %40 in the path"
        )
    if not (split.place + split.rest).isprintable() or " " in split.place + split.rest:
        raise ValueError("a URL holds no blanks or control characters: encode a blank as %20")
    if "#" in split.rest:
        raise ValueError("a camera's URL has no # part: encode # as %23")
    if not port_is_valid(split.place):
        raise ValueError("the URL's port must be between 1 and 65535")


def source_kind(source: str) -> SourceKind:
    """How `source` is opened; raises ValueError that names the known schemes."""
    scheme = source.split(":", 1)[0].lower() if ":" in source else ""
    if scheme in ("rtsp", "rtsps", "http", "https"):
        _check_url(source)
        return "rtsp" if scheme.startswith("rtsp") else "http"
    if scheme == "gst":
        return "gstreamer"
    if scheme in ("usb", "csi"):
        if not re.fullmatch(r"(usb|csi)://\d{1,3}", source):
            raise ValueError(f"write {scheme}://N with the camera's number")
        return "v4l2" if scheme == "usb" else "csi"
    if "://" in source and scheme != "file":
        raise ValueError(
            f"unknown scheme {scheme}://; known: rtsp(s)://, http(s)://, usb://N, csi://N, gst:..., a path"
        )
    return "v4l2" if re.fullmatch(r"/dev/video\d+", source) else "file"


def port_is_valid(place: str) -> bool:
    """Of a host[:port]; a missing one is."""
    port = place.rpartition("]")[2].partition(":")[2]
    return not port or 0 < int(port) < 65536
