"""Basic (RFC 7617) and Digest (RFC 7616, and RFC 2069's form without qop) authentication."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

_PARAMETER = re.compile(r'([A-Za-z][\w-]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_SCHEME = re.compile(r"(?:^|,)\s*(Basic|Digest)(?:\s+|$)", re.IGNORECASE)
# Strongest first. Cameras use Digest with MD5; it protects only this exchange.
_HASHES: dict[str, Callable[[bytes], str]] = {
    "SHA-256": lambda data: hashlib.sha256(data).hexdigest(),
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """One authentication scheme that the camera offers; names in `parameters` are in lower case."""

    scheme: str
    parameters: Mapping[str, str]

    @property
    def algorithm(self) -> str:
        return self.parameters.get("algorithm", "MD5").upper().removesuffix("-SESS")

    @property
    def qop(self) -> str | None:
        """Is "auth" if offered, None if the camera asks for no qop, "" if it offers only others."""
        offered = self.parameters.get("qop")
        if offered is None:
            return None
        return "auth" if "auth" in re.split(r"[\s,]+", offered.lower()) else ""

    @property
    def stale(self) -> bool:
        """Whether only the nonce was too old; the password was right."""
        return self.parameters.get("stale", "").lower() == "true"

    @property
    def way(self) -> tuple[str, str]:
        """Scheme and, for Digest, algorithm: what a camera refuses or takes."""
        return self.scheme, self.algorithm if self.scheme == "digest" else ""

    @property
    def usable(self) -> bool:
        if self.scheme == "basic":
            return True
        return self.algorithm in _HASHES and self.qop != "" and "nonce" in self.parameters


def challenges(values: Iterable[str]) -> list[Challenge]:
    """The challenges in the WWW-Authenticate headers that this client supports, strongest first."""
    found: list[Challenge] = []
    for text in values:
        value = _CONTROL.sub(" ", text)  # a folded header's line ends must not get into a request
        starts = list(_SCHEME.finditer(value))
        for i, start in enumerate(starts):
            end = starts[i + 1].start() if i + 1 < len(starts) else len(value)
            pairs = _PARAMETER.findall(value[start.end() : end])
            parameters = {name.lower(): re.sub(r"\\(.)", r"\1", quoted) or plain for name, quoted, plain in pairs}
            found.append(Challenge(scheme=start[1].lower(), parameters=parameters))
    order = [*_HASHES]
    usable = [challenge for challenge in found if challenge.usable]
    return sorted(usable, key=lambda c: len(order) if c.scheme == "basic" else order.index(c.algorithm))


class Credentials:
    """Makes the Authorization headers of one connection."""

    def __init__(self, *, user: str, password: str) -> None:
        self._user, self._password = user, password
        self._challenge: Challenge | None = None
        self._count = 0
        self._refused: set[tuple[str, str]] = set()
        self._proven: tuple[str, str] | None = None  # the way that was taken last

    @property
    def scheme(self) -> str | None:
        """What is answered now, "basic" or "digest"."""
        return self._challenge.scheme if self._challenge is not None else None

    @property
    def fell_back(self) -> bool:
        """Whether the camera refused a stronger way that it had offered itself."""
        return bool(self._refused)

    def succeeded(self) -> None:
        """The camera took the last answer."""
        if self._challenge is not None and self._count:
            self._proven = self._challenge.way

    def accept(self, challenge: Challenge) -> None:
        """Use `challenge` from now on."""
        self._challenge, self._count = challenge, 0

    def choose(self, offered: Sequence[Challenge]) -> bool:
        """After a 401: answer what is `offered` (the strongest first); False where all of it was refused.

        Each way is tried once, as cameras lock an account after some wrong answers, and again only where the nonce
        was too old: the camera says so, or it took this way before.
        """
        last = self._challenge
        if last is not None and self._count:
            expired = last.way == self._proven or any(c.stale and c.way == last.way for c in offered)
            self._proven = None
            self._refused |= set() if expired else {last.way}
        untried = next((challenge for challenge in offered if challenge.way not in self._refused), None)
        if untried is not None:
            self.accept(untried)
        return untried is not None

    def header(self, method: str, url: str) -> str | None:
        """The Authorization header for a request, None before any challenge."""
        challenge = self._challenge
        if challenge is None:
            return None
        if challenge.scheme == "basic":
            self._count += 1
            return "Basic " + base64.b64encode(f"{self._user}:{self._password}".encode()).decode()
        return self._digest(challenge, method, url)

    def _digest(self, challenge: Challenge, method: str, url: str) -> str:
        self._count += 1
        given, qop = challenge.parameters, challenge.qop
        realm, nonce, cnonce, count = given.get("realm", ""), given["nonce"], secrets.token_hex(8), f"{self._count:08x}"

        def hashed(*parts: str) -> str:
            return _HASHES[challenge.algorithm](":".join(parts).encode())

        first = hashed(self._user, realm, self._password)
        session = given.get("algorithm", "").upper().endswith("-SESS")
        if session:
            first = hashed(first, nonce, cnonce)
        middle = (nonce, count, cnonce, qop) if qop else (nonce,)
        quoted = {"username": self._user, "realm": realm, "nonce": nonce, "uri": url}
        quoted["response"] = hashed(first, *middle, hashed(method, url))
        fields = [f'{name}="{_escaped(value)}"' for name, value in quoted.items()]
        fields += [f'opaque="{_escaped(given["opaque"])}"'] if "opaque" in given else []
        fields += [f"algorithm={given['algorithm']}"] if "algorithm" in given else []
        fields += [f"qop={qop}", f"nc={count}"] if qop else []
        fields += [f'cnonce="{cnonce}"'] if qop or session else []
        return "Digest " + ", ".join(fields)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
