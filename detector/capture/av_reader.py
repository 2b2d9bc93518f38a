"""Reads an FFmpeg container through PyAV, one frame at a time; used for RTSP, HTTP and files."""

from __future__ import annotations

import errno
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

import av
import av.error
from av.codec.context import Flags

from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.errors import EndOfStreamError, SourceError

from .packets import TICKS, PacketTap, StreamFormat
from .source import WAITING_S, WaitingError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_BAD_PACKETS = 100  # in a row; fewer are a scratch, so many are another codec than was promised
_KEYS_ENOUGH = 3  # key frames without a picture of them are no wait for a key frame
_DEFAULT_FPS = 25.0
# FFmpeg renders text files as "ansi" video, which is never meant here.
_TEXT_ART = frozenset(("ansi", "bintext", "xbin", "idf"))


def stamp_s(frame: VideoFrame) -> float | None:
    """The frame's presentation time in its stream's seconds; None if the container has none."""
    return float(frame.pts * frame.time_base) if frame.pts is not None and frame.time_base else None


class InputStream(Protocol):
    """Bytes that FFmpeg is fed with; `open` and `read` raise as `HttpStream`'s do."""

    @property
    def content_type(self) -> str: ...

    def open(self) -> None: ...

    def extend(self) -> None: ...

    def read(self, size: int = -1) -> bytes: ...

    def close(self) -> None: ...


class _Remaining:
    """A time-out that runs down. PyAV opens in two steps, connect and probe, and gives each the whole
    time-out; it converts the value to a float at each step, so this limits both together.
    """

    def __init__(self, deadline_mono: float, clock: Clock) -> None:
        self._deadline_mono, self._clock = deadline_mono, clock

    def __float__(self) -> float:
        return max(0.0, self._deadline_mono - self._clock.mono())


