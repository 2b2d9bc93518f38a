"""URLs that hold a user and a password: where they end, and what in them is secret.

RFC 3986 wants `/ ? # @` in a password percent-encoded; people paste them raw. A URL whose text up to
the first of `/ ? #` is no `[user@]host[:port]` is therefore read up to its last `@` that a host follows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*)://")
_PLACE = re.compile(r"(?:\[[0-9A-Za-z:.%]+\]|[^\s:/?#@\[\]'\"<>\\]+)(?::\d{0,5})?(?=[/?#]|$)")
_AUTHORITY = re.compile(r"[^/?#]*")
_LONE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
SENSITIVE_NAME = (
    r"[\w-]*(?:pass|pwd|psw|pw|token|secret|auth|api_?key|(?<![a-z])(?:key|sig)(?![a-z])|cred|signature|sess|login"
    r"|user|usr)[\w-]*"
)
"""A parameter or property that holds a secret or a user's name; spellings of cameras, clouds and GStreamer."""
_PARAMETER = re.compile(
    rf"(?:[?&;/]|(?<=[^\W_])_)(?P<name>{SENSITIVE_NAME})=(?P<value>.*?)(?=[&;#]|_[A-Za-z]+=|$)",
    re.IGNORECASE | re.DOTALL,
)
_PROPERTY = re.compile(
    rf"(?<![\w?&/-])(?P<name>{SENSITIVE_NAME})\s*=\s*(?:\(\w+\)\s*)?"
    r"(?P<value>\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[^\s!]+)",
    re.IGNORECASE | re.DOTALL,
)
_LOCATION = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?:(?!\s+!|\s[\w-]+=).)*", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitUrl:
    """`scheme` in lower case; `info` is the user-info as written, None without one; `place` host[:port]."""

    scheme: str
    info: str | None = field(repr=False)
    place: str
    rest: str = field(repr=False)
    ambiguous: bool = False

    @property
    def user(self) -> str | None:
        """Percent-decoded."""
        return None if self.info is None else unquote(self.info.partition(":")[0])

    @property
    def password(self) -> str:
        """Percent-decoded, "" where there is none."""
        return unquote((self.info or "").partition(":")[2])

    @property
    def encoded(self) -> str:
        """The URL with every odd character of the user-info percent-encoded, for libraries that follow RFC 3986."""
        if self.info is None:
            return f"{self.scheme}://{self.place}{self.rest}"
        user, colon, password = self.info.partition(":")
        return f"{self.scheme}://{_encoded(user)}{colon}{_encoded(password)}@{self.place}{self.rest}"


def _encoded(part: str) -> str:
    return quote(_LONE_PERCENT.sub("%25", part), safe="%")


def split_url(text: str) -> SplitUrl | None:
    """The parts of `text`; None where it is no URL with a host."""
    scheme = _SCHEME.match(text)
    if scheme is None:
        return None
    body = text[scheme.end() :].rstrip("\r\n\t ")
    at = _info_end(body)
    place = _PLACE.match(body, at + 1)
    if place is None:
        return None
    return SplitUrl(
        scheme=scheme[1].lower(),
        info=body[:at] if at >= 0 else None,
        place=place[0],
        rest=body[place.end() :],
        ambiguous=_has_later_host(body, place.end()),
    )


def _info_end(body: str) -> int:
    """The index of the `@` that ends the user-info, -1 where there is none."""
    authority = _AUTHORITY.match(body)
    end = authority.end() if authority else 0
    at = body.rfind("@", 0, end)
    place = _PLACE.match(body, at + 1)
    if place is not None and place.end() == end:
        return at
    return next((i for i in reversed(_ats(body)) if _PLACE.match(body, i + 1)), -1)


def _ats(body: str) -> list[int]:
    return [i for i, character in enumerate(body) if character == "@"]


def _has_later_host(body: str, start: int) -> bool:
    """Whether a second reading exists: an `@` in the path with what looks like a host behind it."""
    path = body[start:].partition("?")[0] if body[start : start + 1] == "/" else body[start:]
    for i in _ats(path):
        place = _PLACE.match(body, start + i + 1)
        if place is not None and (re.search(r"[.:]", place[0]) or body[place.end() : place.end() + 1] == "/"):
            return True
    return False


def mask_source(source: str, mask: str) -> str:
    """A whole camera source (a URL, or gst:PIPELINE) with user-info, secret parameters and properties masked."""
    source = source.strip()
    if source.lower().startswith("gst:"):
        text = _PROPERTY.sub(lambda m: m[0][: m.start("value") - m.start()] + mask, source)
        return _LOCATION.sub(lambda m: mask_url(m[0], mask), text)
    return mask_url(source, mask) if "://" in source else source


def mask_url(url: str, mask: str) -> str:
    """One URL, masked up to the last `@` that may end its user-info."""
    scheme = _SCHEME.match(url)
    if scheme is None:
        return url
    body = url[scheme.end() :]
    split = split_url(url)
    cut = body.rfind("@")
    if split is not None and not split.ambiguous:
        cut = -1 if split.info is None else len(split.info)
    shown = body if cut < 0 else f"{mask}{body[cut:]}"
    return f"{scheme[0].lstrip()}{mask_parameters(shown, mask)}"


def mask_parameters(text: str, mask: str) -> str:
    return _PARAMETER.sub(lambda m: m[0][: m.start("value") - m.start()] + mask, text)


def secrets_in(source: str) -> set[str]:
    """What must never be shown of a camera source: passwords and secret values, as written and decoded."""
    return {form for found in _secrets(source.strip()) for form in (found, unquote(found)) if form.strip()}


def _secrets(source: str) -> Iterator[str]:
    urls = [source]
    if source.lower().startswith("gst:"):
        values = [m["value"] for m in _PROPERTY.finditer(source) if not _is_name(m["name"])]
        yield from (*values, *map(_unquoted, values))
        urls = [m[0] for m in _LOCATION.finditer(source)]
    for url in urls:
        yield from _url_secrets(_unquoted(url))


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return text.rstrip("\"'") if "://" in text else text


def _url_secrets(url: str) -> Iterator[str]:
    scheme = _SCHEME.match(url)
    if scheme is None:
        return
    body = url[scheme.end() :]
    split = split_url(url)
    cuts = {len(split.info)} if split is not None and split.info is not None else set()
    if split is None or split.ambiguous:
        cuts |= {at for at in (body.rfind("@"),) if at >= 0}
    for cut in cuts:
        user, colon, password = body[:cut].partition(":")
        # In its place a secret of any length can be told; by itself a short one cannot.
        yield f"//{body[:cut]}@"
        yield password if colon else user
        if colon:
            yield f"{user}:{password}"
    yield from (m["value"] for m in _PARAMETER.finditer(body) if not _is_name(m["name"]))


def _is_name(parameter: str) -> bool:
    """Whether a parameter names the user: masked in its place, but too common a word to be hunted everywhere."""
    return parameter.lower() in ("id", "user", "usr", "username", "loginuse", "user-id", "userid", "login")
