"""Authentication: the token, in each way that a client can send it, compared in constant time.

Programs send `Authorization: Bearer TOKEN` or `X-API-Key: TOKEN`; players that know only URLs send
HTTP Basic with the token as password; the operators' page exchanges the token for a cookie that
scripts cannot read. `?token=` is not accepted: it would end up in browser histories and proxies' logs.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable, Iterator
from http.cookies import CookieError, SimpleCookie

from pydantic import SecretStr

from . import json_web_token
from .guess_limit import GuessLimit

SESSION_S = 90 * 86_400  # a tablet on the wall should not ask every week
LOGIN_S = 86_400  # Frigate's own; its clients sign in anew by themselves


def _digest(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, hashlib.sha256).digest()


class Authorizer:
    """Checks the token and the sessions made from it; `None` allows every request.

    A session is its own expiry (epoch s) signed with a key made from the token: nothing is stored,
    it outlives a restart, and a new token ends every session.
    """

    def __init__(self, token: SecretStr | None, *, now: Callable[[], float] = time.time) -> None:
        self._token = token.get_secret_value().encode() if token else None
        self._key = _digest(b"detector session v1", self._token or b"")
        self._login_key = _digest(b"detector frigate login v1", self._token or b"")
        self._now = now
        self.guesses = GuessLimit()

    @property
    def open(self) -> bool:
        """Whether no token is set."""
        return self._token is None

    @property
    def cookie(self) -> str:
        """The session cookie's name: cookies ignore ports, so two detectors on one host need two names."""
        return f"detector_{_digest(self._key, b'name').hex()[:8]}"

    def is_token(self, given: bytes) -> bool:
        """Whether `given` is the token; takes equally long wherever they differ, and whatever the length."""
        if self._token is None:
            return True
        return hmac.compare_digest(_digest(self._key, given), _digest(self._key, self._token))

    def new_session(self) -> str:
        expiry = str(int(self._now()) + SESSION_S)
        return f"{expiry}.{self._sign(expiry)}"

    def session_cookie(self, *, path: str, https: bool, framed: bool, ended: bool = False) -> str:
        """The Set-Cookie header of a new session, or of one that has `ended`; `path` is where the page is served.

        `framed`: pages of other sites may show this one. A browser keeps its cookie there over `https` only, marked
        SameSite=None and Secure (RFC 6265bis, 5.7); Partitioned (CHIPS) where it blocks third-party cookies.
        """
        value, seconds = ("", 0) if ended else (self.new_session(), SESSION_S)
        limits = "SameSite=None; Secure; Partitioned" if framed and https else "SameSite=Strict"
        secure = "; Secure" if https and not framed else ""
        return f"{self.cookie}={value}; Max-Age={seconds}; Path={path}; HttpOnly; {limits}{secure}"

    def frigate_cookie(self) -> str:
        """The Set-Cookie header out of which Frigate's clients take what they send as bearer token from then on."""
        token = json_web_token.signed(self._login_key, subject="frigate", expires=int(self._now()) + LOGIN_S)
        return f"frigate_token={token}; Max-Age={LOGIN_S}; Path=/frigate; HttpOnly; SameSite=Strict"

    def allows(self, headers: dict[bytes, bytes]) -> bool:
        """Whether any credential among the request's lower-case `headers` is right."""
        if self.open:
            return True
        # All are compared: a proxy's own Basic header must not hide a valid cookie.
        good = [self.is_token(given) or self._is_login(given) for given in _tokens(headers)]
        return any(good) or self._is_session(_cookie(headers, self.cookie))

    def _is_login(self, given: bytes) -> bool:
        return json_web_token.is_valid(self._login_key, given, now=self._now())

    def _sign(self, expiry: str) -> str:
        return _digest(self._key, expiry.encode()).hex()

    def _is_session(self, value: str) -> bool:
        expiry, _, signature = value.partition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(expiry).encode()):
            return False
        return self._now() < int(expiry)


def has_token(headers: dict[bytes, bytes]) -> bool:
    """Whether the request's lower-case `headers` hold a token, right or wrong; a cookie is none."""
    return any(_tokens(headers))


def _tokens(headers: dict[bytes, bytes]) -> Iterator[bytes]:
    if b"x-api-key" in headers:
        yield headers[b"x-api-key"]
    scheme, _, value = headers.get(b"authorization", b"").strip().partition(b" ")
    if scheme.lower() == b"bearer":
        yield value.strip()
    elif scheme.lower() == b"basic":
        try:
            yield base64.b64decode(value.strip(), validate=True).partition(b":")[2]
        except binascii.Error:
            return


def _cookie(headers: dict[bytes, bytes], name: str) -> str:
    try:
        jar = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1"))
    except CookieError:
        return ""
    return jar[name].value if name in jar else ""
