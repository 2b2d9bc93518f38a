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

_HELD = 32  # no codec holds back more pictures than that


class Decoder:
    """The pictures of one stream in display order, each with the `mono` of its access unit.

    `codec` is FFmpeg's name; raises ValueError for an unknown one. Pictures that the decoder reports as corrupt are
    left out. A stream with B-frames is delayed by as many pictures as its order needs.
    """

    def __init__(self, *, codec: str, parameter_sets: tuple[bytes, ...]) -> None:
        self._codec, self._extradata = codec, b"".join(START + unit for unit in parameter_sets)
        self._context = self._opened()
        self._stamps: deque[tuple[int, float]] = deque(maxlen=_HELD)
        self.bad = 0
        """Units in a row that could not be decoded; those before the first key frame do not count."""
        self._begun = False

    def decode(self, unit: AccessUnit, *, alone: bool = False) -> list[tuple[VideoFrame, float]]:
        """The pictures that `unit` completes; with `alone`, a key frame without successors, all of them at once."""
        packet = Packet(unit.data)
        packet.pts = unit.timestamp
        self._stamps.append((unit.timestamp, unit.mono))
        self._begun |= unit.key
        try:
            frames = self._context.decode(packet)
            if alone:
                frames += self._context.decode(None)
                self.forget()
        except (av.error.FFmpegError, ValueError):
            self.bad += self._begun
            return []
        self.bad = 0 if frames else self.bad
        return [
            (frame, next((mono for stamp, mono in self._stamps if stamp == frame.pts), unit.mono))
            for frame in frames
            if not frame.is_corrupt
        ]

    def forget(self) -> None:
        """Drop the decoder's state: the next unit does not depend on earlier ones."""
        self._context.flush_buffers()

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
