"""Coded pictures into an MP4 that browsers play while it loads: its index first, H.265 as hvc1, 90 kHz stamps."""

from __future__ import annotations

import heapq
import io
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error
from av.packet import Packet

from detector.capture.packets import TICKS, EncodedPicture, StreamFormat
from detector.core.errors import StorageError

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

_VP9 = b"DKIF\x00\x00\x20\x00VP90" + bytes(20)  # an IVF header: the shortest file that names the codec
_EMPTY = {
    "h264": ("h264", b""),
    "hevc": ("hevc", b""),
    "mjpeg": ("mjpeg", b""),
    "mpeg4": ("m4v", b""),
    "vp9": ("ivf", _VP9),
}
"""By codec: a demultiplexer of FFmpeg's that gives a stream of it, and what to feed it with."""
_TAGS = {"h264": "avc1", "hevc": "hvc1", "vp9": "vp09"}  # hvc1: Safari plays no hev1 (Apple's HLS authoring, 1.10)
_AHEAD = 16  # pictures; no codec reorders further (max_dec_frame_buffering of H.264 and H.265)
_FRAME = TICKS // 25  # of the last picture, where nothing follows that would say how long it is shown
_LONGEST_PAUSE = 10 * TICKS  # a stamp further ahead of the clock is a clock that was set
_DISORDER = TICKS  # stamps that go back less are B-frames, more is a clock that was set
CODECS = frozenset(_EMPTY)
"""Codecs that a clip can be made of."""


class ClipTimeline:
    """Ticks from a clip's first picture on, over connections and clocks that begin again."""

    def __init__(self) -> None:
        self._last: EncodedPicture | None = None
        self._offset = 0
        self._highest = 0

    def at(self, picture: EncodedPicture) -> int:
        """When `picture` is shown in the clip; negative for one that comes before the first key frame."""
        last = self._last
        if last is None:
            self._offset = -picture.pts
        elif picture.run != last.run or self._jumps(picture, last):
            # Joined by when they were read: an outage is a still picture as long as it was.
            passed = max(1, round((picture.mono - last.mono) * TICKS))
            self._offset = self._highest + passed - picture.pts
        self._last = picture
        at = picture.pts + self._offset
        self._highest = max(self._highest, at)
        return at

    @staticmethod
    def _jumps(picture: EncodedPicture, last: EncodedPicture) -> bool:
        step = picture.pts - last.pts
        return step < -_DISORDER or step > (picture.mono - last.mono) * TICKS + _LONGEST_PAUSE


