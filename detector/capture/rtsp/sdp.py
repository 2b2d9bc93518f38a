"""A camera's stream description: the first video section of its SDP (RFC 8866, 6184, 7798)."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

_RTPMAP = re.compile(r"(\d{1,3})\s+([\w.-]+)\s*/\s*(\d{1,9})")
_NAMES = {"H264": "h264", "H265": "hevc", "HEVC": "hevc"}
_SETS = ("sprop-vps", "sprop-sps", "sprop-pps", "sprop-parameter-sets")
_MAX_FPS = 240.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """`codec` is FFmpeg's name; `parameter_sets` are NAL units without start codes; `fps` None if unknown."""

    codec: str
    payload_type: int
    clock_rate: int
    control: str
    aggregate: str
    parameter_sets: tuple[bytes, ...]
    fps: float | None


def parse(text: str) -> Video:
    """The first video section; raises ValueError that says what is not supported."""
    session, sections = _sections(text)
    lines = next((lines for lines in sections if lines[0].startswith("video ")), None)
    if lines is None:
        raise ValueError("no video stream in its description")
    if re.search(r"\sRTP/AVP\b", lines[0]) is None:
        raise ValueError("its video is not plain RTP")
    for payload_type in lines[0].split()[3:]:
        found = _rtpmap(lines, payload_type)
        if found is not None:
            return _video(session, lines, *found)
    raise ValueError("its video codec is neither H.264 nor H.265")


def _sections(text: str) -> tuple[list[str], list[list[str]]]:
    """The session's "a=" lines and, for each "m=" line, itself and the "a=" lines below, without prefixes."""
    session: list[str] = []
    sections: list[list[str]] = []
    for line in text.splitlines():
        kind, value = line.strip()[:2], line.strip()[2:].strip()
        if kind == "m=":
            sections.append([value.lower().replace("rtp/avp", "RTP/AVP")])
        elif kind == "a=":
            (sections[-1] if sections else session).append(value)
    return session, sections


def _rtpmap(lines: list[str], payload_type: str) -> tuple[int, str, int] | None:
    for value in _attributes(lines, "rtpmap"):
        found = _RTPMAP.match(value)
        if found and found[1] == payload_type and found[2].upper() in _NAMES and int(found[3]) > 0:
            return int(found[1]), _NAMES[found[2].upper()], int(found[3])
    return None


def _video(session: list[str], lines: list[str], payload_type: int, codec: str, clock_rate: int) -> Video:
    formats = _format(lines, payload_type)
    if formats.get("packetization-mode") == "2" or formats.get("sprop-max-don-diff", "0") not in ("", "0"):
        raise ValueError("it sends its pictures' parts out of order")
    return Video(
        codec=codec,
        payload_type=payload_type,
        clock_rate=clock_rate,
        control=next(_attributes(lines[1:], "control"), ""),
        aggregate=next(_attributes(session, "control"), ""),
        parameter_sets=tuple(unit for key in _SETS for unit in _units(formats.get(key, ""))),
        fps=_fps(lines),
    )


def _attributes(lines: list[str], name: str) -> Iterator[str]:
    return (line[len(name) + 1 :].strip() for line in lines if line.lower().startswith(f"{name}:"))


def _format(lines: list[str], payload_type: int) -> dict[str, str]:
    """The fmtp parameters of `payload_type`, names in lower case."""
    for value in _attributes(lines, "fmtp"):
        number, _, parameters = value.partition(" ")
        if number == str(payload_type):
            pairs = (part.partition("=") for part in parameters.split(";"))
            return {name.strip().lower(): text.strip() for name, _, text in pairs}
    return {}


def _units(text: str) -> list[bytes]:
    """Base64 NAL units, comma separated; invalid ones are left out, since they come in-band too."""
    units = []
    for part in text.split(","):
        try:
            unit = base64.b64decode(part.strip() + "=" * (-len(part.strip()) % 4), validate=True)
        except (binascii.Error, ValueError):
            continue
        units.append(unit)
    return [unit for unit in units if unit]


def _fps(lines: list[str]) -> float | None:
    for value in _attributes(lines, "framerate"):
        try:
            fps = float(value)
        except ValueError:
            continue
        if math.isfinite(fps) and 0.0 < fps <= _MAX_FPS:
            return fps
    return None
