"""The bytes of one RTSP connection, cut into messages and interleaved packets; stray bytes between them are skipped."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from .message import RtspMessage, body_length, parse_head

_TURN = 1 << 12  # items taken at once: a camera faster than this program must not hold it here
_MAX_HEAD = 1 << 16
_MAX_JUNK = 1 << 16  # in one go: some cameras pad or lose their place, but a stream of junk is another protocol
_DESCRIPTION = b"\nv=0"  # how the body of the answer to DESCRIBE begins (RFC 8866)
_HEAD_END = ((b"\r\n\r\n", 4), (b"\n\n", 2), (_DESCRIPTION, 1))
_MAX_STRAY = 1 << 12  # bytes of junk between that answer's head and body
_DOLLAR, _HEADER, _RTP_HEADER = 0x24, 4, 12
_PADDING = b"\r\n\x00 "  # between messages; allowed, so no damage
_START = re.compile(rb"[$A-Z]")
_FIRST_LINE = re.compile(rb"RTSP/\d\.\d\s+\d{3}|[A-Z_]{3,20} [!-~]{1,2048} RTSP/\d\.\d")
_FIRST_LINE_SO_FAR = re.compile(rb"[A-Z_]{1,20}(?:[/ ][ -~]{0,2100})?\Z")
_RTCP_TYPES = range(200, 208)  # the second byte; RFC 3550, section 12.1, and RFC 4585


class Interleaved(NamedTuple):
    """An RTP or RTCP packet between the messages (RFC 2326, section 10.12).

    A tuple, as hundreds come a second: a frozen dataclass takes several times as long to make.
    """

    channel: int
    data: bytes


class _Verdict(enum.Enum):
    MORE = "not enough bytes to tell"
    JUNK = "neither a packet nor a message"


class Framing:
    """Gives what is whole of the bytes that were added, in order.

    A `$` alone is no packet: random bytes hold one in every 256. A packet of the sender (SSRC) that is known is taken
    as it is; one of another sender or channel only where something that makes sense follows. Raises ValueError for a
    connection that speaks another protocol.
    """

    def __init__(self) -> None:
        self._buffer, self._at = b"", 0
        self._junk = 0  # bytes skipped since the last item
        self._channel, self._payload_type = 0, -1
        self._sender: bytes | None = None  # the SSRC of the packets taken so far
        self._sure = re.compile(rb"RTSP/\d\.\d\s+\d{3}\s")
        self._begun = False
        self.skips = self.skipped_bytes = 0
        """Stretches of stray bytes that were skipped, and the bytes in all of them."""

    @property
    def held(self) -> int:
        """Bytes that wait: not whole yet, or not asked for."""
        return len(self._buffer) - self._at

    def expect(self, *, channel: int, payload_type: int) -> None:
        """The stream that was agreed on: its RTP comes on `channel`, its RTCP on the next."""
        self._channel, self._payload_type = channel, payload_type
        self._know(None)

    def add(self, *parts: bytes | memoryview) -> None:
        self._buffer, self._at = b"".join((self._buffer[self._at :], *parts)), 0  # once: megabytes wait after a stall

    def items(self) -> Iterator[RtspMessage | Interleaved]:
        """What is whole, up to a number: the rest is for the next time."""
        for _ in range(_TURN):
            item = self._next_in_step() or self._next_found()
            if item is None:
                return
            self._begun = True
            yield item

    def _next_in_step(self) -> Interleaved | None:
        """The known sender's packet, where it comes next and is whole: nearly always."""
        buffer, at = self._buffer, self._at
        if len(buffer) - at < _HEADER + _RTP_HEADER or buffer[at] != _DOLLAR or self._junk:
            return None
        if buffer[at + 12 : at + 16] != self._sender or buffer[at + 1] != self._channel or buffer[at + 4] >> 6 != 2:
            return None
        end = at + _HEADER + (buffer[at + 2] << 8 | buffer[at + 3])
        if len(buffer) < end:
            return None
        self._at = end
        return Interleaved(buffer[at + 1], buffer[at + _HEADER : end])

    def _next_found(self) -> RtspMessage | Interleaved | None:
        """The next item, behind whatever is none."""
        while (found := _START.search(self._buffer, self._at)) is not None:
            at = found.start()
            self._skip_to(at)
            item = self._packet(at) if self._buffer[at] == _DOLLAR else self._message(at)
            if item is _Verdict.MORE:
                return None
            if not isinstance(item, _Verdict):
                self._count_junk()
                return item
            self._skip_to(at + 1)
        self._skip_to(len(self._buffer))
        return None

    def _skip_to(self, at: int) -> None:
        skipped, self._at = self._buffer[self._at : at], at
        # Padding is no damage, unless it is part of a longer stretch.
        self._junk += len(skipped) if self._junk or skipped.strip(_PADDING) else 0
        if self._junk and not self._begun and b"HTTP/" in skipped + self._buffer[at : at + 8]:
            raise ValueError("it speaks HTTP, not RTSP")
        if self._junk > _MAX_JUNK or (len(skipped) > _MAX_JUNK):
            raise ValueError("what it sends is not RTSP")

    def _count_junk(self) -> None:
        self.skips += self._junk > 0
        self.skipped_bytes += self._junk
        self._junk = 0

    def _packet(self, at: int) -> Interleaved | _Verdict:
        buffer, have = self._buffer, len(self._buffer) - at - _HEADER
        if have < 1:
            return _Verdict.MORE
        length = buffer[at + 2] << 8 | buffer[at + 3]
        if length == 0 or buffer[at + 4] >> 6 != 2:
            return _Verdict.JUNK
        if have < min(length, _RTP_HEADER):
            return _Verdict.MORE
        if have < length:
            # The next one is here already: this was none, or its end was lost on the way.
            return _Verdict.JUNK if self._sure.search(buffer, at + 1) else _Verdict.MORE
        end = at + _HEADER + length
        if not self._is_known(at, length):
            follows = self._follows(end, buffer[at + 1], buffer[at + 12 : at + 16])
            if follows is _Verdict.JUNK or (follows is _Verdict.MORE and not self._is_first(at, length)):
                return follows
        if buffer[at + 1] == self._channel and length >= _RTP_HEADER:
            self._know(buffer[at + 12 : at + 16])
        self._at = end
        return Interleaved(buffer[at + 1], buffer[at + _HEADER : end])

    def _is_known(self, at: int, length: int) -> bool:
        """Whether this is a packet beyond doubt: of the known sender, or RTCP whose lengths agree."""
        buffer, channel = self._buffer, self._buffer[at + 1]
        if channel == self._channel:
            return length >= _RTP_HEADER and buffer[at + 12 : at + 16] == self._sender
        if channel != self._channel + 1 or length < _HEADER or buffer[at + 5] not in _RTCP_TYPES:
            return False
        return 4 * (int.from_bytes(buffer[at + 6 : at + 8], "big") + 1) <= length

    def _is_first(self, at: int, length: int) -> bool:
        """Whether this may be the stream's first packet: it is not kept waiting for the second."""
        ours = self._buffer[at + 1] == self._channel and self._buffer[at + 5] & 0x7F == self._payload_type
        return self._sender is None and ours and length >= _RTP_HEADER

    def _follows(self, end: int, channel: int, sender: bytes) -> _Verdict | None:
        """None where a packet or a message begins at `end`, as it must behind a packet.

        A new sender is believed at its second packet in a row (RFC 3550, appendix A.1: MIN_SEQUENTIAL).
        """
        rest = self._buffer[end : end + 32].lstrip(_PADDING)
        if not rest or (rest[0] == _DOLLAR and len(rest) <= _HEADER):
            return _Verdict.MORE
        if rest[0] == _DOLLAR:
            if rest[1] == channel == self._channel and self._sender is not None:
                enough = len(rest) >= _HEADER + _RTP_HEADER
                return (None if rest[12:16] == sender else _Verdict.JUNK) if enough else _Verdict.MORE
            known = rest[1] in (self._channel, self._channel + 1, channel)
            return None if known and rest[_HEADER] >> 6 == 2 else _Verdict.JUNK
        if _FIRST_LINE_SO_FAR.match(rest) or re.match(rb"RTSP/|[A-Z_]{3,20} [!-~]", rest):
            return None
        return _Verdict.JUNK

    def _know(self, sender: bytes | None) -> None:
        if sender == self._sender and sender is not None:
            return
        self._sender = sender
        channel, payload = re.escape(bytes((self._channel,))), self._payload_type & 0x7F
        types = re.escape(bytes((payload,))) + b"|" + re.escape(bytes((payload | 0x80,)))
        rest = rb".{7}" + re.escape(sender) if sender is not None else b"(?:" + types + b")"
        self._sure = re.compile(rb"\$" + channel + rb"..[\x80-\xbf]" + rest + rb"|RTSP/\d\.\d\s+\d{3}\s", re.DOTALL)

    def _message(self, at: int) -> RtspMessage | _Verdict:
        buffer = self._buffer
        if _FIRST_LINE.match(buffer, at) is None:
            return _Verdict.MORE if _FIRST_LINE_SO_FAR.match(buffer, at) else _Verdict.JUNK
        # Stray bytes may hide the empty line from a description.
        ends = [(found + size, found) for end, size in _HEAD_END if (found := buffer.find(end, at)) >= 0]
        if self._sure.search(buffer, at + 1, min(ends)[1] if ends else len(buffer)):
            return _Verdict.JUNK
        if not ends:
            if len(buffer) - at > _MAX_HEAD:
                raise ValueError("a header without an end")
            return _Verdict.MORE
        after, head_end = min(ends)
        message = parse_head(buffer[at:head_end])
        start, end = self._body(message, after)
        if len(buffer) < end:
            return _Verdict.MORE
        self._at = end
        return replace(message, body=buffer[start:end].decode("utf-8", "replace"))

    def _body(self, message: RtspMessage, after: int) -> tuple[int, int]:
        """Where the body begins and ends; a description begins with v=0, whatever was sent before that."""
        length = body_length(message)
        if not length or "sdp" not in (message.get("content-type") or "").lower():
            return after, after + length
        start = self._buffer.find(_DESCRIPTION[1:], after, after + length + _MAX_STRAY)
        body = self._buffer[after : after + length]
        if start < 0 and not body.isascii() and b"m=" not in body:
            return after, after + length + _MAX_STRAY  # it comes behind longer junk, or not at all
        if not self._buffer[after : max(start, after)].strip(_PADDING):
            return after, after + length  # empty lines are the description's own: its length counts them
        return start, start + length
