"""One RTSP session: starts a stream, keeps it alive and ends it (RFC 2326)."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable

from detector.capture.auth import Credentials, challenges
from detector.capture.av_errors import network_error
from detector.core.clock import Clock
from detector.core.errors import SourceError

from . import sdp
from .errors import not_understood, refusal, udp_only
from .framing import Interleaved
from .message import RtspMessage, answer, request
from .transport import RtspTransport
from .url import RtspTarget, absolute, controlled, parse

_AGENT = "detector"
_REDIRECTS = 5
_TRIES = 6  # of one request: unknown, then each way to log in that is offered, then with a nonce that is not stale
_UDP_ONLY = (406, 461)  # answers to a SETUP over TCP; 461: unsupported transport (RFC 2326, section 11.3)
_SESSION_S = 60.0  # the session's time-out where the camera names none (RFC 2326, section 12.37)
_MIN_ALIVE_S = 1.0
_TRANSPORT = {"Transport": "RTP/AVP/TCP;unicast;interleaved=0-1"}
_QUEUED = 1 << 14  # packets between the PLAY request and its response


class _RedirectedError(Exception):
    def __init__(self, location: str) -> None:
        super().__init__()
        self.location = location


class RtspSession:
    """The video stream of the camera at `url`, as RTP packets over the RTSP connection itself.

    `open` and each `receive` are limited by `timeout_s` or a deadline (monotonic s). Both raise SourceError;
    NotUnderstoodError if FFmpeg may succeed. It has no thread of its own.
    """

    def __init__(self, *, url: str, shown: str, timeout_s: float, clock: Clock) -> None:
        self._url, self._shown, self._timeout_s, self._clock = url, shown, timeout_s, clock
        self._transport: RtspTransport | None = None
        self._credentials: Credentials | None = None
        self._methods: frozenset[str] = frozenset()
        self._sequence = 0
        self._id: str | None = None
        self._aggregate = ""
        self._channel = 0
        self._unnamed_tcp = False
        self._alive_every_s, self._alive_next = _SESSION_S / 2, 0.0
        self._early: list[bytes] = []

    @property
    def received_mono(self) -> float:
        """When the last bytes were read from the socket, monotonic seconds."""
        return self._transport.received_mono if self._transport is not None else 0.0

    @property
    def skips(self) -> int:
        """How often stray bytes between the packets were skipped on this connection."""
        return self._transport.framing.skips if self._transport is not None else 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What the camera does unusually, and which way round it was taken."""
        credentials = self._credentials
        found = {
            "Basic instead of Digest": credentials is not None
            and credentials.fell_back
            and credentials.scheme == "basic",
            "its answer to SETUP does not say TCP": self._unnamed_tcp,
        }
        return tuple(text for text, holds in found.items() if holds)

    def open(self) -> sdp.Video:
        """Connect and play; returns the camera's description of its stream."""
        self.close()
        deadline = self._clock.mono() + self._timeout_s
        try:
            return self._opened(parse(self._url), deadline)
        except SourceError:
            self.close()
            raise
        except ValueError as exc:
            self.close()
            raise not_understood(str(exc), shown=self._shown) from None
        except (OSError, EOFError) as exc:
            self.close()
            raise self._failed(exc) from None

    def receive(self, deadline: float | None) -> list[bytes]:
        """The next RTP packets, waiting until `deadline` for some; without a deadline only those already there."""
        transport = self._transport
        if transport is None:
            raise SourceError(f"{self._shown}: not open")
        early, self._early = self._early, []
        try:
            if (now := self._clock.mono()) >= self._alive_next:
                self._alive_next = now + self._alive_every_s
                method = "GET_PARAMETER" if "GET_PARAMETER" in self._methods else "OPTIONS"
                self._send(transport, method, self._aggregate, {}, now + self._timeout_s)
            return self._taken(transport, early, deadline)
        except ValueError:
            raise SourceError(f"{self._shown}: the camera sends data that is not RTSP") from None
        except (OSError, EOFError) as exc:
            raise self._failed(exc) from None

    def silent(self) -> bool:
        """Whether `receive` would certainly return nothing now."""
        return self._transport is not None and not self._early and self._transport.silent()

    def close(self) -> None:
        """Send TEARDOWN without waiting for the response, and close the connection."""
        transport, self._transport = self._transport, None
        if transport is None:
            return
        with contextlib.suppress(OSError):
            if self._id is not None:
                self._send(transport, "TEARDOWN", self._aggregate, {}, self._clock.mono())
        transport.close()
        self._id, self._credentials, self._early = None, None, []

    def timed_out(self) -> SourceError:
        return self._failed(TimeoutError())

    def _taken(self, transport: RtspTransport, early: list[bytes], deadline: float | None) -> list[bytes]:
        # Received before: together with the response to PLAY, or too much for one call.
        packets = early + self._packets(transport.items())
        if not packets and deadline is not None:
            transport.wait(deadline)
        elif not transport.drain() and not packets:
            raise EOFError
        return packets + self._packets(transport.items())

    def _failed(self, exc: BaseException) -> SourceError:
        if isinstance(exc, EOFError):
            return SourceError(f"{self._shown}: the camera ended the stream")
        return network_error(exc, shown=self._shown, timeout_s=self._timeout_s)

    def _opened(self, target: RtspTarget, deadline: float) -> sdp.Video:
        for _ in range(_REDIRECTS + 1):
            try:
                return self._played(target, deadline)
            except _RedirectedError as exc:
                self.close()
                target = target.redirected(controlled(target.request, exc.location))
        raise SourceError(f"{self._shown}: the camera redirects without end; check the URL")

    def _played(self, target: RtspTarget, deadline: float) -> sdp.Video:
        self._credentials = Credentials(user=target.user, password=target.password) if target.user is not None else None
        self._transport = transport = RtspTransport(
            host=target.host, port=target.port, secure=target.secure, deadline=deadline, clock=self._clock
        )
        options = self._ask(transport, "OPTIONS", target.request, {}, deadline, tolerant=True)
        self._methods = frozenset(re.findall(r"[A-Z_]+", options.get("public") or ""))
        described = self._ask(transport, "DESCRIBE", target.request, {"Accept": "application/sdp"}, deadline)
        video = sdp.parse(described.body)
        bases = (described.get("content-base"), described.get("content-location"))
        base = next((text for text in bases if text and absolute(text)), target.request)
        self._aggregate = controlled(base, video.aggregate)
        self._set_up(self._ask(transport, "SETUP", controlled(self._aggregate, video.control), _TRANSPORT, deadline))
        transport.framing.expect(channel=self._channel, payload_type=video.payload_type)
        self._ask(transport, "PLAY", self._aggregate, {"Range": "npt=0.000-"}, deadline)
        self._alive_next = self._clock.mono() + self._alive_every_s
        return video

    def _set_up(self, message: RtspMessage) -> None:
        identity, _, parameters = (message.get("session") or "").partition(";")
        self._id = identity.strip() or None
        timeout = re.search(r"timeout\s*=\s*(\d{1,6})", parameters)
        self._alive_every_s = max(_MIN_ALIVE_S, (float(timeout[1]) if timeout else _SESSION_S) / 2)
        transport = message.get("transport") or ""
        channel = re.search(r"interleaved\s*=\s*(\d{1,3})", transport, re.IGNORECASE)
        # Without the header it is as asked for, and nothing but TCP was.
        says_tcp = "TCP" in transport.upper()
        over_tcp = says_tcp or not transport.strip()
        if channel is None and not over_tcp:
            if re.search(r"RTP/AVP", transport, re.IGNORECASE):
                raise udp_only("answers RTSP over TCP with UDP", shown=self._shown)
            raise not_understood("the camera does not say that it sends over TCP", shown=self._shown)
        self._unnamed_tcp = not says_tcp  # "onvif1" cameras: what is interleaved is TCP, whatever it is called
        self._channel = min(int(channel[1]), 254) if channel else 0

    def _ask(
        self,
        transport: RtspTransport,
        method: str,
        url: str,
        headers: dict[str, str],
        deadline: float,
        *,
        tolerant: bool = False,
    ) -> RtspMessage:
        """The camera's response; a refusal is an error unless `tolerant`. Authenticates if the camera asks for it."""
        for _ in range(_TRIES):
            self._send(transport, method, url, headers, deadline)
            message = self._response(transport, deadline)
            status = message.status or 0
            if status == 401 and self._known(message):
                continue
            if self._credentials is not None and status != 401:
                self._credentials.succeeded()
            if method == "SETUP" and status in _UDP_ONLY:
                raise udp_only(f"refuses RTSP over TCP ({status})", shown=self._shown)
            if status // 100 == 3 and (location := message.get("location")):
                raise _RedirectedError(location)
            if status // 100 == 2 or (tolerant and status != 401):
                return message
            break
        raise refusal(status, shown=self._shown, timeout_s=self._timeout_s)

    def _known(self, message: RtspMessage) -> bool:
        """Whether to send the request again, with an answer to the camera's challenge."""
        if self._credentials is None:
            return False
        offered = challenges(message.all("www-authenticate"))
        if not offered:
            raise not_understood("the camera's authentication scheme is not supported", shown=self._shown)
        return self._credentials.choose(offered)

    def _send(self, transport: RtspTransport, method: str, url: str, headers: dict[str, str], deadline: float) -> None:
        self._sequence += 1
        sent = {"CSeq": str(self._sequence), "User-Agent": _AGENT, **headers}
        if self._id is not None:
            sent["Session"] = self._id
        authorization = self._credentials.header(method, url) if self._credentials is not None else None
        if authorization is not None:
            sent["Authorization"] = authorization
        transport.send(request(method, url, sent), deadline)

    def _response(self, transport: RtspTransport, deadline: float) -> RtspMessage:
        """The next response; packets before it are kept."""
        while True:
            for item in transport.items():
                if isinstance(item, RtspMessage) and item.status is not None and item.status >= 200:
                    return item
                self._early += self._packets([item])
                del self._early[:-_QUEUED]
            transport.wait(deadline)

    def _packets(self, items: Iterable[RtspMessage | Interleaved]) -> list[bytes]:
        """The video packets among `items`; the camera's requests and responses are handled."""
        packets = []
        for item in items:
            if isinstance(item, RtspMessage):
                self._handle(item)
            elif item.channel == self._channel:
                packets.append(item.data)
        return packets

    def _handle(self, message: RtspMessage) -> None:
        transport = self._transport
        if transport is None:
            return
        now = self._clock.mono()
        if message.method in ("TEARDOWN", "REDIRECT"):
            raise EOFError
        if message.method is not None:
            transport.send(answer(message, status="200 OK"), now + self._timeout_s)
        elif self._credentials is None or message.status is None:
            return
        elif message.status // 100 == 2:
            self._credentials.succeeded()
        elif message.status == 401 and self._credentials.choose(challenges(message.all("www-authenticate"))):
            # The nonce of the keep-alive was too old: again with the new one, but no faster than one a second.
            self._alive_next = min(self._alive_next, now + _MIN_ALIVE_S)