class DecodeOrder:
    """Decoding times for pictures that come in the order of decoding and know when they are shown.

    A picture is decoded no later than it is shown, and after the one before: the showing times, sorted, moved back by
    the furthest reordering among the pictures at hand. Without B-frames both times are the same.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[EncodedPicture, int]] = deque()
        self._times: list[int] = []
        self._back: int | None = None
        self._last: int | None = None
        self.left_out = 0
        """Pictures whose turn had passed: the camera reordered further than it did at the beginning."""

    def put(self, pictures: list[tuple[EncodedPicture, int]]) -> Iterator[tuple[EncodedPicture, int, int]]:
        """(picture, shown at, decoded at) of those whose turn is certain, in ticks."""
        self._waiting.extend(pictures)
        for _, shown in pictures:
            heapq.heappush(self._times, shown)
        yield from self._ready(_AHEAD)

    def flush(self) -> Iterator[tuple[EncodedPicture, int, int]]:
        """The rest."""
        yield from self._ready(0)

    def _ready(self, keep: int) -> Iterator[tuple[EncodedPicture, int, int]]:
        if self._back is None and len(self._waiting) > keep:
            ordered = sorted(shown for _, shown in self._waiting)
            self._back = max(early - shown for early, (_, shown) in zip(ordered, self._waiting, strict=True))
        while len(self._waiting) > keep:
            picture, shown = self._waiting.popleft()
            decoded = min(heapq.heappop(self._times) - (self._back or 0), shown)
            if self._last is not None and decoded <= self._last:
                decoded = self._last + 1
            if decoded > shown:
                self.left_out += 1
                continue
            self._last = decoded
            yield picture, shown, decoded


class Mp4Writer:
    """Writes `path`, for pictures of one format, in the order of decoding. Raises StorageError; then call `abandon`.

    `close` makes the file whole; without it there is none that plays.
    """

    def __init__(self, path: Path, form: StreamFormat) -> None:
        if form.codec not in CODECS:
            raise StorageError(f"no clip can be made of {form.codec} video without encoding it again")
        self._path, self.form = path, form
        self._timeline, self._order = ClipTimeline(), DecodeOrder()
        self._step = _FRAME
        self._shown = 0
        self.pictures = 0
        try:
            self._container, self._stream = _opened(path, form)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise _failed(path, error) from None

    @property
    def duration_s(self) -> float:
        """Seconds of what was given."""
        return self._shown / TICKS

    def write(self, pictures: list[EncodedPicture]) -> None:
        placed = [(picture, self._timeline.at(picture)) for picture in pictures]
        # Leading pictures of an open group: what they depend on is not in the clip.
        placed = [(picture, at) for picture, at in placed if at >= 0]
        for _, at in placed:
            self._shown = max(self._shown, at + self._step)
        self._mux(self._order.put(placed))

    def close(self) -> None:
        """Write the rest and the index; the file is whole then, which is checked."""
        self._mux(self._order.flush())
        try:
            self._container.close()
            check_boxes(self._path)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise _failed(self._path, error) from None

    def abandon(self) -> None:
        """Close and remove what there is; raises nothing."""
        with suppress(av.error.FFmpegError, OSError, ValueError):
            self._container.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _mux(self, pictures: Iterator[tuple[EncodedPicture, int, int]]) -> None:
        try:
            for picture, shown, decoded in pictures:
                self._mux_one(picture, shown, decoded)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise _failed(self._path, error) from None

    def _mux_one(self, picture: EncodedPicture, shown: int, decoded: int) -> None:
        packet = Packet(picture.data)
        packet.stream, packet.time_base = self._stream, Fraction(1, TICKS)
        packet.pts, packet.dts, packet.duration = shown, decoded, self._step
        packet.is_keyframe = picture.key
        self._container.mux_one(packet)
        self.pictures += 1


def _opened(path: Path, form: StreamFormat) -> tuple[OutputContainer, VideoStream]:
    # PyAV makes a stream without an encoder of a template alone, and before version 17 in no other way.
    name, head = _EMPTY[form.codec]
    # faststart: the index is moved to the front when the file is closed.
    with av.open(io.BytesIO(head), mode="r", format=name) as template:
        container = av.open(str(path), mode="w", format="mp4", options={"movflags": "+faststart"})
        try:
            stream = container.add_stream_from_template(template.streams.video[0])
        except BaseException:
            container.close()
            raise
    context = stream.codec_context
    context.width, context.height = form.width, form.height
    if form.extradata:
        context.extradata = form.extradata
    if form.codec in _TAGS:
        context.codec_tag = _TAGS[form.codec]
    stream.time_base = Fraction(1, TICKS)
    container.start_encoding()  # writes the header; no encoder is opened
    return container, stream


def _failed(path: Path, error: BaseException) -> StorageError:
    reason = getattr(error, "strerror", None) or str(error)
    return StorageError(f"cannot write {path.parent}: {reason}")


def check_boxes(path: Path) -> None:
    """ValueError unless `path` is whole: its boxes fill it to the last byte, the index before the pictures."""
    size, found = path.stat().st_size, list[bytes]()
    with path.open("rb") as file:
        at = 0
        while at < size:
            file.seek(at)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:  # a 64-bit length follows (ISO 14496-12, 4.2)
                length = int.from_bytes(head[8:16], "big")
            if length < 8:
                raise ValueError("the file is damaged")
            found.append(head[4:8])
            at += length
    if at != size or b"moov" not in found or found.index(b"moov") > found.index(b"mdat"):
        raise ValueError("the file was cut short: is the disk full?")
