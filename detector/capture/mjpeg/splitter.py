"""JPEG pictures out of any stream of bytes: by their own structure, whatever stands between them.

Cameras' multipart differs in boundaries, line ends, Content-Length and order; a JPEG is the same everywhere
(ITU-T T.81, annex B): marker segments with lengths, entropy-coded data, the end marker.
"""

from __future__ import annotations

import re

MAX_PICTURE = 1 << 24  # bytes; more is a picture that never ends
_START, _END = b"\xff\xd8\xff", b"\xff\xd9"
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # in entropy-coded data: neither stuffing, restart nor fill
_BOUNDARY = re.compile(rb"\r?\n--")
_SOI, _EOI, _SOS, _FILL = 0xD8, 0xD9, 0xDA, 0xFF
_ALONE = frozenset((0x01, *range(0xD0, 0xD8)))  # markers without a segment
_IN_SCAN = frozenset((_SOS, 0xC4, 0xDB, 0xDC, 0xDD, 0xFE))  # what may come between scans: more tables, another scan
_ENDLESS = 3  # pictures in a row without an end marker: this camera never sends one


class JpegSplitter:
    """Cuts pictures out of what `feed` gets; a thumbnail inside a picture's EXIF is part of that picture."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._inside = False  # whether the buffer begins with a picture
        self._at = 0  # up to here the picture was walked through
        self._scan = False  # in entropy-coded data
        self._endless = 0
        self.damaged = 0
        """Pictures that were cut short or have no JPEG's structure."""

    def feed(self, data: bytes) -> list[bytes]:
        """The pictures that are whole with `data`."""
        self._buffer += data
        found: list[bytes] = []
        while self._step(found):
            pass
        return found

    def _step(self, found: list[bytes]) -> bool:
        """One step on; False where more bytes are needed."""
        if not self._inside:
            return self._seek()
        if self._at > MAX_PICTURE:
            return self._give_up(2)
        return self._walk_scan(found) if self._scan else self._walk_segment(found)

    def _seek(self) -> bool:
        start = self._buffer.find(_START)
        self._drop(start if start >= 0 else max(0, len(self._buffer) - len(_START) + 1))
        if start >= 0:
            self._inside, self._at, self._scan = True, 2, False
        return start >= 0

    def _walk_scan(self, found: list[bytes]) -> bool:
        marker = _MARKER.search(self._buffer, self._at)
        if marker is None:
            self._at = max(self._at, len(self._buffer) - 1)
            return self._at > MAX_PICTURE
        self._at, kind = marker.start(), self._buffer[marker.start() + 1]
        if kind == _SOI:
            return self._cut_short(found)
        if kind in _IN_SCAN or kind == _EOI:
            self._scan = False
        else:
            self._at += 2  # a bit gone wrong: the decoder makes the best of it
        return True

    def _walk_segment(self, found: list[bytes]) -> bool:
        buffer, at = self._buffer, self._at
        if len(buffer) < at + 2:
            return False
        kind = buffer[at + 1]
        if buffer[at] != _FILL or kind in (0x00, _SOI):
            return self._give_up(at if kind == _SOI and buffer[at] == _FILL else 2)
        if kind == _EOI:
            self._end(found, at + 2)
        elif kind == _FILL or kind in _ALONE:
            self._at += 1 if kind == _FILL else 2
        elif len(buffer) < at + 4:
            return False
        else:
            self._at += 2 + (buffer[at + 2] << 8 | buffer[at + 3])
            self._scan = kind == _SOS
        return True

    def _end(self, found: list[bytes], end: int) -> None:
        found.append(bytes(self._buffer[:end]))
        self._endless = 0
        self._drop(end)
        self._inside = False

    def _cut_short(self, found: list[bytes]) -> bool:
        """The next picture begins before this one's end: some cameras never send that, all others lost it."""
        self._endless += 1
        if self._endless >= _ENDLESS:
            boundary = None
            for boundary in _BOUNDARY.finditer(self._buffer, 0, self._at):  # noqa: B007 - the last one is wanted
                pass
            end = boundary.start() if boundary is not None else self._at
            found.append(bytes(self._buffer[:end]) + _END)
            self._drop(self._at)
            self._inside = False
            return True
        return self._give_up(self._at)

    def _give_up(self, count: int) -> bool:
        """What began is no whole picture: look for the next behind `count` bytes."""
        self.damaged += 1
        self._drop(count)
        self._inside = False
        return True

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
