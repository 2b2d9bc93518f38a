"""Decodes access units to pictures with FFmpeg's decoder, one thread, without delay."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, cast

import av
import av.error
from av.codec.context import CodecContext, Flags
from av.packet import Packet

from .access_units import AccessUnit
from .nal import START

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame

CLOCK_RATE = 90_000  # of video in RTP (RFC 6184 and 7798, section 8.1)
_HELD = 32  # no codec holds back more pictures than that
_AHEAD_S = 2.0  # a stamp further ahead is a clock that was set, not a picture decoded before its turn


class Decoder:
    """The pictures of one stream, in the order of their being shown, each with the monotonic s of its capture.

    `codec` is FFmpeg's name; one that it does not have is a ValueError. `clock_rate`: ticks a second of the stamps.
    Pictures that are damaged beyond hiding are left out. A stream with B-frames comes out later by as many pictures as
    its order needs.
    """

    def __init__(self, *, codec: str, parameter_sets: tuple[bytes, ...], clock_rate: int = CLOCK_RATE) -> None:
        self._tick_s = 1.0 / clock_rate
        self._codec, self._extradata = codec, b"".join(START + unit for unit in parameter_sets)
        self._context = self._opened()
        self._stamps: deque[tuple[int, float]] = deque(maxlen=_HELD)
        self.bad = 0
        """Units in a row that could not be decoded; those before the first key frame do not count."""
        self._begun = False
        self._highest: int | None = None
        self.reordered = False
        """Whether pictures came in another order than that of their being shown: the camera sends B-frames."""

    def decode(self, unit: AccessUnit, *, alone: bool = False) -> list[tuple[VideoFrame, float]]:
        """The pictures that `unit` completes; with `alone`, a key frame without successors, all of them at once."""
        packet = Packet(unit.data)
        packet.pts = unit.timestamp
        self._stamps.append((unit.timestamp, unit.mono))
        self._begun |= unit.key
        self.reordered |= self._highest is not None and 0 < (self._highest - unit.timestamp) * self._tick_s < _AHEAD_S
        self._highest = unit.timestamp if unit.key else max(self._highest or 0, unit.timestamp)
        try:
            frames = self._context.decode(packet)
            if alone:
                frames += self._context.decode(None)
                self.forget()
        except (av.error.FFmpegError, ValueError):
            self.bad += self._begun
            return []
        self.bad = 0 if frames else self.bad
        return [(frame, self._mono(frame, unit.mono)) for frame in frames if not frame.is_corrupt]

    def forget(self) -> None:
        """Drop the decoder's state: the next unit does not depend on earlier ones."""
        self._context.flush_buffers()

    def _mono(self, frame: VideoFrame, latest: float) -> float:
        """When the picture's last packet was read, or earlier, where a later picture was read before it.

        A B-picture was taken before the P-picture that it follows in the stream, by as much as their stamps differ.
        """
        stamp = frame.pts
        if stamp is None:
            return latest
        ahead = ((mono, (other - stamp) * self._tick_s) for other, mono in self._stamps if other >= stamp)
        return min((mono - gap_s for mono, gap_s in ahead if gap_s < _AHEAD_S), default=latest)

    def _opened(self) -> VideoCodecContext:
        try:
            return self._context_with(self._extradata)
        except (av.error.FFmpegError, ValueError):
            # The parameter sets in the SDP are broken; good ones mostly come in the stream as well.
            return self._context_with(b"")

    def _context_with(self, extradata: bytes) -> VideoCodecContext:
        context = cast("VideoCodecContext", CodecContext.create(self._codec, "r"))
        if extradata:
            context.extradata = extradata
        context.thread_type, context.thread_count = "SLICE", 1
        context.flags |= Flags.low_delay
        context.open()
        return context