class AvReader:
    """The video frames of one container.

    `target` is its name for FFmpeg, `shown` the masked one for errors; with `stream` that is read instead; `explain`
    turns an FFmpeg error into a SourceError. `timeout_s` limits an open and a read each; None (files) waits for the
    disk. Each packet goes to `tap` too, coded as it is. A reader with a time-out is live: it ends with an error, never with EndOfStreamError.
    """

    def __init__(
        self,
        *,
        target: str,
        shown: str,
        explain: Callable[[BaseException], SourceError],
        options: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        stream: InputStream | None = None,
        clock: Clock = SYSTEM_CLOCK,
        tap: PacketTap | None = None,
    ) -> None:
        self._tap = tap
        self._target, self._shown, self._explain = target, shown, explain
        self._options, self._timeout_s, self._clock = dict(options or {}), timeout_s, clock
        self._input = stream
        self._begun = False
        self._container: InputContainer | None = None
        self._packets: Iterator[Packet[Any]] = iter(())
        self._stream: VideoStream | None = None
        self._frames: deque[VideoFrame] = deque()
        self._bad = self._decoded = 0
        self._picture_mono = 0.0  # when the last picture came, or the reader was opened
        self._packets_since = self._keys_since = 0  # of the video, since then
        self._format: StreamFormat | None = None  # what `tap` gets is this

    @property
    def live(self) -> bool:
        return self._timeout_s is not None

    @property
    def interval_s(self) -> float:
        """Seconds between frames as the container declares, else 1/25."""
        rate = self._stream.average_rate or self._stream.guessed_rate if self._stream else None
        return 1.0 / float(rate) if rate else 1.0 / _DEFAULT_FPS

    def open(self) -> None:
        self.close()
        started = self._clock.mono()
        timeout = None
        if self._timeout_s is not None:
            timeout = (cast("float", _Remaining(started + self._timeout_s, self._clock)), self._timeout_s)
        try:
            self._container = self._opened(timeout)
            self._stream = self._video_stream(self._container)
            # All streams: a camera that sends sound but no picture must not look alive.
            self._picture_mono = self._clock.mono()
            self._format = self._begin_tap(self._stream)
            self._packets = self._container.demux() if self.live else self._container.demux(self._stream)
        except SourceError:
            self.close()
            raise
        except (av.error.FFmpegError, OSError, ValueError) as exc:
            self.close()
            # The text of `exc` holds the password. RTSP says "invalid data" of a camera that says nothing.
            raise self._explain(TimeoutError() if self._is_late(started) else exc) from None

    def read(self) -> VideoFrame:
        """The next frame; EndOfStreamError at the end of what is not live, SourceError otherwise.

        WaitingError where data comes, but no key frame yet: `read` may be called again.
        """
        started = self._clock.mono()
        if self._input is not None:
            self._input.extend()
        while not self._frames:
            asked = self._clock.mono()
            packet = self._next_packet()
            # After a time-out FFmpeg first returns the frame that it held back, which is old by now.
            if self._is_late(asked):
                raise self._explain(TimeoutError())
            if packet.stream is self._stream:
                self._decode(packet)
            if not self._frames and self._is_late(started):
                raise self._nothing()
        self._decoded += 1
        self._picture_mono, self._packets_since, self._keys_since = self._clock.mono(), 0, 0
        return self._frames.popleft()

    def skip(self) -> float:
        """Take in one packet for `tap` alone, undecoded; its stamp in seconds, NaN without one. Raises as `read`."""
        if self._input is not None:
            self._input.extend()
        asked = self._clock.mono()
        packet = self._next_packet()
        if self._is_late(asked):
            raise self._explain(TimeoutError())
        self._decoded += packet.stream is self._stream
        stamp = packet.dts if packet.pts is None else packet.pts
        return math.nan if stamp is None or not packet.time_base else float(stamp * packet.time_base)

    def close(self) -> None:
        """Close the connection and the decoder; without this PyAV leaks their descriptors."""
        self._frames.clear()
        container, self._container = self._container, None
        self._begun = False
        self._packets, self._stream = iter(()), None
        self._bad = self._decoded = self._packets_since = self._keys_since = 0
        if container is not None:
            container.close()
        if self._input is not None:
            self._input.close()

    def _opened(self, timeout: tuple[float, float] | None) -> InputContainer:
        if self._input is None:
            return av.open(self._target, mode="r", options=self._options, timeout=timeout)
        self._input.open()
        # Without HTTP's headers FFmpeg cannot know the kind, and a playlist must not make it open what it names.
        kind = "mpjpeg" if self._input.content_type == "multipart/x-mixed-replace" else None
        options = {**self._options, "protocol_whitelist": "none"}
        return av.open(cast("BinaryIO", self._input), mode="r", format=kind, options=options)

    def _nothing(self) -> SourceError:
        """Data came for a whole time-out, but no picture."""
        waited_s = self._clock.mono() - self._picture_mono
        if self._packets_since and self._keys_since < _KEYS_ENOUGH and waited_s < WAITING_S:
            return WaitingError("waiting for the camera's key frame: data comes, the connection is kept")
        return SourceError(
            f"{self._shown}: data comes, but no picture within {self._timeout_s:g} s; shorten the camera's key frame "
            "interval"
        )

    def _is_late(self, since: float) -> bool:
        # A little less, since FFmpeg's clock and ours differ by a poll.
        return self._timeout_s is not None and self._clock.mono() - since >= 0.95 * self._timeout_s

    def _video_stream(self, container: InputContainer) -> VideoStream:
        if not container.streams.video:
            kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
            raise SourceError(f"{self._shown}: no video stream in it, only {kinds}")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise SourceError(f"{self._shown}: no decoder for its video codec; set the camera to H.264")
        if stream.codec_context.name in _TEXT_ART:
            raise SourceError(f"{self._shown}: this is a text file, not a video")
        # One thread: frame threads hold back a frame each, and slices are rare in cameras' streams.
        stream.thread_type, stream.codec_context.thread_count = "SLICE", 1
        if self.live:
            stream.codec_context.flags |= Flags.low_delay
        return stream

    def _next_packet(self) -> Packet[Any]:
        if self._container is None:
            raise SourceError(f"{self._shown}: not open")
        try:
            packet = next(self._packets)
            self._hand_on(packet)
        except StopIteration:
            raise self._ended() from None
        except OSError as exc:
            # "Input/output error" in a stream that was running is a broken connection.
            broken = self.live and exc.errno == errno.EIO
            raise self._explain(ConnectionResetError() if broken else exc) from None
        except (av.error.FFmpegError, ValueError) as exc:
            raise self._explain(exc) from None
        return packet

    def _begin_tap(self, stream: VideoStream) -> StreamFormat | None:
        if self._tap is None:
            return None
        self._tap.begin()
        context = stream.codec_context
        return StreamFormat(
            codec=context.codec.canonical_name,
            extradata=bytes(context.extradata or b""),
            width=context.width,
            height=context.height,
        )

    def _hand_on(self, packet: Packet[Any]) -> None:
        if self._tap is None or self._format is None or packet.stream is not self._stream or not packet.size:
            return
        mono, stamp = self._clock.mono(), packet.dts if packet.pts is None else packet.pts
        pts = round(mono * TICKS) if stamp is None or not packet.time_base else round(stamp * packet.time_base * TICKS)
        self._tap.put(self._format, bytes(packet), pts=pts, mono=mono, key=packet.is_keyframe)

    def _ended(self) -> SourceError:
        if self.live:
            return SourceError(f"{self._shown}: the camera ended the stream")
        if not self._decoded:
            return SourceError(f"{self._shown}: not one picture in it can be decoded")
        return EndOfStreamError(f"{self._shown}: end of file")

    def _decode(self, packet: Packet[Any]) -> None:
        self._packets_since += 1
        self._keys_since += packet.is_keyframe
        self._begun |= packet.is_keyframe
        try:
            frames = packet.decode()
        except (av.error.FFmpegError, ValueError):
            self._bad += self._begun or not self.live  # before the first key frame that is as it must be
            if self._bad >= _BAD_PACKETS:
                raise SourceError(
                    f"{self._shown}: {self._bad} packets in a row cannot be decoded; the stream is damaged"
                ) from None
            return
        for frame in frames:
            self._bad = 0
            if not frame.is_corrupt:
                self._frames.append(frame)
