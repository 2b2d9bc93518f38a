"""The values that several sections take: checked texts, names, addresses, shapes."""

from __future__ import annotations

import ipaddress
import math
import re
import unicodedata
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from detector.core.urls import split_url

from .source_kind import port_is_valid

ID_PATTERN = r"^[a-z0-9_-]{1,32}$"
Identifier = Annotated[str, Field(pattern=ID_PATTERN)]
Unit = Annotated[float, Field(ge=0.0, le=1.0)]
Point = tuple[Unit, Unit]
Seconds = Annotated[float, Field(ge=0.0, le=86_400.0)]


def _polygon(points: tuple[Point, ...]) -> tuple[Point, ...]:
    if len(points) < 3:
        raise ValueError(f"a polygon needs at least 3 points, this has {len(points)}")
    pairs = zip(points, points[1:] + points[:1], strict=True)
    if math.isclose(sum(a[0] * b[1] - b[0] * a[1] for a, b in pairs), 0.0, abs_tol=1e-9):
        raise ValueError("the polygon has no area: its points lie on one line")
    return points


def fraction(value: Any) -> Any:
    """`1/255` as well as a number: exact, and as people write it."""
    try:
        return float(Fraction(value)) if isinstance(value, str) else value
    except ZeroDivisionError:
        raise ValueError("a fraction of zero") from None


def _printable(text: str) -> str:
    """MQTT and HTTP take no control characters, surrogates or non-characters; a person sees none."""
    if any(unicodedata.category(c) in ("Cc", "Cs", "Cn", "Zl", "Zp") for c in text):
        raise ValueError("must not hold control characters or what is no character")
    return text


def _topic(text: str) -> str:
    if not text or any(c in text for c in "+#") or text.startswith(("/", "$")) or text.endswith("/"):
        raise ValueError("must be a plain MQTT topic: no + # or control characters, no / at its ends")
    return _printable(text)


def printable_secret(secret: SecretStr) -> SecretStr:
    """Without line ends behind it, which `|` and files from Windows leave there."""
    text = secret.get_secret_value().rstrip("\r\n")
    if "\0" in text or not _is_unicode(text):
        raise ValueError("must not hold the character NUL or half of a character")
    return SecretStr(text)


def _is_unicode(text: str) -> bool:
    return not any(unicodedata.category(c) == "Cs" for c in text)


def _host_name(host: str) -> str:
    """A name or an address as sockets take it."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        label = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
        if len(host) > 253 or not re.fullmatch(rf"{label}(?:\.{label})*\.?", host):
            raise ValueError("must be an IP address or a host name") from None
    return host


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise ValueError("write an IP address or a network such as 172.30.32.0/23") from None


def _web_url(url: str) -> str:
    if not re.fullmatch(rf"https?://{_WEB_HOST}(?:/[A-Za-z0-9._~!$&()*+,;=:@%/-]*)?", url):
        raise ValueError("write http(s)://host[:port][/path], without a user, ? or #")
    return _with_port(url)


def _origin(url: str) -> str:
    if not re.fullmatch(rf"https?://{_WEB_HOST}", url):
        raise ValueError("write an origin: http(s)://host[:port], without a path")
    return _with_port(url)


def _with_port(url: str) -> str:
    split = split_url(url)
    if split is None or not port_is_valid(split.place):
        raise ValueError("the port must be a number between 1 and 65535")
    return url


_WEB_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::\d{1,5})?"


def _path(path: Path) -> Path:
    _printable(str(path))
    return path


FilePath = Annotated[Path, AfterValidator(_path)]
Text = Annotated[str, AfterValidator(_printable)]
Secret = Annotated[SecretStr, AfterValidator(printable_secret)]
Network = Annotated[str, Field(max_length=64), AfterValidator(_network)]
HostName = Annotated[str, AfterValidator(_host_name)]
WebUrl = Annotated[str, Field(max_length=1024), AfterValidator(_web_url)]
Origin = Annotated[str, Field(max_length=256), AfterValidator(_origin)]


def _empty_is_no_point(value: Any) -> Any:
    return () if value is None else value


Polygon = Annotated[tuple[Point, ...], BeforeValidator(_empty_is_no_point), AfterValidator(_polygon)]
Topic = Annotated[str, Field(max_length=128), AfterValidator(_topic)]
